// Norm of the gradients and moving average on CUDA against plain loops in higher precision.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/adam_table.h"
#include "kernels/moving_average.h"
#include "kernels/sum_squares.h"
#include "kernels/sum_squares_all.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using WeightOpsTwin = test::TwinTest;
using Floats = std::vector<float>;

long double plain_sum(const Floats& x) {
  long double sum = 0;
  for (const float v : x) sum += static_cast<long double>(v) * v;
  return sum;
}

double sum_of(Context& ctx, const Floats& x, double start, std::size_t shift = 0) {
  Floats shifted(shift);
  shifted.insert(shifted.end(), x.begin(), x.end());
  test::DeviceArray<float> in(ctx, shifted);
  test::DeviceArray<double> total(ctx, std::vector<double>{start});
  sum_squares<float>(
      ctx, {.count = static_cast<std::int64_t>(x.size()), .x = in.data() + shift, .total = total.data()});
  return total.read()[0];
}

// A sum of positive terms in double: as many roundings as terms, at the worst.
double bound(std::size_t count) {
  return 1.2e-16 * static_cast<double>(count + 2);
}

TEST_F(WeightOpsTwin, SumSquaresMatchesAPlainSum) {
  Context ctx(DeviceKind::kCuda);
  for (const std::size_t count : {1u, 2u, 31u, 33u, 255u, 257u, 4095u, 4096u, 4097u, 20001u}) {
    const auto x = test::normal<float>(count, 0, 1, count);
    const double want = static_cast<double>(10 + plain_sum(x));
    EXPECT_TRUE(test::near_relative(sum_of(ctx, x, 10), want, bound(count))) << count;
    EXPECT_TRUE(test::near_relative(sum_of(ctx, x, 10, 1), want, bound(count))) << count << ", misaligned";
    EXPECT_EQ(sum_of(ctx, x, 10), sum_of(ctx, x, 10)) << count;
  }
  EXPECT_EQ(sum_of(ctx, {}, 10), 10.0);
  EXPECT_EQ(sum_of(ctx, {3, -4}, 10), 35.0);
  Floats x(5000, 1.0f);
  x[4500] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(sum_of(ctx, x, 0)));
}

TEST_F(WeightOpsTwin, SumSquaresOfAllArraysOverwrites) {
  Context ctx(DeviceKind::kCuda);
  const std::vector<std::size_t> counts{1, 2047, 2048, 0, 2049, 300};
  std::vector<test::DeviceArray<float>> gradients;
  std::vector<AdamArray<float>> arrays;
  long double want = 0;
  std::size_t elements = 0;
  for (const std::size_t count : counts) {
    const auto x = test::normal<float>(count, 0, 1, count + 9);
    want += plain_sum(x);
    elements += count;
    gradients.emplace_back(ctx, x);
  }
  for (std::size_t k = 0; k < counts.size(); ++k) {
    float* g = gradients[k].data();  // only the gradient is looked at
    arrays.push_back(
        {.count = static_cast<std::int64_t>(counts[k]), .gradient = g, .value = g, .m = g, .v = g});
  }
  AdamTable<float> table;
  table.set(ctx, arrays);
  std::vector<double> totals;
  for (int again = 0; again < 2; ++again) {
    auto total = test::DeviceArray<double>::poisoned(ctx, 1);
    sum_squares_all<float>(ctx, {.list = table.list(), .total = total.data()});
    totals.push_back(total.read()[0]);
  }
  EXPECT_TRUE(test::near_relative(totals[0], static_cast<double>(want), bound(elements)));
  EXPECT_EQ(totals[0], totals[1]);

  AdamTable<float> empty;
  auto total = test::DeviceArray<double>::poisoned(ctx, 1);
  sum_squares_all<float>(ctx, {.list = empty.list(), .total = total.data()});
  EXPECT_EQ(total.read()[0], 0.0);
}

TEST_F(WeightOpsTwin, MovingAverageMatchesTheFormula) {
  Context ctx(DeviceKind::kCuda);
  for (const std::size_t count : {1u, 2u, 33u, 255u, 256u, 257u, 1021u}) {
    const auto x = test::uniform<float>(count, -1, 1, count), start = test::uniform<float>(count, -1, 1, 1);
    test::DeviceArray<float> in(ctx, x), average(ctx, start);
    moving_average<float>(ctx, {.count = static_cast<std::int64_t>(count),
                                .decay = 0.999,
                                .x = in.data(),
                                .average = average.data()});
    const Floats got = average.read();
    for (std::size_t i = 0; i < count; ++i) {
      const double a = 0.999 * start[i], b = (1 - 0.999) * x[i];
      // Roundings of the two factors, of a product and of the sum.
      EXPECT_NEAR(got[i], a + b, 6.0e-8 * (2 * std::abs(a) + 3 * std::abs(b))) << i << " of " << count;
    }
  }
}

}  // namespace
}  // namespace emer
