// CUDA twin of kernels/polar_factor.h.
#include "kernels/polar_factor.h"

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/polar_iteration.h"
#include "kernels/cuda/polar_steps.h"
#include "kernels/cuda/products.h"

namespace emer::cuda {

namespace {

using Index = std::int64_t;

constexpr int kBlock = kElementwiseBlock;
constexpr int kMaxPartials = kBlock;  // one per thread of the block that adds them up

__device__ Index first_element() {
  return Index{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ Index element_stride() {
  return Index{gridDim.x} * blockDim.x;
}

// Threads stride over the elements; block b leaves its sum of squares in partial[b].
template <class In>
__global__ void sum_squares_of(Index cells, const In* t, double* partial) {
  double sum = 0.0;
  for (Index i = first_element(); i < cells; i += element_stride())
    sum += static_cast<double>(t[i]) * static_cast<double>(t[i]);
  sum = block_sum<kBlock>(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// Threads stride over the elements; every block adds up the partial sums for itself, all in the same order.
// *not_finite <- 1 or 0; x is finite in both cases.
template <class In>
__global__ void normalise(Index cells, const In* t, int partials, const double* partial, double* x,
                          int* not_finite) {
  const double squares =
      block_sum<kBlock>(static_cast<int>(threadIdx.x) < partials ? partial[threadIdx.x] : 0.0);
  const bool finite = isfinite(squares);
  const double inverse = finite && squares > 0.0 ? 1.0 / sqrt(squares) : 0.0;
  for (Index i = first_element(); i < cells; i += element_stride())
    x[i] = inverse == 0.0 ? 0.0 : inverse * static_cast<double>(t[i]);
  if (first_element() == 0) *not_finite = finite ? 0 : 1;
}

// h <- a I + b g + h, all [m, m]; threads stride over the elements.
__global__ void add_lower_powers(int m, double a, double b, const double* g, double* h) {
  const Index cells = Index{m} * m;
  for (Index i = first_element(); i < cells; i += element_stride())
    h[i] += b * g[i] + (i % (m + 1) == 0 ? a : 0.0);
}

// Threads stride over the elements; block b leaves its part of <x, t> in partial[b].
template <class In, class Out>
__global__ void finish_polar(Index cells, const In* t, const double* x, const int* not_finite,
                             const int* info, int infos, Out* p, double* partial) {
  bool failed = *not_finite != 0;
  for (int k = 0; k < infos; ++k) failed |= info[k] != 0;
  double sum = 0.0;
  for (Index i = first_element(); i < cells; i += element_stride()) {
    p[i] = static_cast<Out>(failed ? nan("") : x[i]);
    sum += x[i] * static_cast<double>(t[i]);
  }
  sum = block_sum<kBlock>(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = failed ? nan("") : sum;
}

// One block, a thread per partial sum.
__global__ void add_partials(int partials, const double* partial, double* total) {
  const double sum = block_sum<kBlock>(static_cast<int>(threadIdx.x) < partials ? partial[threadIdx.x] : 0.0);
  if (threadIdx.x == 0) *total = sum;
}

}  // namespace

template <class In, class Out>
void polar_iteration(Context& ctx, int m, const In* t, const int* info, int infos, Out* p,
                     double* nuclear_norm) {
  const ArenaScope scope(ctx);
  const Index cells = Index{m} * m;
  const auto size = static_cast<std::size_t>(cells);
  double* x = ctx.scratch<double>(size);
  double* g = ctx.scratch<double>(size);
  double* h = ctx.scratch<double>(size);
  double* partial = ctx.scratch<double>(kMaxPartials);
  int* not_finite = ctx.scratch<int>(1);
  const unsigned blocks = blocks_for(cells, kBlock, kMaxPartials);
  const int partials = static_cast<int>(blocks);
  const auto shape = [&](const char* name) {
    return LaunchShape{.name = name, .grid = {blocks}, .block = kBlock};
  };

  launch(ctx, shape("sum_squares_of"), sum_squares_of<In>, cells, t, partial);
  launch(ctx, shape("normalise"), normalise<In>, cells, t, partials, partial, x, not_finite);
  for (const PolarStep& step : polar_steps()) {
    product(ctx, kTransposed, kPlain, m, m, m, 1.0, x, x, 0.0, g);
    product(ctx, kPlain, kPlain, m, m, m, step.c, g, g, 0.0, h);
    launch(ctx, {.name = "add_lower_powers", .grid = {blocks_for(cells, kBlock)}, .block = kBlock},
           add_lower_powers, m, step.a, step.b, g, h);
    product(ctx, kPlain, kPlain, m, m, m, 1.0, x, h, 0.0, g);
    std::swap(x, g);
  }
  launch(ctx, shape("finish_polar"), finish_polar<In, Out>, cells, t, x, not_finite, info, infos, p, partial);
  if (nuclear_norm != nullptr)
    launch(ctx, {.name = "add_partials", .block = kBlock}, add_partials, partials, partial, nuclear_norm);
}
template void polar_iteration(Context&, int, const float*, const int*, int, float*, double*);
template void polar_iteration(Context&, int, const double*, const int*, int, float*, double*);
template void polar_iteration(Context&, int, const double*, const int*, int, double*, double*);

template <class Real>
void polar_factor(Context& ctx, const PolarFactor<Real>& a) {
  polar_iteration<Real, Real>(ctx, a.m, a.matrix, nullptr, 0, a.polar, a.nuclear_norm);
}
template void polar_factor(Context&, const PolarFactor<float>&);

}  // namespace emer::cuda
