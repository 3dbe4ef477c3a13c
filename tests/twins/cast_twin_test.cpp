// Casts on the device are exact roundings.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/bf16_cast.h"
#include "kernels/cuda/cast.h"
#include "tests/support/bf16.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using CastTwin = test::TwinTest;

// Every rounding case of a bfloat16, at counts and offsets that leave a vector of eight incomplete.
TEST_F(CastTwin, RoundToNearestEven) {
  Context ctx(DeviceKind::kCuda);
  const float infinity = std::numeric_limits<float>::infinity();
  const float cases[] = {0.0f,     -0.0f,         1.0f,     257.0f,    259.0f, -257.0f,
                         1.0e-30f, 0x1.00fffep0f, infinity, -infinity, 3.4e38f};
  for (const std::size_t count : {1u, 7u, 8u, 9u, 255u, 2049u})
    for (const std::size_t offset : {0u, 1u}) {
      std::vector<float> values(count + offset);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = cases[i % std::size(cases)];
      values.back() = std::numeric_limits<float>::quiet_NaN();
      test::DeviceArray<float> from(ctx, values);
      auto bits = test::DeviceArray<std::uint16_t>::poisoned(ctx, count + offset);
      auto back = test::DeviceArray<float>::poisoned(ctx, count);
      cuda::cast_to_bf16(ctx, static_cast<std::int64_t>(count), from.data() + offset, bits.data() + offset);
      cuda::cast_to_float(ctx, static_cast<std::int64_t>(count), bits.data() + offset, back.data());
      const auto got = back.read();
      bits.read();
      for (std::size_t i = 0; i + 1 < count; ++i) {
        const double value = values[i + offset];
        const double want = std::isinf(value) || std::abs(value) > 3.39e38 ? std::copysign(INFINITY, value)
                                                                           : test::bf16_rounded(value);
        EXPECT_EQ(got[i], static_cast<float>(want)) << value;
        EXPECT_EQ(std::signbit(got[i]), std::signbit(want)) << value;
      }
      EXPECT_TRUE(std::isnan(got.back()));
    }
}

TEST_F(CastTwin, BetweenFloatAndDouble) {
  Context ctx(DeviceKind::kCuda);
  const auto values = test::normal<double>(1000, 0, 1, 22);
  test::DeviceArray<double> from(ctx, values);
  auto floats = test::DeviceArray<float>::poisoned(ctx, 1000);
  auto doubles = test::DeviceArray<double>::poisoned(ctx, 1000);
  cuda::cast_to_float(ctx, 1000, from.data(), floats.data());
  cuda::cast_to_double(ctx, 1000, floats.data(), doubles.data());
  const auto narrow = floats.read();
  const auto wide = doubles.read();
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(narrow[i], static_cast<float>(values[i]));
    EXPECT_EQ(wide[i], static_cast<double>(narrow[i]));
  }
}

// The op, whose twins both exist: ties to even, NaN stays, what is bfloat16 already comes back as it was.
TEST_F(CastTwin, RoundToBf16IsTheSameOnBothDevices) {
  const std::vector<float> values = {1.0f,
                                     257.0f,
                                     259.0f,
                                     -257.0f,
                                     0x1.02p0f,
                                     0x1.01p0f,
                                     3.0f,
                                     0.1f,
                                     1.0e-30f,
                                     -0.0f,
                                     std::numeric_limits<float>::quiet_NaN()};
  const auto count = static_cast<std::int64_t>(values.size());
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    Context ctx(kind);
    test::DeviceArray<float> from(ctx, values);
    auto rounded = test::DeviceArray<BFloat16>::poisoned(ctx, values.size());
    auto back = test::DeviceArray<float>::poisoned(ctx, values.size());
    round_to_bf16(ctx, {.count = count, .from = from.data(), .to = rounded.data()});
    widen_bf16(ctx, {.count = count, .from = rounded.data(), .to = back.data()});
    rounded.read();
    const auto got = back.read();
    for (std::size_t i = 0; i + 1 < values.size(); ++i)
      EXPECT_EQ(static_cast<double>(got[i]), test::bf16_rounded(static_cast<double>(values[i]))) << values[i];
    EXPECT_TRUE(std::isnan(got.back()));
  }
}

}  // namespace
}  // namespace emer
