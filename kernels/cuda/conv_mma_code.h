// kernels/cuda/conv_mma_code.h - what the kernels of conv_mma and conv_hopper share. Only .cu files include this.
#pragma once

#include <cuda_bf16.h>

#include <type_traits>

#include "kernels/cuda/conv_tensor.h"
#include "kernels/cuda/tensor_core.h"

namespace emer::cuda {

inline constexpr int kConvVector = 16;  // bytes of one copy

// One product of a warp; its depth is 32 bytes of either operand.
template <class Operand>
__device__ inline void conv_multiply(float (&c)[4], const std::uint32_t (&a)[4],
                                     const std::uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<Operand, float>)
    multiply_tf32(c, a, b);
  else
    multiply_bf16(c, a, b);
}

// A register of an operand, as the product takes it.
template <class Operand>
__device__ inline std::uint32_t conv_rounded(std::uint32_t bits) {
  if constexpr (std::is_same_v<Operand, float>)
    return round_tf32(bits);
  else
    return bits;
}

// Two floats as a pair of bfloat16.
__device__ inline std::uint32_t conv_pair(float first, float second) {
  const std::uint32_t low = __bfloat16_as_ushort(__float2bfloat16_rn(first));
  return low | static_cast<std::uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(second))) << 16;
}
// Two neighbouring elements of a result.
__device__ inline void conv_store_pair(float* to, float first, float second) {
  *reinterpret_cast<float2*>(to) = make_float2(first, second);
}
__device__ inline void conv_store_pair(Bf16Bits* to, float first, float second) {
  *reinterpret_cast<std::uint32_t*>(to) = conv_pair(first, second);
}

// max(0, z); a NaN stays one.
__device__ inline float conv_relu(float z) {
  return z <= 0.0f ? 0.0f : z;
}

// The largest of a window, the first where they are equal, NaN where one is; `place` is where it was.
__device__ inline float conv_pooled(const float (&a)[4], int& place) {
  float largest = a[0];
  place = 0;
#pragma unroll
  for (int k = 1; k < 4; ++k) {
    const bool takes = a[k] > largest || a[k] != a[k];
    largest = takes ? a[k] : largest;
    place = takes ? k : place;
  }
  return largest;
}

}  // namespace emer::cuda
