// simt_math.h - CUDA's device arithmetic on the CPU. The fast forms (__expf …) are computed accurately: a test
// bound that holds on a GPU holds here, the reverse is for the GPU run to show.
#pragma once

#include <math.h>  // isfinite and its kin in the global namespace too

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

// NOLINTBEGIN: CUDA's names
inline float __expf(float x) {
  return std::exp(x);
}
inline float __exp10f(float x) {
  return std::pow(10.0f, x);
}
inline float __logf(float x) {
  return std::log(x);
}
inline float __log2f(float x) {
  return std::log2(x);
}
inline float __log10f(float x) {
  return std::log10(x);
}
inline float __sinf(float x) {
  return std::sin(x);
}
inline float __cosf(float x) {
  return std::cos(x);
}
inline float __tanf(float x) {
  return std::tan(x);
}
inline float __powf(float x, float y) {
  return std::pow(x, y);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
inline float __saturatef(float x) {
  return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f;
}
inline float __tanhf(float x) {
  return std::tanh(x);
}
inline float rsqrtf(float x) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x)));
}
inline double rsqrt(double x) {
  return 1.0 / std::sqrt(x);
}
inline float rcbrtf(float x) {
  return 1.0f / std::cbrt(x);
}
inline float normcdff(float x) {
  return static_cast<float>(0.5 * std::erfc(-static_cast<double>(x) * 0.70710678118654752));
}
inline void sincospif(float x, float* s, float* c) {
  const double angle = 3.14159265358979323846 * static_cast<double>(x);
  *s = static_cast<float>(std::sin(angle));
  *c = static_cast<float>(std::cos(angle));
}
inline float sinpif(float x) {
  return static_cast<float>(std::sin(3.14159265358979323846 * static_cast<double>(x)));
}
inline float cospif(float x) {
  return static_cast<float>(std::cos(3.14159265358979323846 * static_cast<double>(x)));
}

inline float __frcp_rn(float x) {
  return 1.0f / x;
}
inline float __fsqrt_rn(float x) {
  return std::sqrt(x);
}
inline float __frsqrt_rn(float x) {
  return rsqrtf(x);
}
inline float __fadd_rn(float x, float y) {
  return x + y;
}
inline float __fsub_rn(float x, float y) {
  return x - y;
}
inline float __fmul_rn(float x, float y) {
  return x * y;
}
inline float __fdiv_rn(float x, float y) {
  return x / y;
}
inline float __fmaf_rn(float x, float y, float z) {
  return std::fma(x, y, z);
}
inline double __dadd_rn(double x, double y) {
  return x + y;
}
inline double __dsub_rn(double x, double y) {
  return x - y;
}
inline double __dmul_rn(double x, double y) {
  return x * y;
}
inline double __ddiv_rn(double x, double y) {
  return x / y;
}
inline double __dsqrt_rn(double x) {
  return std::sqrt(x);
}
inline double __drcp_rn(double x) {
  return 1.0 / x;
}
inline double __fma_rn(double x, double y, double z) {
  return std::fma(x, y, z);
}

inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
inline double __longlong_as_double(long long x) {
  return std::bit_cast<double>(x);
}
inline int __double2hiint(double x) {
  return static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 32);
}
inline int __double2loint(double x) {
  return static_cast<int>(std::bit_cast<std::uint64_t>(x));
}
inline double __hiloint2double(int hi, int lo) {
  return std::bit_cast<double>((static_cast<std::uint64_t>(static_cast<unsigned>(hi)) << 32) |
                               static_cast<unsigned>(lo));
}

namespace emer::simt::detail {
// cvt saturates, and turns NaN into 0 for the 32-bit targets.
template <class To, class From>
To saturate(From x) {
  if (std::isnan(x)) return 0;
  const double wide = static_cast<double>(x);
  if (wide <= static_cast<double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (wide >= static_cast<double>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(x);
}
}  // namespace emer::simt::detail
#define EMER_SIMT_ROUNDINGS(from, From, to, To)                 \
  inline To __##from##2##to##_rn(From x) {                      \
    return emer::simt::detail::saturate<To>(std::nearbyint(x)); \
  }                                                             \
  inline To __##from##2##to##_rz(From x) {                      \
    return emer::simt::detail::saturate<To>(std::trunc(x));     \
  }                                                             \
  inline To __##from##2##to##_rd(From x) {                      \
    return emer::simt::detail::saturate<To>(std::floor(x));     \
  }                                                             \
  inline To __##from##2##to##_ru(From x) {                      \
    return emer::simt::detail::saturate<To>(std::ceil(x));      \
  }
EMER_SIMT_ROUNDINGS(float, float, int, int)
EMER_SIMT_ROUNDINGS(float, float, uint, unsigned)
EMER_SIMT_ROUNDINGS(float, float, ll, long long)
EMER_SIMT_ROUNDINGS(float, float, ull, unsigned long long)
EMER_SIMT_ROUNDINGS(double, double, int, int)
EMER_SIMT_ROUNDINGS(double, double, uint, unsigned)
EMER_SIMT_ROUNDINGS(double, double, ll, long long)
EMER_SIMT_ROUNDINGS(double, double, ull, unsigned long long)
#undef EMER_SIMT_ROUNDINGS
inline float __int2float_rn(int x) {
  return static_cast<float>(x);
}
inline float __uint2float_rn(unsigned x) {
  return static_cast<float>(x);
}
inline float __ll2float_rn(long long x) {
  return static_cast<float>(x);
}
inline float __ull2float_rn(unsigned long long x) {
  return static_cast<float>(x);
}
inline double __int2double_rn(int x) {
  return x;
}
inline double __uint2double_rn(unsigned x) {
  return x;
}
inline double __ll2double_rn(long long x) {
  return static_cast<double>(x);
}
inline double __ull2double_rn(unsigned long long x) {
  return static_cast<double>(x);
}
inline float __double2float_rn(double x) {
  return static_cast<float>(x);
}

inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __popcll(unsigned long long x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __clzll(long long x) {
  return std::countl_zero(static_cast<unsigned long long>(x));
}
inline int __ffs(int x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1;
}
inline int __ffsll(long long x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(x)) + 1;
}
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= ((x >> bit) & 1u) << (31 - bit);
  return reversed;
}
inline unsigned long long __brevll(unsigned long long x) {
  return (static_cast<unsigned long long>(__brev(static_cast<unsigned>(x))) << 32) |
         __brev(static_cast<unsigned>(x >> 32));
}
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>((static_cast<std::uint64_t>(x) * y) >> 32);
}
inline int __mulhi(int x, int y) {
  return static_cast<int>((static_cast<std::int64_t>(x) * y) >> 32);
}
__extension__ typedef unsigned __int128 emer_simt_uint128;
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return static_cast<unsigned long long>((static_cast<emer_simt_uint128>(x) * y) >> 64);
}
inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned shift) {
  return static_cast<unsigned>((((static_cast<std::uint64_t>(hi) << 32) | lo) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned shift) {
  return static_cast<unsigned>(((static_cast<std::uint64_t>(hi) << 32) | lo) >> (shift & 31));
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const std::uint64_t bytes = (static_cast<std::uint64_t>(y) << 32) | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned pick = (selector >> (4 * i)) & 0xf;
    unsigned byte = static_cast<unsigned>(bytes >> (8 * (pick & 7))) & 0xff;
    if ((pick & 8) != 0) byte = (byte & 0x80) != 0 ? 0xff : 0x00;  // sign of the byte, replicated
    result |= byte << (8 * i);
  }
  return result;
}

// min and max of two numbers of one type; for two types CUDA's usual arithmetic conversions. NaN loses.
#define EMER_SIMT_MIN_MAX(T)  \
  constexpr T min(T x, T y) { \
    return y < x ? y : x;     \
  }                           \
  constexpr T max(T x, T y) { \
    return x < y ? y : x;     \
  }
EMER_SIMT_MIN_MAX(int)
EMER_SIMT_MIN_MAX(unsigned)
EMER_SIMT_MIN_MAX(long)
EMER_SIMT_MIN_MAX(unsigned long)
EMER_SIMT_MIN_MAX(long long)
EMER_SIMT_MIN_MAX(unsigned long long)
#undef EMER_SIMT_MIN_MAX
constexpr unsigned min(unsigned x, int y) {
  return min(x, static_cast<unsigned>(y));
}
constexpr unsigned min(int x, unsigned y) {
  return min(static_cast<unsigned>(x), y);
}
constexpr unsigned max(unsigned x, int y) {
  return max(x, static_cast<unsigned>(y));
}
constexpr unsigned max(int x, unsigned y) {
  return max(static_cast<unsigned>(x), y);
}
inline float min(float x, float y) {
  return std::fmin(x, y);
}
inline float max(float x, float y) {
  return std::fmax(x, y);
}
inline double min(double x, double y) {
  return std::fmin(x, y);
}
inline double max(double x, double y) {
  return std::fmax(x, y);
}
inline double min(float x, double y) {
  return std::fmin(static_cast<double>(x), y);
}
inline double min(double x, float y) {
  return std::fmin(x, static_cast<double>(y));
}
inline double max(float x, double y) {
  return std::fmax(static_cast<double>(x), y);
}
inline double max(double x, float y) {
  return std::fmax(x, static_cast<double>(y));
}
// NOLINTEND
