// kernels/cuda/conv_mma_code.h - what the kernels of conv_mma share. Only .cu files include this.
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

// Two neighbouring elements of a result.
__device__ inline void conv_store_pair(float* to, float first, float second) {
  *reinterpret_cast<float2*>(to) = make_float2(first, second);
}
__device__ inline void conv_store_pair(Bf16Bits* to, float first, float second) {
  const std::uint32_t low = __bfloat16_as_ushort(__float2bfloat16_rn(first));
  *reinterpret_cast<std::uint32_t*>(to) =
      low | static_cast<std::uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(second))) << 16;
}

// max(0, z); a NaN stays one.
__device__ inline float conv_relu(float z) {
  return z <= 0.0f ? 0.0f : z;
}

}  // namespace emer::cuda
