// CUDA twin of kernels/covariance.h.
#include "kernels/covariance.h"

#include "core/collectives.h"
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/centre_views.h"
#include "kernels/cuda/products.h"

namespace emer::cuda {

namespace {

using Index = std::int64_t;

constexpr int kColumns = 32, kRowThreads = 8, kMaxChunks = 32, kLeastRows = 64;
constexpr int kWarps = 8;

// Rows are summed in chunks, whose number depends on n only.
struct Chunks {
  int count, rows;
};
Chunks chunks_of(int n) {
  const int count = std::clamp(n / kLeastRows, 1, kMaxChunks);
  return {count, (n + count - 1) / count};
}

// Block (x, y, z): 32 columns of chunk y of view z; thread (x, y) every 8th row of one column.
template <class In, class Out>
__global__ void sum_columns(CentreViews<In, Out> a, Chunks chunks, double* partial) {
  __shared__ double sums[kRowThreads][kColumns];
  const Index column = Index{blockIdx.x} * kColumns + threadIdx.x;
  const int begin = static_cast<int>(blockIdx.y) * chunks.rows, end = min(begin + chunks.rows, a.n);
  const In* x = a.x[blockIdx.z];
  double sum = 0.0;
  if (column < a.d)
    for (int i = begin + static_cast<int>(threadIdx.y); i < end; i += kRowThreads)
      sum += static_cast<double>(x[Index{i} * a.d + column]);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= a.d) return;
  for (int k = 1; k < kRowThreads; ++k) sum += sums[k][threadIdx.x];
  partial[(Index{blockIdx.z} * chunks.count + blockIdx.y) * a.d + column] = sum;
}

// Thread per column of both views: sums[column] <- its `parts` partial sums, which lie d apart, those of a view together.
__global__ void add_parts(int columns, int d, int parts, const double* partial, double* sums) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= columns) return;
  double sum = 0.0;
  for (int k = 0; k < parts; ++k) sum += partial[(Index{i / d} * parts + k) * d + i % d];
  sums[i] = sum;
}

// Blocks and threads as in sum_columns; the first row of threads adds up the parts of the sums over `total` rows.
template <class In, class Out>
__global__ void subtract_column_means(CentreViews<In, Out> a, Chunks chunks, int total, int parts,
                                      const double* partial) {
  __shared__ double means[kColumns];
  const Index column = Index{blockIdx.x} * kColumns + threadIdx.x;
  if (threadIdx.y == 0 && column < a.d) {
    double sum = 0.0;
    for (int k = 0; k < parts; ++k) sum += partial[(Index{blockIdx.z} * parts + k) * a.d + column];
    means[threadIdx.x] = sum / total;
  }
  __syncthreads();
  if (column >= a.d) return;
  const int begin = static_cast<int>(blockIdx.y) * chunks.rows, end = min(begin + chunks.rows, a.n);
  for (int i = begin + static_cast<int>(threadIdx.y); i < end; i += kRowThreads) {
    const Index at = Index{i} * a.d + column;
    a.y[blockIdx.z][at] =
        static_cast<Out>(a.scale * (static_cast<double>(a.x[blockIdx.z][at]) - means[threadIdx.x]));
  }
}

// Warp per row, view y; lanes stride over the columns.
template <class In, class Out>
__global__ void subtract_row_means(CentreViews<In, Out> a) {
  const Index row = Index{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (row >= a.n) return;
  const In* x = a.x[blockIdx.y] + row * a.d;
  Out* y = a.y[blockIdx.y] + row * a.d;
  double sum = 0.0;
  for (int k = threadIdx.x % 32; k < a.d; k += 32) sum += static_cast<double>(x[k]);
  const double mean = warp_sum(sum) / a.d;
  for (int k = threadIdx.x % 32; k < a.d; k += 32)
    y[k] = static_cast<Out>(a.scale * (static_cast<double>(x[k]) - mean));
}

// Thread per element of s[d, d]: those below the diagonal take the one above it, the diagonal takes the ridge.
__global__ void finish_moment(int d, float ridge, float* s) {
  const Index row = blockIdx.y, column = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (column > row) return;
  if (column == row)
    s[row * d + row] += ridge;
  else
    s[row * d + column] = s[column * d + row];
}

void finish(Context& ctx, int d, double ridge, float* s) {
  launch(ctx,
         {.name = "finish_moment",
          .grid = {blocks_for(d), static_cast<unsigned>(d)},
          .block = kElementwiseBlock},
         finish_moment, d, static_cast<float>(ridge), s);
}

}  // namespace

template <class In, class Out>
void centre_views(Context& ctx, const CentreViews<In, Out>& a) {
  const auto views = static_cast<unsigned>(a.views);
  if (a.centring == Centring::kSample) {
    if (a.n == 0) return;
    launch(ctx,
           {.name = "subtract_row_means",
            .grid = {blocks_for(a.n, kWarps, INT32_MAX), views},
            .block = kWarps * 32},
           subtract_row_means<In, Out>, a);
    return;
  }
  const ArenaScope scope(ctx);
  const Chunks chunks = chunks_of(a.n);
  double* partial =
      ctx.scratch<double>(static_cast<std::size_t>(chunks.count) * views * static_cast<std::size_t>(a.d));
  const dim3 grid(blocks_for(a.d, kColumns, INT32_MAX), static_cast<unsigned>(chunks.count), views);
  const dim3 block(kColumns, kRowThreads);
  launch(ctx, {.name = "sum_columns", .grid = grid, .block = block}, sum_columns<In, Out>, a, chunks,
         partial);
  int total = a.n, parts = chunks.count;
  if (a.total > 0 && ranks_of(ctx) > 1) {
    const int columns = a.views * a.d;
    double* sums = ctx.scratch<double>(static_cast<std::size_t>(columns));
    launch(ctx, {.name = "add_parts", .grid = {blocks_for(columns)}, .block = kElementwiseBlock}, add_parts,
           columns, a.d, parts, partial, sums);
    all_reduce_sum(ctx, sums, static_cast<std::size_t>(columns));
    total = a.total;
    parts = 1;
    partial = sums;
  }
  launch(ctx, {.name = "subtract_column_means", .grid = grid, .block = block}, subtract_column_means<In, Out>,
         a, chunks, total, parts, partial);
}
template void centre_views(Context&, const CentreViews<float, float>&);
template void centre_views(Context&, const CentreViews<float, double>&);
template void centre_views(Context&, const CentreViews<double, float>&);

template <class Real>
void centre(Context& ctx, const Centre<Real>& a) {
  centre_views<Real, Real>(ctx, {.views = 1,
                                 .n = a.n,
                                 .total = a.total,
                                 .d = a.d,
                                 .centring = a.centring,
                                 .x = {a.x, nullptr},
                                 .y = {a.y, nullptr}});
}

template <class Real>
void covariance(Context& ctx, const Covariance<Real>& a) {
  const ArenaScope scope(ctx);
  centre_views<Real, Real>(
      ctx,
      {.n = a.n, .total = a.total, .d = a.d, .centring = a.centring, .x = {a.x1, a.x2}, .y = {a.f1, a.f2}});
  const bool exchange = a.total > 0 && ranks_of(ctx) > 1;
  const double share = 1.0 / ((exchange ? a.total : a.n) - 1);
  const auto square = static_cast<std::size_t>(a.d) * static_cast<std::size_t>(a.d);
  struct Moment {
    const Real *left, *right;
    Real* out;
  };
  const Moment moments[] = {{a.f1, a.f1, a.s11}, {a.f2, a.f2, a.s22}, {a.f1, a.f2, a.s12}};
  // Of several ranks: the wanted ones one behind the other, for one call.
  Real* exchanged = exchange ? ctx.scratch<Real>(3 * square) : nullptr;
  std::size_t used = 0;
  for (const Moment& m : moments) {
    if (m.out == nullptr) continue;
    product(ctx, kTransposed, kPlain, a.d, a.d, a.n, share, m.left, m.right, 0.0,
            exchange ? exchanged + used : m.out);
    used += square;
  }
  if (exchange) {
    all_reduce_sum(ctx, exchanged, used);
    for (const Moment& m : moments) {
      if (m.out == nullptr) continue;
      copy_on_device(ctx, m.out, exchanged, square * sizeof(Real));
      exchanged += square;
    }
  }
  if (a.s11 != nullptr) finish(ctx, a.d, a.ridge, a.s11);
  if (a.s22 != nullptr) finish(ctx, a.d, a.ridge, a.s22);
}

template void centre(Context&, const Centre<float>&);
template void covariance(Context&, const Covariance<float>&);

}  // namespace emer::cuda
