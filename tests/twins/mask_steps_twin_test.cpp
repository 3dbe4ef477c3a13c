// Copies and zeros: the twins agree bit for bit, and with what the formula says.
#include <gtest/gtest.h>

#include <limits>

#include "kernels/mask_steps.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

std::vector<float> run(DeviceKind kind, int steps, int width, const std::vector<std::int32_t>& lengths,
                       const std::vector<float>& values, bool in_place) {
  Context ctx(kind);
  test::DeviceArray<std::int32_t> ends(ctx, lengths);
  test::DeviceArray<float> x(ctx, values);
  auto y = test::DeviceArray<float>::poisoned(ctx, values.size());
  mask_steps<float>(ctx, {.n = static_cast<int>(lengths.size()),
                          .steps = steps,
                          .width = width,
                          .lengths = ends.data(),
                          .x = x.data(),
                          .y = in_place ? x.data() : y.data()});
  return in_place ? x.read() : y.read();
}

TEST(MaskSteps, ClearsBehindTheEnds) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const bool in_place : {false, true})
    EXPECT_EQ(run(DeviceKind::kCpu, 3, 2, {1, 3, 0},
                  {1, 2, 3, 4, nan, nan, 5, 6, 7, 8, 9, 10, nan, 1, 1, 1, 1, 1}, in_place),
              (std::vector<float>{1, 2, 0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 0, 0, 0, 0, 0, 0}));
}

using MaskStepsTwin = test::TwinTest;

TEST_F(MaskStepsTwin, EqualsTheCpu) {
  for (const int width : {1, 3, 128}) {
    const std::vector<std::int32_t> lengths{7, 1, 4, 9};
    auto values = test::uniform<float>(static_cast<std::size_t>(4 * 9 * width), -1, 1, 3);
    values[static_cast<std::size_t>(8 * width)] =
        std::numeric_limits<float>::quiet_NaN();  // behind the first end
    for (const bool in_place : {false, true})
      EXPECT_EQ(run(DeviceKind::kCuda, 9, width, lengths, values, in_place),
                run(DeviceKind::kCpu, 9, width, lengths, values, in_place));
  }
}

}  // namespace
}  // namespace emer
