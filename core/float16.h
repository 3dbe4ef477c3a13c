// core/float16.h - the two 16-bit floating formats. Every value of either is a float exactly.
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
  const float magnitude =
      exponent == 0
          ? std::ldexp(static_cast<float>(fraction), -24)
          : std::bit_cast<float>((static_cast<std::uint32_t>(exponent + 112) << 23) | (fraction << 13));
  return negative ? -magnitude : magnitude;
}

// Rounds to nearest, ties to even; from 65520 on infinity; NaN stays NaN.
inline std::uint16_t f16_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<std::uint16_t>(sign | 0x7C00U);
  if (magnitude < 0x38800000U)  // below the smallest normal, 2^-14: a whole number of 2^-24
    return static_cast<std::uint16_t>(
        sign | static_cast<std::uint16_t>(std::nearbyint(std::ldexp(std::bit_cast<float>(magnitude), 24))));
  const std::uint32_t odd = (magnitude >> 13) & 1U;
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000U + 0xFFFU + odd) >> 13));
}

// bfloat16: the upper half of a float.
inline float float_from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

}  // namespace emer
