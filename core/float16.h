// core/float16.h - the two 16-bit floating formats, read. Every value of either is a float exactly.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace emer {

// IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits.
inline float float_from_f16(std::uint16_t bits) {
  const bool negative = (bits & 0x8000U) != 0;
  const int exponent = (bits >> 10) & 0x1F;
  const auto fraction = static_cast<std::uint32_t>(bits & 0x3FFU);
  if (exponent == 0x1F)
    return std::bit_cast<float>((negative ? 0x80000000U : 0U) | 0x7F800000U | (fraction << 13));
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                        : std::ldexp(static_cast<float>(fraction + 0x400U), exponent - 25);
  return negative ? -magnitude : magnitude;
}

// bfloat16: the upper half of a float.
inline float float_from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

}  // namespace emer
