// CUDA twin of kernels/mask_steps.h.
#include "kernels/mask_steps.h"

#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

// Thread i and every gridDim.x * blockDim.x-th after it: one value each.
__global__ void mask_step_values(MaskSteps<float> a) {
  const std::int64_t size = std::int64_t{a.steps} * a.width, count = a.n * size;
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t k = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; k < count; k += stride)
    a.y[k] = k % size < std::int64_t{a.lengths[k / size]} * a.width ? a.x[k] : 0.0f;
}

}  // namespace

template <class Real>
void mask_steps(Context& ctx, const MaskSteps<Real>& a) {
  launch(ctx,
         {.name = "mask_steps",
          .grid = blocks_for(std::int64_t{a.n} * a.steps * a.width),
          .block = kElementwiseBlock},
         mask_step_values, a);
}

template void mask_steps(Context&, const MaskSteps<float>&);

}  // namespace emer::cuda
