// CUDA twin of kernels/dropout.h. One Philox block gives the four words of four neighbouring elements.
#include "kernels/dropout.h"

#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

// One thread per group of 4 elements that share a Philox block; the first and the last group may be partly outside.
template <bool kAligned>
__global__ void drop_groups(Dropout<float> a, float scale) {
  const std::int64_t group = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t first = 4 * group - a.first % 4;
  if (first >= a.count) return;
  const std::uint64_t step = a.scalars != nullptr ? a.scalars->dropout_step : a.step;
  const PhiloxBlock draw =
      philox(a.seed, a.stream, (step << 32) + static_cast<std::uint64_t>(a.first / 4 + group));
  const auto kept = [&](float x, int word) { return unit_float(draw.word[word]) < a.p ? 0.0f : x * scale; };
  if (kAligned && first >= 0 && first + 4 <= a.count) {
    const float4 x = *reinterpret_cast<const float4*>(a.x + first);
    *reinterpret_cast<float4*>(a.y + first) =
        make_float4(kept(x.x, 0), kept(x.y, 1), kept(x.z, 2), kept(x.w, 3));
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; ++k)
    if (first + k >= 0 && first + k < a.count) a.y[first + k] = kept(a.x[first + k], k);
}

}  // namespace

template <class Real>
void dropout(Context& ctx, const Dropout<Real>& a) {
  const std::int64_t skipped = a.first % 4;
  // Where the second group, the first that is sure to be whole, begins.
  const auto second_group = [&](const float* p) {
    return reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(4 - skipped) * sizeof(float);
  };
  const bool aligned = (second_group(a.x) | second_group(a.y)) % sizeof(float4) == 0;
  launch(ctx,
         {.name = "dropout",
          .grid = blocks_for(a.count == 0 ? 0 : (skipped + a.count + 3) / 4, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         aligned ? drop_groups<true> : drop_groups<false>, a, 1.0f / (1.0f - a.p));
}

template void dropout(Context&, const Dropout<float>&);

}  // namespace emer::cuda
