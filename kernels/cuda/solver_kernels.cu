#include "kernels/cuda/solver_kernels.h"

#include <cuda_runtime.h>

#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

// One block; its threads stride over the elements.
template <class Real>
__global__ void find_non_finite(std::int64_t count, const Real* values, int* info) {
  bool bad = false;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) bad |= !isfinite(values[i]);
  const int any = __syncthreads_or(bad ? 1 : 0);
  if (threadIdx.x == 0) *info = any != 0 ? 1 : 0;
}

// One thread per element, row-major.
template <class Real>
__global__ void copy_or_identity(int m, const Real* from, Real* to, const int* info) {
  const bool bad = *info != 0;
  const std::int64_t cells = std::int64_t{m} * m, step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < cells; i += step)
    to[i] = !bad ? from[i] : i % (m + 1) == 0 ? Real(1) : Real(0);
}

// One thread per element.
template <class T>
__global__ void poison(const int* info, int infos, T* values, std::int64_t count) {
  bool failed = false;
  for (int k = 0; k < infos; ++k) failed |= info[k] != 0;
  if (!failed) return;
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    values[i] = static_cast<T>(nan(""));
}

}  // namespace

template <class Real>
void replace_unless_finite(Context& ctx, int m, const Real* from, Real* to, int* info) {
  const std::int64_t cells = std::int64_t{m} * m;
  launch(ctx, {.name = "find_non_finite", .block = 1024}, find_non_finite<Real>, cells, from, info);
  launch(ctx, {.name = "copy_or_identity", .grid = {blocks_for(cells)}, .block = kElementwiseBlock},
         copy_or_identity<Real>, m, from, to, info);
}

template <class T>
void poison_on_failure(Context& ctx, const int* info, int infos, T* values, std::int64_t count) {
  launch(ctx, {.name = "poison_on_failure", .grid = {blocks_for(count)}, .block = kElementwiseBlock},
         poison<T>, info, infos, values, count);
}

template void replace_unless_finite(Context&, int, const float*, float*, int*);
template void replace_unless_finite(Context&, int, const double*, double*, int*);
template void poison_on_failure(Context&, const int*, int, float*, std::int64_t);
template void poison_on_failure(Context&, const int*, int, double*, std::int64_t);

}  // namespace emer::cuda
