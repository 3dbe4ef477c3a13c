// kernels/cpu/vector_math.h - exp, expm1, log, sigmoid, tanh, softplus without branches or tables.
//
// In float each is a short straight line of arithmetic that GCC turns into SIMD code when called in a loop
// (`#pragma omp simd`); libm's would be a call per element. In double, which exists for checking, libm is
// used. Errors in float against double: at most 4 ulp over the whole range
// (tests/kernels/vector_math_test.cpp). NaN gives NaN. Results below 1.6e-38, where the normal numbers end,
// are replaced by about that.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace emer::cpu {

namespace detail {

// x = k ln 2 + r with |r| <= ln(2)/2; `scale` = 2^k and `tail` = e^r - 1, both in float.
struct ExpParts {
  float scale;
  float tail;
};
inline ExpParts exp_parts(float x) {
  constexpr float kShift =
      12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number in the low mantissa bits
  const float shifted = x * 1.44269504088896341f + kShift;
  const float k = shifted - kShift;
  // ln 2 in two parts (Cody and Waite): k times the first is exact.
  const float r = (x - k * 0.693359375f) - k * -2.12194440054690583e-4f;
  // e^r - 1 = r + r^2 p(r), Taylor to r^8: the rest is below |r|^9/9! = 2e-10.
  float p = 1.0f / 40320.0f;
  p = p * r + 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  const std::int32_t whole = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(kShift);
  return {std::bit_cast<float>((whole + 127) << 23), r + r * r * p};
}

}  // namespace detail

// x <= 0; below -87 the result is -1.
inline float expm1_negative(float x) {
  x = x < -87.0f ? -87.0f : x;
  const detail::ExpParts parts = detail::exp_parts(x);
  return parts.scale * parts.tail + (parts.scale - 1.0f);
}
inline double expm1_negative(double x) {
  return std::expm1(x);
}

// x <= 0; below -87 the result is e^-87 = 1.6e-38, the smallest normal numbers.
inline float exp_negative(float x) {
  x = x < -87.0f ? -87.0f : x;
  const detail::ExpParts parts = detail::exp_parts(x);
  return parts.scale * parts.tail + parts.scale;
}
inline double exp_negative(double x) {
  return std::exp(x);
}

// Natural logarithm; x is positive and no smaller than the normal numbers. Infinity and NaN pass through.
inline float log_normal(float x) {
  // x = 2^k m with m in [2/3, 4/3); ln m = 2 artanh(s), s = (m - 1) / (m + 1), |s| <= 1/5. The series ends with
  // s^11/11, whose successor is below 2 * 5^-13 / 13 = 1.3e-10.
  constexpr std::int32_t kTwoThirds = 0x3f2aaaab;
  const auto bits = std::bit_cast<std::int32_t>(x);
  const std::int32_t k = (bits - kTwoThirds) >> 23;
  const float f = std::bit_cast<float>(bits - (k << 23)) - 1.0f;
  const float s = f / (2.0f + f);
  const float q = s * s;
  float p = 1.0f / 11.0f;
  p = p * q + 1.0f / 9.0f;
  p = p * q + 1.0f / 7.0f;
  p = p * q + 1.0f / 5.0f;
  p = p * q + 1.0f / 3.0f;
  // ln 2 in two parts, as above; f - s f = 2 s.
  const auto whole = static_cast<float>(k);
  const float result = whole * 0.693359375f + (f - s * (f - 2.0f * q * p) + whole * -2.12194440054690583e-4f);
  return x - x == 0.0f ? result : x;
}
inline double log_normal(double x) {
  return std::log(x);
}

// Both from e^-|x|, which cannot overflow.
inline float sigmoid(float x) {
  const float e = exp_negative(x < 0 ? x : -x);
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}
inline double sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}

// tanh |x| = -m / (2 + m) with m = e^(-2|x|) - 1: keeps its relative accuracy near 0.
inline float tanh(float x) {
  const float m = expm1_negative(-2.0f * std::abs(x));
  return std::copysign(m / (2.0f + m), x);
}
inline double tanh(double x) {
  return std::tanh(x);
}

// max(x, 0) + ln(1 + t), t = e^-|x|; ln(1 + t) = 2 artanh(s), s = t / (2 + t) <= 1/3. The series ends with
// s^17/17, whose successor is below 2 * 3^-19 / 19 = 1e-10.
inline float softplus(float x) {
  const float t = exp_negative(x < 0 ? x : -x);
  const float s = t / (2.0f + t);
  const float q = s * s;
  float p = 1.0f / 17.0f;
  p = p * q + 1.0f / 15.0f;
  p = p * q + 1.0f / 13.0f;
  p = p * q + 1.0f / 11.0f;
  p = p * q + 1.0f / 9.0f;
  p = p * q + 1.0f / 7.0f;
  p = p * q + 1.0f / 5.0f;
  p = p * q + 1.0f / 3.0f;
  return (x < 0 ? 0.0f : x) + 2.0f * (s + s * q * p);
}
inline double softplus(double x) {
  return (x < 0 ? 0.0 : x) + std::log1p(std::exp(-std::abs(x)));
}

// The derivative of softplus from its output: 1 - e^-y.
template <class Real>
inline Real softplus_slope(Real y) {
  return -expm1_negative(-y);
}

}  // namespace emer::cpu
