// CUDA twin of kernels/first_not_finite.h.
#include "kernels/first_not_finite.h"

#include <cuda_runtime.h>

#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

using Unsigned = unsigned long long;  // as which -1 is above every index

// One thread.
__global__ void clear_index(std::int64_t* index) {
  *index = -1;
}

// One thread per element, in strides: each stops at its first.
__global__ void find_lowest(FirstNotFinite a) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < a.count; i += step) {
    if (isfinite(a.x[i])) continue;
    atomicMin(reinterpret_cast<Unsigned*>(a.index), static_cast<Unsigned>(i));
    return;
  }
}

}  // namespace

void first_not_finite(Context& ctx, const FirstNotFinite& a) {
  launch(ctx, {.name = "clear_index"}, clear_index, a.index);
  launch(ctx, {.name = "first_not_finite", .grid = blocks_for(a.count), .block = kElementwiseBlock},
         find_lowest, a);
}

}  // namespace emer::cuda
