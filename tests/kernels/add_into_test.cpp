#include "kernels/add_into.h"

#include <gtest/gtest.h>

#include <cmath>

namespace emer::test {
namespace {

TEST(AddInto, AddsEveryElementAndNoOther) {
  Context ctx;
  const std::vector<double> x{1.0, -2.5, std::nan(""), 0.25};
  std::vector<double> y{0.5, 2.0, 1.0, 7.0};
  add_into<double>(ctx, {.count = 3, .x = x.data(), .y = y.data()});
  EXPECT_EQ(y[0], 1.5);
  EXPECT_EQ(y[1], -0.5);
  EXPECT_TRUE(std::isnan(y[2]));
  EXPECT_EQ(y[3], 7.0);
  add_into<double>(ctx, {});
  EXPECT_THROW(add_into<double>(ctx, {.count = 1, .x = x.data()}), std::exception);
}

}  // namespace
}  // namespace emer::test
