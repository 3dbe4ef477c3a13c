#include "kernels/cuda/product_polar.h"

#include <limits>
#include <type_traits>

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/cast.h"
#include "kernels/cuda/definite.h"
#include "kernels/cuda/polar_iteration.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/recording.h"
#include "kernels/cuda/solver.h"

namespace emer::cuda {

namespace {

using Index = std::int64_t;

constexpr int kTile = 32, kTileRows = 8, kBlock = 256;

// Block per 32 x 32 tile of one view (z): threads read along rows of `from`[n, d] and write along rows of `to`[d, n].
template <class Real>
__global__ void transpose_views(int n, int d, const Real* first, const Real* second, double* to) {
  __shared__ double tile[kTile][kTile + 1];  // + 1: a column of the tile lies in 32 banks
  const Real* from = blockIdx.z == 0 ? first : second;
  to += Index{blockIdx.z} * n * d;
  const Index row0 = Index{blockIdx.y} * kTile, column0 = Index{blockIdx.x} * kTile;
  for (int k = threadIdx.y; k < kTile; k += kTileRows)
    if (row0 + k < n && column0 + threadIdx.x < d)
      tile[k][threadIdx.x] = static_cast<double>(from[(row0 + k) * d + column0 + threadIdx.x]);
  __syncthreads();
  for (int k = threadIdx.y; k < kTile; k += kTileRows)
    if (column0 + k < d && row0 + threadIdx.x < n)
      to[(column0 + k) * n + row0 + threadIdx.x] = tile[threadIdx.x][k];
}

// Thread per element of one of the matrices[., m, m]: what lies above the diagonal becomes 0.
__global__ void clear_above_diagonal(int m, Index cells, double* matrices) {
  const Index i = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < cells && i % m > i / m % m) matrices[i] = 0.0;
}

// One block; thread k decides on value k, k + kBlock, ... and the sum is that of all threads' sums.
__global__ void keep_values(int m, int wanted, double tolerance, double* values, double* sum) {
  const double least = tolerance * values[0];
  double kept = 0.0;
  __syncthreads();  // values[0] is read by all before it may be cleared
  for (int k = threadIdx.x; k < m; k += kBlock) {
    if (k >= wanted || values[k] <= least) values[k] = 0.0;  // false for NaN, which so reaches the sum
    kept += values[k];
  }
  kept = block_sum<kBlock>(kept);
  if (threadIdx.x == 0) *sum = kept;
}

// Thread per element of left[m, m].
__global__ void keep_columns(int m, const double* values, double* left) {
  const Index i = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < Index{m} * m && values[i % m] == 0.0) left[i] = 0.0;
}

std::size_t size_of(Index rows, Index columns) {
  return static_cast<std::size_t>(rows * columns);
}

const double* as_double(Context&, Index, const double* values) {
  return values;
}
const double* as_double(Context& ctx, Index count, const float* values) {
  double* wide = ctx.scratch<double>(static_cast<std::size_t>(count));
  cast_to_double(ctx, count, values, wide);
  return wide;
}
const double* as_real(Context&, Index, const double* values, double) {
  return values;
}
const float* as_real(Context& ctx, Index count, const double* values, float) {
  float* narrow = ctx.scratch<float>(static_cast<std::size_t>(count));
  cast_to_float(ctx, count, values, narrow);
  return narrow;
}

// A'B in double.
template <class Real>
double* given_or_formed(Context& ctx, const ProductPolar<Real>& args) {
  if (args.product != nullptr) return args.product;
  double* t = ctx.scratch<double>(size_of(args.d, args.d));
  cross_product(ctx, args.n, args.d, args.a, args.b, t);
  return t;
}

// From P[d, d].
template <class Real>
void gradients(Context& ctx, const ProductPolar<Real>& args, const Real* p) {
  product(ctx, kPlain, kTransposed, args.n, args.d, args.d, args.gradient_scale, args.b, p, 0.0, args.d_a);
  product(ctx, kPlain, kPlain, args.n, args.d, args.d, args.gradient_scale, args.a, p, 0.0, args.d_b);
}

template <class Real>
void by_svd(Context& ctx, const ProductPolar<Real>& args) {
  refuse_recording_of_eigen(ctx, "cca");
  const int d = args.d;
  const Index cells = Index{d} * d;
  double* t = given_or_formed(ctx, args);
  double* left = ctx.scratch<double>(size_of(d, d));
  double* right = ctx.scratch<double>(size_of(d, d));
  double* values = ctx.scratch<double>(static_cast<std::size_t>(d));
  svd(ctx, d, t, left, values, right);
  const int rank = args.product != nullptr ? d : std::min(args.n, d);
  keep_directions(ctx, d, rank, rank * static_cast<double>(std::numeric_limits<Real>::epsilon()), left,
                  values, args.nuclear);
  product(ctx, kPlain, kPlain, d, d, d, 1.0, left, right, 0.0, t);
  gradients(ctx, args, as_real(ctx, cells, t, Real()));
}

template <class Real>
void by_polar_of_samples(Context& ctx, const ProductPolar<Real>& args) {
  const int n = args.n, d = args.d;
  const Index square = Index{n} * n, samples = Index{n} * d;
  double* views = ctx.scratch<double>(2 * size_of(n, d));  // A', B', then (La^-1 A)', (Lb^-1 B)'
  double* lower = ctx.scratch<double>(2 * size_of(n, n));
  double* t = ctx.scratch<double>(size_of(n, n));
  double* p = ctx.scratch<double>(size_of(n, n));
  int* info = ctx.scratch<int>(static_cast<std::size_t>(args.infos) + 2);
  if (args.infos > 0)
    copy_on_device(ctx, info + 2, args.info, static_cast<std::size_t>(args.infos) * sizeof(int));
  launch(ctx,
         {.name = "transpose_views",
          .grid = {blocks_for(d, kTile), blocks_for(n, kTile), 2},
          .block = {kTile, kTileRows}},
         transpose_views<Real>, n, d, args.a, args.b, views);
  for (int v = 0; v < 2; ++v)
    product(ctx, kTransposed, kPlain, n, n, d, 1.0, views + v * samples, views + v * samples, 0.0,
            lower + v * square);
  shift_to_definite(ctx, 2, n, d, 0.0, lower);
  for (int v = 0; v < 2; ++v) {
    cholesky_lower(ctx, n, lower + v * square, info + v);
    solve_right_lower(ctx, true, d, n, lower + v * square, views + v * samples);
  }
  launch(
      ctx,
      {.name = "clear_above_diagonal", .grid = {blocks_for(2 * square, kBlock, INT32_MAX)}, .block = kBlock},
      clear_above_diagonal, n, 2 * square, lower);
  product(ctx, kTransposed, kPlain, n, n, n, 1.0, lower, lower + square, 0.0, t);
  polar_iteration(ctx, n, t, info, args.infos + 2, p, args.nuclear);
  for (int v = 0; v < 2; ++v) {
    const ArenaScope scope(ctx);
    product(ctx, kPlain, v == 0 ? kTransposed : kPlain, n, n, n, 1.0, lower + (1 - v) * square, p, 0.0, t);
    product(ctx, kPlain, kTransposed, n, d, n, args.gradient_scale, as_real(ctx, square, t, Real()),
            as_real(ctx, samples, views + v * samples, Real()), 0.0, v == 0 ? args.d_a : args.d_b);
  }
}

}  // namespace

template <class Real>
void product_polar(Context& ctx, const ProductPolar<Real>& args) {
  const ArenaScope scope(ctx);
  if (args.by_svd) {
    by_svd(ctx, args);
  } else if (args.product == nullptr && args.n < args.d) {
    by_polar_of_samples(ctx, args);
  } else {
    Real* p = args.polar != nullptr ? args.polar : ctx.scratch<Real>(size_of(args.d, args.d));
    polar_iteration(ctx, args.d, given_or_formed(ctx, args), args.info, args.infos, p, args.nuclear);
    gradients(ctx, args, p);
  }
}
template void product_polar(Context&, const ProductPolar<float>&);
template void product_polar(Context&, const ProductPolar<double>&);

template <class Real>
void cross_product(Context& ctx, int n, int d, const Real* a, const Real* b, double* out) {
  if (n == 0) return fill_zero(ctx, out, size_of(d, d) * sizeof(double));
  const ArenaScope scope(ctx);
  const Index cells = Index{n} * d;
  product(ctx, kTransposed, kPlain, d, d, n, 1.0, as_double(ctx, cells, a), as_double(ctx, cells, b), 0.0,
          out);
}
template void cross_product(Context&, int, int, const float*, const float*, double*);
template void cross_product(Context&, int, int, const double*, const double*, double*);

void keep_directions(Context& ctx, int m, int wanted, double tolerance, double* left, double* values,
                     double* sum) {
  launch(ctx, {.name = "keep_values", .block = kBlock}, keep_values, m, wanted, tolerance, values, sum);
  launch(ctx,
         {.name = "keep_columns", .grid = {blocks_for(Index{m} * m, kBlock, INT32_MAX)}, .block = kBlock},
         keep_columns, m, values, left);
}

}  // namespace emer::cuda
