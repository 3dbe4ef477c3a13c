// CUDA twin of kernels/sequence_mean.h. No fused multiply-adds can form, so the bits are the CPU's.
#include "kernels/sequence_mean.h"

#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

// One thread per element of y; neighbours read neighbours.
__global__ void mean_of_steps(SequenceMean<float> a) {
  const std::int64_t e = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (e >= std::int64_t{a.n} * a.width) return;
  const std::int64_t i = e / a.width, k = e % a.width;
  const std::int32_t length = a.lengths ? a.lengths[i] : a.steps;
  double sum = 0;
  for (std::int64_t t = 0; t < length; ++t) sum += static_cast<double>(a.x[(i * a.steps + t) * a.width + k]);
  a.y[e] = static_cast<float>(sum / length);
}

// One thread per element of dx.
__global__ void spread_mean(SequenceMeanBackward<float> a) {
  const std::int64_t e = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, place = e / a.width;
  if (e >= std::int64_t{a.n} * a.steps * a.width) return;
  const std::int64_t i = place / a.steps;
  const std::int32_t length = a.lengths ? a.lengths[i] : a.steps;
  a.dx[e] = place % a.steps < length ? a.dy[i * a.width + e % a.width] / static_cast<float>(length) : 0.0f;
}

unsigned blocks(std::int64_t count) {
  return blocks_for(count, kElementwiseBlock, INT32_MAX);
}

}  // namespace

template <class Real>
void sequence_mean(Context& ctx, const SequenceMean<Real>& a) {
  launch(ctx,
         {.name = "mean_of_steps", .grid = {blocks(std::int64_t{a.n} * a.width)}, .block = kElementwiseBlock},
         mean_of_steps, a);
}

template <class Real>
void sequence_mean_backward(Context& ctx, const SequenceMeanBackward<Real>& a) {
  launch(ctx,
         {.name = "spread_mean",
          .grid = {blocks(std::int64_t{a.n} * a.steps * a.width)},
          .block = kElementwiseBlock},
         spread_mean, a);
}

template void sequence_mean(Context&, const SequenceMean<float>&);
template void sequence_mean_backward(Context&, const SequenceMeanBackward<float>&);

}  // namespace emer::cuda
