// One addition each: the twins agree bit for bit.
#include <gtest/gtest.h>

#include "kernels/add_into.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

using AddIntoTwin = TwinTest;

std::vector<float> run(DeviceKind kind, const std::vector<float>& x, const std::vector<float>& y) {
  Context ctx(kind);
  DeviceArray<float> in(ctx, x), out(ctx, y);
  add_into<float>(ctx, {.count = static_cast<std::int64_t>(x.size()), .x = in.data(), .y = out.data()});
  return out.read();
}

TEST_F(AddIntoTwin, EqualsTheCpu) {
  for (const std::size_t count : {1u, 31u, 32u, 33u, 255u, 256u, 257u, 1021u}) {
    const auto x = normal<float>(count, 0, 1, count), y = normal<float>(count, 0, 1, count + 1);
    EXPECT_EQ(run(DeviceKind::kCuda, x, y), run(DeviceKind::kCpu, x, y)) << count;
  }
}

}  // namespace
}  // namespace emer::test
