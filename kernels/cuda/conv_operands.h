// kernels/cuda/conv_operands.h - a convolution's arrays in the format of tensor-core products. For conv_mma.cpp and
// conv_hopper.cpp.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/check.h"
#include "kernels/conv_block.h"
#include "kernels/cuda/cast.h"
#include "kernels/cuda/conv_parts.h"
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

// Vectors of so many bytes are copied and stored.
inline constexpr std::uintptr_t kConvAlignment = 16;
inline void check_conv_place(const void* array, std::uintptr_t alignment) {
  EMER_CHECK(reinterpret_cast<std::uintptr_t>(array) % alignment == 0,
             "conv block: kernels mma and hopper take arrays at multiples of {} bytes, not {}", alignment,
             array);
}

// The array itself, or a copy in scratch that is rounded to bfloat16.
template <class Operand, class Stored>
const Operand* conv_operand(Context& ctx, std::int64_t count, const Stored* from) {
  check_conv_place(from, kConvAlignment);
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

// The product that is a forward block; copies of its operands live in the caller's ArenaScope.
template <class Operand, class Stored>
ConvProduct conv_forward_product(Context& ctx, const ConvBlockForward<float, Stored>& a) {
  const ConvShape& s = a.shape;
  check_conv_place(a.y, kConvAlignment);
  if (s.pool) check_conv_place(a.argmax, kConvChannelStep);
  return {.n = s.n,
          .height = s.height,
          .width = s.width,
          .depth = s.in,
          .columns = s.out,
          .pool = s.pool,
          .source = conv_operand<Operand>(ctx, conv_pixels(s) * s.in, a.x),
          .weight = conv_operand<Operand>(ctx, conv_weights(s), a.weight),
          .bias = a.bias,
          .result = a.y,
          .argmax = s.pool ? a.argmax : nullptr};
}

// The product that takes dz to dx: with weights that are flipped, and in and out exchanged.
template <class Operand, class Stored>
ConvProduct conv_backward_product(Context& ctx, const ConvBlockBackward<float, Stored>& a,
                                  const Operand* dz) {
  const ConvShape& s = a.shape;
  check_conv_place(a.dx, kConvAlignment);
  auto* flipped = ctx.scratch<float>(static_cast<std::size_t>(conv_weights(s)));
  conv_flip_weights(ctx, s.out, s.in, a.weight, flipped);
  return {.n = s.n,
          .height = s.height,
          .width = s.width,
          .depth = s.out,
          .columns = s.in,
          .source = dz,
          .weight = conv_operand<Operand>(ctx, conv_weights(s), static_cast<const float*>(flipped)),
          .result = a.dx};
}

}  // namespace emer::cuda
