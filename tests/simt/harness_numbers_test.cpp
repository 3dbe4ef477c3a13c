// bfloat16 and CUDA's integer and conversion intrinsics, against plain references.
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

// The nearest of the two neighbours, the even one on a tie, by comparing distances in double: exact, since neighbours
// and floats have few bits. Past the largest bfloat16, its next would be 2^128.
unsigned short nearest_bf16(float value) {
  const unsigned bits = __float_as_uint(value);
  const auto low = static_cast<unsigned short>(bits >> 16);  // towards zero
  const auto high = static_cast<unsigned short>(low + 1);
  const auto magnitude = [](unsigned short half) {
    const int exponent = (half >> 7) & 0xff, fraction = half & 0x7f;
    return exponent == 0 ? std::ldexp(fraction, -126 - 7) : std::ldexp(128 + fraction, exponent - 127 - 7);
  };
  const double x = std::abs(static_cast<double>(value)), below = x - magnitude(low),
               above = magnitude(high) - x;
  if (below != above) return below < above ? low : high;
  return low % 2 == 0 ? low : high;
}

TEST(SimtBf16, EveryValueSurvivesTheRoundTrip) {
  for (unsigned i = 0; i < 65536; ++i) {
    const __nv_bfloat16 half = __ushort_as_bfloat16(static_cast<unsigned short>(i));
    const float wide = __bfloat162float(half);
    ASSERT_EQ(__float_as_uint(wide), i << 16);
    if (std::isnan(wide)) {
      ASSERT_TRUE(std::isnan(__bfloat162float(__float2bfloat16_rn(wide)))) << i;
      ASSERT_TRUE(__hisnan(half));
    } else {
      ASSERT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(wide)), i);
    }
  }
}

// Every upper half, with the lower halves where rounding turns: all ties, their neighbours, and a few between.
TEST(SimtBf16, RoundsToNearestEven) {
  for (unsigned upper = 0; upper < 65536; ++upper)
    for (const unsigned lower : {0u, 1u, 0x1234u, 0x7fffu, 0x8000u, 0x8001u, 0xabcdu, 0xffffu}) {
      const float value = __uint_as_float(upper << 16 | lower);
      const unsigned short got = __bfloat16_as_ushort(__float2bfloat16_rn(value));
      if (std::isnan(value)) {
        ASSERT_TRUE((got & 0x7fff) > 0x7f80) << upper << " " << lower;
      } else if (std::isinf(value)) {
        ASSERT_EQ(got, upper);
      } else {
        ASSERT_EQ(got, nearest_bf16(value)) << upper << " " << lower;
      }
    }
}

TEST(SimtBf16, PairsAndArithmetic) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(1.5f, -2.0f);
  EXPECT_EQ(__low2float(pair), 1.5f);
  EXPECT_EQ(__high2float(pair), -2.0f);
  static_assert(sizeof(__nv_bfloat162) == 4 && sizeof(__nv_bfloat16) == 2);
  // 1 + 2^-8 lies between two bfloat16: the sum is rounded, as the device rounds it
  const __nv_bfloat16 sum = __float2bfloat16_rn(1.0f) + __float2bfloat16_rn(0x1p-8f);
  EXPECT_EQ(__bfloat162float(sum), 1.0f);
}

TEST(SimtIntrinsics, Bits) {
  EXPECT_EQ(__popc(0xf0f00001u), 9);
  EXPECT_EQ(__popcll(0xf000000000000001ull), 5);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__clzll(1), 63);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__ffsll(1ll << 40), 41);
  EXPECT_EQ(__brev(1u), 0x80000000u);
  EXPECT_EQ(__brev(0x12345678u), 0x1e6a2c48u);
  EXPECT_EQ(__brevll(2ull), 0x4000000000000000ull);
  EXPECT_EQ(__umulhi(0xffffffffu, 0xffffffffu), 0xfffffffeu);
  EXPECT_EQ(__mulhi(-1, 2), -1);
  EXPECT_EQ(__umul64hi(0xffffffffffffffffull, 2), 1ull);
  EXPECT_EQ(__funnelshift_l(0x80000000u, 1u, 1), 3u);
  EXPECT_EQ(__funnelshift_r(0x80000000u, 1u, 1), 0xc0000000u);
  EXPECT_EQ(__byte_perm(0x03020100u, 0x07060504u, 0x7531u), 0x07050301u);
  EXPECT_EQ(__byte_perm(0x80u, 0u, 0x8888u), 0xffffffffu);
}

TEST(SimtIntrinsics, ConversionsRoundAndSaturate) {
  EXPECT_EQ(__float2int_rn(2.5f), 2);
  EXPECT_EQ(__float2int_rn(3.5f), 4);
  EXPECT_EQ(__float2int_rz(-2.7f), -2);
  EXPECT_EQ(__float2int_rd(-2.1f), -3);
  EXPECT_EQ(__float2int_ru(-2.9f), -2);
  EXPECT_EQ(__float2int_rn(1e20f), std::numeric_limits<int>::max());
  EXPECT_EQ(__float2uint_rn(-1.0f), 0u);
  EXPECT_EQ(__float2int_rn(std::numeric_limits<float>::quiet_NaN()), 0);
  EXPECT_EQ(__double2ll_rn(-1e300), std::numeric_limits<long long>::min());
  EXPECT_EQ(__hiloint2double(__double2hiint(-1.25), __double2loint(-1.25)), -1.25);
  EXPECT_EQ(rsqrtf(4.0f), 0.5f);
  EXPECT_EQ(__saturatef(std::numeric_limits<float>::quiet_NaN()), 0.0f);
  EXPECT_EQ(max(std::numeric_limits<float>::quiet_NaN(), 1.0f), 1.0f);
  EXPECT_EQ(min(-1, 2u), 2u) << "CUDA's conversion: -1 becomes unsigned";
}

}  // namespace
