// The norm of all gradients and the moving average of the weights, against plain loops and hand arithmetic.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/moving_average.h"
#include "kernels/sum_squares.h"
#include "tests/support/compare.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer {
namespace {

TEST(SumSquares, AddsToWhatIsThere) {
  Context ctx;
  const std::vector<float> x{3, -4};
  double total = 10;
  sum_squares<float>(ctx, {.count = 2, .x = x.data(), .total = &total});
  EXPECT_EQ(total, 35.0);
  sum_squares<float>(ctx, {.count = 0, .x = nullptr, .total = &total});
  EXPECT_EQ(total, 35.0);
}

TEST(SumSquares, MatchesAPlainSumAroundTheChunkBounds) {
  Context ctx;
  for (const std::size_t count : {1u, 16383u, 16384u, 16385u, 50000u}) {
    const std::vector<double> x = test::normal(count, 0, 1, count);
    long double want = 0;
    for (const double v : x) want += static_cast<long double>(v) * v;
    double total = 0;
    sum_squares<double>(ctx, {.count = static_cast<std::int64_t>(count), .x = x.data(), .total = &total});
    // count roundings of a sum of positive terms, in double.
    EXPECT_TRUE(
        test::near_relative(total, static_cast<double>(want), 1e-16 * static_cast<double>(count) + 1e-15));
  }
}

TEST(SumSquares, SameBitsOnAnyNumberOfThreadsAndNanShows) {
  Context ctx;
  std::vector<float> x = test::normal<float>(100000, 0, 1, 5);
  const int threads = thread_count();
  double one = 0, many = 0;
  set_thread_count(1);
  sum_squares<float>(ctx, {.count = 100000, .x = x.data(), .total = &one});
  set_thread_count(4);
  sum_squares<float>(ctx, {.count = 100000, .x = x.data(), .total = &many});
  set_thread_count(threads);
  EXPECT_EQ(one, many);
  x[70000] = std::numeric_limits<float>::quiet_NaN();
  sum_squares<float>(ctx, {.count = 100000, .x = x.data(), .total = &one});
  EXPECT_TRUE(std::isnan(one));
}

TEST(MovingAverage, MatchesHandArithmetic) {
  Context ctx;
  const std::vector<float> x{8, -4, 0};
  std::vector<float> average{4, 4, 1};
  moving_average<float>(ctx, {.count = 3, .decay = 0.75, .x = x.data(), .average = average.data()});
  EXPECT_EQ(average, (std::vector<float>{5, 2, 0.75f}));
}

TEST(MovingAverage, RefusesWhatMakesNoSense) {
  Context ctx;
  std::vector<float> x{1};
  std::vector<float> average{1};
  const auto with = [&](double decay, float* to) {
    return [&, decay, to] {
      moving_average<float>(ctx, {.count = 1, .decay = decay, .x = x.data(), .average = to});
    };
  };
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"decay"}, with(1.0, average.data())));
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"aliases"}, with(0.5, x.data())));
}

}  // namespace
}  // namespace emer
