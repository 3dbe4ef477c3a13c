// CUDA twin of kernels/moving_average.h.
#include "kernels/moving_average.h"

#include "core/cuda/launch.h"
#include "kernels/cuda/optimizer_elements.h"

namespace emer::cuda {

namespace {

// One thread per element.
__global__ void average_elements(MovingAverage<float> a, float keep, float take) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < a.count) a.average[i] = averaged(keep, take, a.average[i], a.x[i]);
}

}  // namespace

template <class Real>
void moving_average(Context& ctx, const MovingAverage<Real>& a) {
  launch(ctx,
         {.name = "moving_average",
          .grid = blocks_for(a.count, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         average_elements, a, static_cast<float>(a.decay), static_cast<float>(1.0 - a.decay));
}

template void moving_average(Context&, const MovingAverage<float>&);

}  // namespace emer::cuda
