// tests/support/bf16.h - bfloat16 by arithmetic instead of bits.
#pragma once

#include <cmath>

namespace emer::test {

// To 8 significant bits, ties to even; for finite values within the range of bfloat16's normal numbers.
inline double bf16_rounded(double value) {
  if (value == 0) return value;
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);
}

}  // namespace emer::test
