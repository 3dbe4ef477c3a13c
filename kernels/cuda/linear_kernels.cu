#include "kernels/cuda/linear_kernels.h"

#include <cuda_bf16.h>

#include <algorithm>
#include <cmath>

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

constexpr int kBlock = 256;

// As the CPU's: nothing overflows, and a NaN takes the branch that keeps it.
__device__ float activated(Activation activation, float z) {
  if (activation == Activation::kSoftplus) return (z < 0.0f ? 0.0f : z) + std::log1p(std::exp(-std::abs(z)));
  if (activation == Activation::kRelu) return z <= 0.0f ? 0.0f : z;
  return z;
}
__device__ float scaled(Activation activation, float dy, float y) {
  if (activation == Activation::kSoftplus) return dy * -std::expm1(-y);
  if (activation == Activation::kRelu) return y <= 0.0f ? 0.0f : dy;
  return dy;
}

// One thread per group of 4 elements.
template <bool kAligned>
__global__ void activate_groups(Activation activation, std::int64_t count, float* y) {
  const std::int64_t first = 4 * (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x);
  if (first >= count) return;
  if (kAligned && first + 4 <= count) {
    float4* group = reinterpret_cast<float4*>(y + first);
    const float4 z = *group;
    *group = make_float4(activated(activation, z.x), activated(activation, z.y), activated(activation, z.z),
                         activated(activation, z.w));
    return;
  }
  for (std::int64_t i = first; i < first + 4 && i < count; ++i) y[i] = activated(activation, y[i]);
}

__device__ std::uint32_t bf16_bits(float x) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

// Four neighbouring elements of row-major [., out], as many as there are; 0 behind the end.
template <bool kAligned>
__device__ void load_group(const float* from, std::int64_t left, float (&group)[4]) {
  if (kAligned) {
    const float4 all = *reinterpret_cast<const float4*>(from);
    group[0] = all.x;
    group[1] = all.y;
    group[2] = all.z;
    group[3] = all.w;
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k) group[k] = k < left ? from[k] : 0.0f;
  }
}

template <bool kAligned>
__device__ void store_group(const ActivationBackward& a, std::int64_t row, std::int64_t column,
                            const float (&group)[4]) {
  const std::int64_t left = a.out - column;
  if (a.g != nullptr) {
    float* to = a.g + row * a.out + column;
    if (kAligned) {
      *reinterpret_cast<float4*>(to) = make_float4(group[0], group[1], group[2], group[3]);
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (k < left) to[k] = group[k];
    }
  }
  if (a.g_bf16 != nullptr) {
    std::uint16_t* to = a.g_bf16 + row * a.ld_bf16 + column;
    if (kAligned) {
      *reinterpret_cast<uint2*>(to) = make_uint2(bf16_bits(group[0]) | bf16_bits(group[1]) << 16,
                                                 bf16_bits(group[2]) | bf16_bits(group[3]) << 16);
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (k < left) to[k] = static_cast<std::uint16_t>(bf16_bits(group[k]));
    }
  }
}

// One block per tile of 4 * kLanes columns and span of rows; thread t takes 4 neighbouring columns, group t % kLanes of
// the tile, of rows t / kLanes, t / kLanes + kBlock / kLanes, ... of the span. Sums of a span go to `partial`, or
// straight into d_bias where there is one span.
template <int kLanes, bool kAligned>
__global__ void __launch_bounds__(kBlock)
    activation_backward_tiles(ActivationBackward a, int span, double* partial) {
  constexpr int kColumns = 4 * kLanes, kWarps = kBlock / 32;
  const int lane = threadIdx.x % kLanes;
  const std::int64_t column = std::int64_t{blockIdx.x} * kColumns + 4 * lane;
  const std::int64_t begin = std::int64_t{blockIdx.y} * span;
  const std::int64_t end = begin + span < a.n ? begin + span : a.n;
  double sum[4] = {};
  if (column < a.out) {
#pragma unroll 4
    for (std::int64_t row = begin + threadIdx.x / kLanes; row < end; row += kBlock / kLanes) {
      const std::int64_t at = row * a.out + column;
      float group[4], y[4] = {};
      load_group<kAligned>(a.dy + at, a.out - column, group);
      if (a.activation != Activation::kNone) load_group<kAligned>(a.y + at, a.out - column, y);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        group[k] = scaled(a.activation, group[k], y[k]);
        sum[k] += static_cast<double>(group[k]);
      }
      store_group<kAligned>(a, row, column, group);
    }
  }
  // Lanes of a warp that hold the same columns, then the warps: all threads must come here.
#pragma unroll
  for (int offset = 16; offset >= kLanes; offset /= 2)
#pragma unroll
    for (int k = 0; k < 4; ++k) sum[k] += __shfl_xor_sync(kAllLanes, sum[k], offset);
  __shared__ double of_warp[kWarps][kColumns];
  if (threadIdx.x % 32 < kLanes)
#pragma unroll
    for (int k = 0; k < 4; ++k) of_warp[threadIdx.x / 32][4 * lane + k] = sum[k];
  __syncthreads();
  const std::int64_t mine = std::int64_t{blockIdx.x} * kColumns + threadIdx.x;
  if (threadIdx.x >= kColumns || mine >= a.out) return;
  double total = 0.0;
  for (int warp = 0; warp < kWarps; ++warp) total += of_warp[warp][threadIdx.x];
  if (partial != nullptr)
    partial[blockIdx.y * std::int64_t{a.out} + mine] = total;
  else
    a.d_bias[mine] = static_cast<float>(a.d_bias[mine] + total);
}

// One thread per column.
__global__ void add_spans(int out, int spans, const double* partial, float* d_bias) {
  const std::int64_t column = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (column >= out) return;
  double total = 0.0;
  for (int s = 0; s < spans; ++s) total += partial[s * std::int64_t{out} + column];
  d_bias[column] = static_cast<float>(d_bias[column] + total);
}

bool divisible_by_16(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
}

template <int kLanes>
void launch_tiles(Context& ctx, const ActivationBackward& a, int span, int spans, double* partial) {
  const bool aligned =
      a.out % 4 == 0 && divisible_by_16(a.y) && divisible_by_16(a.dy) && divisible_by_16(a.g);
  launch(ctx,
         {.name = "activation_backward",
          .grid = {blocks_for(a.out, 4 * kLanes), static_cast<unsigned>(spans)},
          .block = kBlock},
         aligned ? activation_backward_tiles<kLanes, true> : activation_backward_tiles<kLanes, false>, a,
         span, partial);
}

}  // namespace

void activate(Context& ctx, Activation activation, std::int64_t count, float* y) {
  launch(ctx,
         {.name = "activate",
          .grid = blocks_for((count + 3) / 4, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         divisible_by_16(y) ? activate_groups<true> : activate_groups<false>, activation, count, y);
}

void activation_backward(Context& ctx, const ActivationBackward& a) {
  // Up to here one launch is quicker than two: narrow tiles (one 32-byte sector of a row) make blocks enough.
  constexpr int kOneSpan = 2048;
  if (a.n <= kOneSpan) return launch_tiles<2>(ctx, a, a.n, 1, nullptr);
  constexpr int kSmallestSpan = 1024, kMostSpans = 128;
  const int span = std::max(kSmallestSpan, a.n / kMostSpans + (a.n % kMostSpans != 0));
  const int spans = a.n / span + (a.n % span != 0);
  const ArenaScope scope(ctx);
  double* partial = ctx.scratch<double>(static_cast<std::size_t>(spans) * static_cast<std::size_t>(a.out));
  launch_tiles<8>(ctx, a, span, spans, partial);
  launch(ctx, {.name = "add_spans", .grid = blocks_for(a.out), .block = kElementwiseBlock}, add_spans, a.out,
         spans, partial, a.d_bias);
}

}  // namespace emer::cuda
