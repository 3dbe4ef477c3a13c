// Clamping is exact: the twins agree bit for bit.
#include <gtest/gtest.h>

#include <limits>

#include "kernels/clamp.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using ClampTwin = test::TwinTest;

struct Result {
  std::vector<float> y, dx;
};

Result run(DeviceKind kind, const std::vector<float>& x, const std::vector<float>& dy) {
  Context ctx(kind);
  test::DeviceArray<float> in(ctx, x), gradient(ctx, dy);
  auto y = test::DeviceArray<float>::poisoned(ctx, x.size());
  auto dx = test::DeviceArray<float>::poisoned(ctx, x.size());
  const auto count = static_cast<std::int64_t>(x.size());
  clamp<float>(ctx, {.count = count, .low = -1, .high = 2, .x = in.data(), .y = y.data()});
  clamp_backward<float>(
      ctx, {.count = count, .low = -1, .high = 2, .y = y.data(), .dy = gradient.data(), .dx = dx.data()});
  return {y.read(), dx.read()};
}

TEST_F(ClampTwin, EqualsTheCpu) {
  for (const std::size_t count : {1u, 2u, 31u, 32u, 33u, 255u, 256u, 257u, 1021u}) {
    auto x = test::uniform<float>(count, -3, 4, count);
    x[0] = 2.0f;  // the kink
    const auto dy = test::normal<float>(count, 0, 1, count + 1);
    const Result want = run(DeviceKind::kCpu, x, dy), got = run(DeviceKind::kCuda, x, dy);
    EXPECT_EQ(got.y, want.y) << count;
    EXPECT_EQ(got.dx, want.dx) << count;
  }
}

TEST_F(ClampTwin, KeepsNaN) {
  const Result got = run(DeviceKind::kCuda, {std::numeric_limits<float>::quiet_NaN(), 5}, {3, 4});
  EXPECT_TRUE(std::isnan(got.y[0]));
  EXPECT_EQ(got.dx, (std::vector<float>{3, 0}));
}

TEST_F(ClampTwin, EmptyArraysLaunchNothing) {
  Context ctx(DeviceKind::kCuda);
  clamp<float>(ctx, {.count = 0, .low = 0, .high = 1, .x = nullptr, .y = nullptr});
  ctx.synchronize();
}

}  // namespace
}  // namespace emer
