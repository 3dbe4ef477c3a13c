// kernels/cuda/conv_operands.h - a convolution's arrays in the format of tensor-core products. For conv_mma.cpp and
// conv_hopper.cpp.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/conv_block.h"
#include "kernels/cuda/cast.h"
#include "kernels/cuda/conv_tensor.h"

namespace emer::cuda {

// What Stored is in device code.
template <class Stored>
using ConvElement = std::conditional_t<std::is_same_v<Stored, BFloat16>, Bf16Bits, float>;

inline std::int64_t conv_pixels(const ConvShape& s) {
  return std::int64_t{s.n} * s.height * s.width;
}
inline std::int64_t conv_weights(const ConvShape& s) {
  return std::int64_t{9} * s.out * s.in;
}

// The array itself, or a copy in scratch that is rounded to bfloat16.
template <class Operand, class Stored>
const Operand* conv_operand(Context& ctx, std::int64_t count, const Stored* from) {
  if constexpr (std::is_same_v<Stored, BFloat16>) {
    static_assert(std::is_same_v<Operand, Bf16Bits>);
    return reinterpret_cast<const Bf16Bits*>(from);
  } else if constexpr (std::is_same_v<Operand, float>) {
    return from;
  } else {
    auto* rounded = ctx.scratch<Bf16Bits>(static_cast<std::size_t>(count));
    cast_to_bf16(ctx, count, from, rounded);
    return rounded;
  }
}

}  // namespace emer::cuda
