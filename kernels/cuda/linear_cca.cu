// CUDA twin of kernels/linear_cca.h: products by cuBLASLt, decompositions by cuSOLVER, column sums here.
#include "kernels/linear_cca.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cfloat>

#include "core/collectives.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/solver.h"

namespace emer::cuda {

namespace {

constexpr double kNoVariation = 1e-12;
constexpr int kColumns = 32;           // of a block of the column sums, one per lane
constexpr int kRows = 8;               // rows of it side by side
constexpr int kChunks = 256;           // partial sums of a column, at most
constexpr int kRowsAtATime = 1 << 14;  // of centred samples in scratch: enough for the products' full rate

// (x - mean_x) (y - mean_y), by element of [n, d]; without y just x - mean_x, without means 0 for them.
struct ColumnTerm {
  const double* x = nullptr;
  const double* mean_x = nullptr;
  const double* y = nullptr;
  const double* mean_y = nullptr;

  __device__ double at(std::int64_t element, int column) const {
    const double a = x[element] - (mean_x != nullptr ? mean_x[column] : 0.0);
    if (y == nullptr) return a;
    return a * (y[element] - (mean_y != nullptr ? mean_y[column] : 0.0));
  }
};

// One block per (32 columns, chunk of rows), threads [8 rows][32 columns]: partial[chunk][column].
__global__ void column_partials(int n, int d, int rows, ColumnTerm term, double* partial) {
  __shared__ double sums[kRows][kColumns];
  const int lane = static_cast<int>(threadIdx.x) % kColumns, row = static_cast<int>(threadIdx.x) / kColumns;
  const int column = static_cast<int>(blockIdx.x) * kColumns + lane;
  const int begin = static_cast<int>(blockIdx.y) * rows, end = min(n, begin + rows);
  double sum = 0.0;
  if (column < d)
    for (int i = begin + row; i < end; i += kRows) sum += term.at(std::int64_t{i} * d + column, column);
  sums[row][lane] = sum;
  __syncthreads();
  if (row != 0 || column >= d) return;
  for (int r = 1; r < kRows; ++r) sum += sums[r][lane];
  partial[std::int64_t{blockIdx.y} * d + column] = sum;
}

// One thread per column: result = sum of the partials / n, in order, + base where there is one, which may be result.
__global__ void finish_columns(int n, int d, int chunks, const double* partial, const double* base,
                               double* result) {
  const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (column >= d) return;
  double sum = 0.0;
  for (int chunk = 0; chunk < chunks; ++chunk) sum += partial[std::int64_t{chunk} * d + column];
  result[column] = sum / n + (base != nullptr ? base[column] : 0.0);
}

// Samples of this rank and, where they are exchanged, of all ranks.
struct Samples {
  int n = 0, total = 0;
  int all() const { return total > 0 ? total : n; }
};

// result[d] = mean over the rows of the term, + base[d] where there is one, which may be result.
void column_mean(Context& ctx, const Samples& samples, int d, const ColumnTerm& term, const double* base,
                 double* result) {
  const ArenaScope scope(ctx);
  const int n = samples.n, rows = std::max(kRows * kRows, (n + kChunks - 1) / kChunks),
            chunks = std::max(1, (n + rows - 1) / rows);
  const bool exchange = samples.total > 0 && ranks_of(ctx) > 1;
  const auto width = static_cast<std::size_t>(d);
  double* partial = ctx.scratch<double>(static_cast<std::size_t>(chunks) * width);
  // Base counts once; the term may read it where result is written.
  double* share = exchange ? ctx.scratch<double>(width) : result;
  if (exchange && rank_of(ctx) != 0) base = nullptr;
  launch(ctx,
         {.name = "column_partials",
          .grid = {blocks_for(d, kColumns), static_cast<unsigned>(chunks)},
          .block = kColumns * kRows},
         column_partials, n, d, rows, term, partial);
  launch(ctx, {.name = "finish_columns", .grid = blocks_for(d), .block = kElementwiseBlock}, finish_columns,
         samples.all(), d, chunks, partial, base, share);
  if (!exchange) return;
  all_reduce_sum(ctx, share, width);
  copy_on_device(ctx, result, share, width * sizeof(double));
}

// Means; the second pass takes what rounding left in the first: a constant feature must centre to zero.
void column_means(Context& ctx, const Samples& samples, int d, const double* x, double* mean) {
  column_mean(ctx, samples, d, {.x = x}, nullptr, mean);
  column_mean(ctx, samples, d, {.x = x, .mean_x = mean}, mean, mean);
}

// One thread per element, in strides.
__global__ void subtract_means(std::int64_t count, int d, const double* x, const double* mean, double* out) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    out[i] = x[i] - mean[i % d];
}

// to = x - mean, [rows, d]
void centre(Context& ctx, int rows, int d, const double* x, const double* mean, double* to) {
  const std::int64_t count = std::int64_t{rows} * d;
  launch(ctx, {.name = "subtract_means", .grid = blocks_for(count), .block = kElementwiseBlock},
         subtract_means, count, d, x, mean, to);
}

// part(first row, rows) over n rows, kRowsAtATime at a time.
template <class Part>
void in_parts(int n, const Part& part) {
  for (int first = 0; first < n; first += kRowsAtATime) part(first, std::min(kRowsAtATime, n - first));
}

// One thread per element: row k of vectors[d, d] / sqrt(values[k] + ridge), floored as kernels/linear_cca.h says;
// values ascend.
__global__ void scale_vectors(int d, double ridge, const double* values, double* vectors) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= std::int64_t{d} * d) return;
  const double largest = fmax(values[d - 1], 0.0) + ridge;
  const double floor = fmax(fmax(ridge, largest * DBL_EPSILON * d), DBL_MIN);
  const double value = values[i / d] + ridge;
  vectors[i] *= 1.0 / sqrt(value < floor ? floor : value);  // a NaN stays one
}

struct Product {
  bool transpose_a = false, transpose_b = false;
  std::int64_t m = 0, n = 0, k = 0;
  double alpha = 1.0;
  const double* a = nullptr;
  const double* b = nullptr;
  double beta = 0.0;
  double* c = nullptr;
};

// C[m, n] = alpha op(A) op(B) + beta C, without row gaps.
void multiply(Context& ctx, const Product& p) {
  matmul(ctx, {.transpose_a = p.transpose_a,
               .transpose_b = p.transpose_b,
               .m = p.m,
               .n = p.n,
               .k = p.k,
               .alpha = p.alpha,
               .a = p.a,
               .lda = p.transpose_a ? p.m : p.k,
               .b = p.b,
               .ldb = p.transpose_b ? p.k : p.n,
               .beta = p.beta,
               .c = p.c,
               .ldc = p.n,
               .input = MatmulType::kDouble,
               .output = MatmulType::kDouble});
}

// Covariance S[d, d] -> K' [d, d], K'(S + ridge I)K = I.
void whiten(Context& ctx, int d, double ridge, double* covariance) {
  const ArenaScope scope(ctx);
  double* values = ctx.scratch<double>(static_cast<std::size_t>(d));
  symmetric_eigen(ctx, d, covariance, values, covariance);
  launch(ctx,
         {.name = "scale_vectors",
          .grid = blocks_for(std::int64_t{d} * d, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         scale_vectors, d, ridge, values, covariance);
}

// One thread per column; aa, bb, ab, mean_a, mean_b [d].
__global__ void fit_lines(RegressionLines r, const double* aa, const double* bb, const double* ab,
                          const double* mean_a, const double* mean_b) {
  const int k = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (k >= r.d) return;
  const bool varies = aa[k] > kNoVariation && bb[k] > kNoVariation;
  const double slope_ab = varies ? ab[k] / aa[k] : 0.0, slope_ba = varies ? ab[k] / bb[k] : 0.0;
  r.correlation[k] = varies ? ab[k] / sqrt(aa[k] * bb[k]) : 0.0;
  r.slope_ab[k] = slope_ab;
  r.slope_ba[k] = slope_ba;
  r.offset_ab[k] = mean_b[k] - slope_ab * mean_a[k];
  r.offset_ba[k] = mean_a[k] - slope_ba * mean_b[k];
}

// One thread per result, in strides.
__global__ void scale_columns(ScaledColumns a) {
  const std::int64_t count = std::int64_t{a.n} * a.kept, step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t at = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; at < count; at += step) {
    const std::int64_t i = at / a.kept, s = at % a.kept;
    a.out[at] = a.factor[s] * (a.slope[s] * a.x[i * a.d + a.column[s]] + a.offset[s]);
  }
}

}  // namespace

void linear_cca_fit(Context& ctx, const LinearCcaFit& a) {
  const ArenaScope scope(ctx);
  const int n = a.n, d = a.d1;
  const std::size_t cells = static_cast<std::size_t>(d) * static_cast<std::size_t>(d);
  const Samples samples{n, a.total};
  column_means(ctx, samples, d, a.x1, a.mean1);
  column_means(ctx, samples, d, a.x2, a.mean2);
  const std::size_t part = static_cast<std::size_t>(std::min(n, kRowsAtATime)) * static_cast<std::size_t>(d);
  double *c1 = ctx.scratch<double>(part), *c2 = ctx.scratch<double>(part);
  // Covariances, which travel together, then K1' and K2'.
  double *k1 = ctx.scratch<double>(3 * cells), *k2 = k1 + cells, *s12 = k2 + cells;
  if (n == 0) fill_zero(ctx, k1, 3 * cells * sizeof(double));
  in_parts(n, [&](int first, int rows) {
    const std::int64_t at = std::int64_t{first} * d;
    centre(ctx, rows, d, a.x1 + at, a.mean1, c1);
    centre(ctx, rows, d, a.x2 + at, a.mean2, c2);
    const auto add = [&](const double* left, const double* right, double* sum) {
      multiply(ctx, {.transpose_a = true,
                     .m = d,
                     .n = d,
                     .k = rows,
                     .alpha = 1.0 / (samples.all() - 1),
                     .a = left,
                     .b = right,
                     .beta = first == 0 ? 0.0 : 1.0,
                     .c = sum});
    };
    add(c1, c1, k1);
    add(c2, c2, k2);
    add(c1, c2, s12);
  });
  if (a.total > 0) all_reduce_sum(ctx, k1, 3 * cells);
  whiten(ctx, d, a.ridge, k1);
  whiten(ctx, d, a.ridge, k2);

  double *half = ctx.scratch<double>(cells), *left = ctx.scratch<double>(cells),
         *right = ctx.scratch<double>(cells);
  multiply(ctx, {.m = d, .n = d, .k = d, .a = k1, .b = s12, .c = half});
  multiply(ctx, {.transpose_b = true, .m = d, .n = d, .k = d, .a = half, .b = k2, .c = s12});
  svd(ctx, d, s12, left, a.correlations, right);
  multiply(ctx, {.transpose_a = true, .m = d, .n = d, .k = d, .a = k1, .b = left, .c = a.w1});
  multiply(
      ctx,
      {.transpose_a = true, .transpose_b = true, .m = d, .n = d, .k = d, .a = k2, .b = right, .c = a.w2});
}

void linear_cca_project(Context& ctx, const LinearCcaProject& a) {
  const ArenaScope scope(ctx);
  double* c = ctx.scratch<double>(static_cast<std::size_t>(std::min(a.n, kRowsAtATime)) *
                                  static_cast<std::size_t>(a.d));
  in_parts(a.n, [&](int first, int rows) {
    centre(ctx, rows, a.d, a.x + std::int64_t{first} * a.d, a.mean, c);
    multiply(ctx, {.m = rows,
                   .n = a.directions,
                   .k = a.d,
                   .a = c,
                   .b = a.w,
                   .c = a.out + std::int64_t{first} * a.directions});
  });
}

void regression_lines(Context& ctx, const RegressionLines& r) {
  const ArenaScope scope(ctx);
  const auto row = [&] { return ctx.scratch<double>(static_cast<std::size_t>(r.d)); };
  double *mean_a = row(), *mean_b = row(), *aa = row(), *bb = row(), *ab = row();
  const auto mean = [&](const ColumnTerm& term, double* to) {
    column_mean(ctx, {r.n, r.total}, r.d, term, nullptr, to);
  };
  mean({.x = r.a}, mean_a);
  mean({.x = r.b}, mean_b);
  mean({.x = r.a, .mean_x = mean_a, .y = r.a, .mean_y = mean_a}, aa);
  mean({.x = r.b, .mean_x = mean_b, .y = r.b, .mean_y = mean_b}, bb);
  mean({.x = r.a, .mean_x = mean_a, .y = r.b, .mean_y = mean_b}, ab);
  launch(ctx, {.name = "fit_lines", .grid = blocks_for(r.d), .block = kElementwiseBlock}, fit_lines, r, aa,
         bb, ab, mean_a, mean_b);
}

void scaled_columns(Context& ctx, const ScaledColumns& a) {
  launch(
      ctx,
      {.name = "scale_columns", .grid = blocks_for(std::int64_t{a.n} * a.kept), .block = kElementwiseBlock},
      scale_columns, a);
}

}  // namespace emer::cuda
