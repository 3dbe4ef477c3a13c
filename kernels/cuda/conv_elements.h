// kernels/cuda/conv_elements.h - what the convolution kernels share: elements kept as float or BFloat16, four at a time.
// Only .cu files include this.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "core/bfloat16.h"

namespace emer::cuda {

__device__ inline float load_element(const float* from) {
  return *from;
}
__device__ inline float load_element(const BFloat16* from) {
  return __uint_as_float(static_cast<unsigned>(from->bits) << 16);
}
__device__ inline std::uint32_t bfloat16_bits(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
__device__ inline void store_element(float* to, float value) {
  *to = value;
}
__device__ inline void store_element(BFloat16* to, float value) {
  to->bits = static_cast<std::uint16_t>(bfloat16_bits(value));
}

// Four neighbours at an address that is a multiple of their size.
__device__ inline float4 load_four(const float* from) {
  return *reinterpret_cast<const float4*>(from);
}
__device__ inline float4 load_four(const BFloat16* from) {
  const uint2 bits = *reinterpret_cast<const uint2*>(from);
  return make_float4(__uint_as_float(bits.x << 16), __uint_as_float(bits.x & 0xffff0000u),
                     __uint_as_float(bits.y << 16), __uint_as_float(bits.y & 0xffff0000u));
}
__device__ inline void store_four(float* to, float4 values) {
  *reinterpret_cast<float4*>(to) = values;
}
__device__ inline void store_four(BFloat16* to, float4 values) {
  *reinterpret_cast<uint2*>(to) = make_uint2(bfloat16_bits(values.x) | bfloat16_bits(values.y) << 16,
                                             bfloat16_bits(values.z) | bfloat16_bits(values.w) << 16);
}

// A weight as the products of arrays of Stored take it.
template <class Stored>
__device__ inline float rounded_weight(float weight) {
  if constexpr (sizeof(Stored) == sizeof(BFloat16))
    return __uint_as_float(bfloat16_bits(weight) << 16);
  else
    return weight;
}

// Slope 0 at 0; a NaN stays.
__device__ inline float conv_relu(float z) {
  return z <= 0.0f ? 0.0f : z;
}
// dz where y is the block's output.
__device__ inline float conv_relu_backward(float y, float dy) {
  return y <= 0.0f ? 0.0f : dy;
}

// The pool over one window: values in the order of the ties. A NaN wins.
struct PoolChoice {
  float value;
  unsigned place;
};
__device__ inline PoolChoice pool_choice(float first, float second, float third, float fourth) {
  PoolChoice best{first, 0};
  const auto take = [&best](float value, unsigned place) {
    if (value > best.value || (value != value && best.value == best.value)) best = {value, place};
  };
  take(second, 1);
  take(third, 2);
  take(fourth, 3);
  return best;
}

// Host side: whether loads and stores of four elements may be used.
template <class T>
inline bool fours_aligned(const T* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % (4 * sizeof(T)) == 0;
}

}  // namespace emer::cuda
