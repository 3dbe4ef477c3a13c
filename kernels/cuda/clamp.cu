// CUDA twin of kernels/clamp.h. Comparisons are written so that a NaN takes the branch that keeps it.
#include "kernels/clamp.h"

#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

// One thread per element.
__global__ void clamp_elements(Clamp<float> a) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= a.count) return;
  const float x = a.x[i];
  a.y[i] = x < a.low ? a.low : (x > a.high ? a.high : x);
}

// One thread per element.
__global__ void clamp_elements_backward(ClampBackward<float> a) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= a.count) return;
  const float y = a.y[i];
  a.dx[i] = y <= a.low || y >= a.high ? 0.0f : a.dy[i];
}

}  // namespace

template <class Real>
void clamp(Context& ctx, const Clamp<Real>& a) {
  launch(ctx,
         {.name = "clamp",
          .grid = blocks_for(a.count, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         clamp_elements, a);
}

template <class Real>
void clamp_backward(Context& ctx, const ClampBackward<Real>& a) {
  launch(ctx,
         {.name = "clamp_backward",
          .grid = blocks_for(a.count, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         clamp_elements_backward, a);
}

template void clamp(Context&, const Clamp<float>&);
template void clamp_backward(Context&, const ClampBackward<float>&);

}  // namespace emer::cuda
