#include "bench/measure.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace emer::bench {
namespace {

TEST(Measure, SummaryOfKnownTimes) {
  const Timing timing = summarise({5, 1, 2, 3, 4, 9, 6, 7, 8, 10, 0});
  EXPECT_EQ(timing.median, 5);
  EXPECT_EQ(timing.p10, 1);
  EXPECT_EQ(timing.p90, 9);
  EXPECT_NEAR(timing.spread, std::sqrt(10.0) / 5, 1e-12);
  EXPECT_EQ(timing.seconds.size(), 11u);
}

// Counts its runs; each takes a known time by its own clock, which is the machine's.
class Counted final : public Prepared {
 public:
  Verdict verify() override { return {}; }
  void run() override { ++runs; }
  double flops() const override { return 1; }
  int runs = 0;
};

TEST(Measure, MakesTheLeastNumberOfRunsAndKeepsWarmingUpOut) {
  Context ctx;
  Stopwatch stopwatch(ctx, {});
  Counted counted;
  const Timing timing = stopwatch.measure(counted, {.seconds = 0.0, .least = 4, .cold = false});
  EXPECT_EQ(timing.seconds.size(), 4u);
  EXPECT_EQ(counted.runs, 4);  // the first counts: it took no less than was asked for
  EXPECT_EQ(stopwatch.measure(counted, {.seconds = 1e-6, .least = 4, .cold = false}).graph, false);
  EXPECT_GT(counted.runs, 8);
  EXPECT_FALSE(timing.graph);
}

TEST(Measure, PatienceEndsBeforeTheLeastNumberOfRuns) {
  Context ctx;
  Stopwatch stopwatch(ctx, {});
  Counted counted;
  EXPECT_EQ(
      stopwatch.measure(counted, {.seconds = 1.0, .least = 4, .patience = 0.0, .cold = false}).seconds.size(),
      1u);
}

TEST(Verdict, CountsWhatIsBeyondItsBound) {
  Verdict verdict;
  verdict.value("near", 1.0 + 1e-6, 1.0, 1e-5);
  EXPECT_EQ(verdict.wrong, 0);
  verdict.value("far", 1.1, 1.0, 1e-5);
  EXPECT_EQ(verdict.wrong, 1);
  EXPECT_NE(verdict.worst.find("far"), std::string::npos);
}

TEST(Verdict, NeverTakesNaNOrAnotherLength) {
  Verdict verdict;
  verdict.value("nan", std::nan(""), 1.0, 1e9);
  const std::vector<float> got{1, 2, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<double> want{1, 2, 3}, longer{1, 2, 3, 4};
  verdict.array<float>("nan entry", got, want, 1e9);
  verdict.array<float>("short", got, longer, 1e9);
  EXPECT_EQ(verdict.wrong, 3);
  verdict.array<float>("right", std::vector<float>{1, 2, 3}, want, 0.0);
  EXPECT_EQ(verdict.wrong, 3);
  EXPECT_EQ(verdict.checked, 4);
}

TEST(Verdict, ArraysAreMeasuredInTheirNorm) {
  Verdict verdict;
  const std::vector<double> want{3, 4};
  verdict.array<float>("inside", std::vector<float>{3, 4.5f}, want, 0.1);
  EXPECT_EQ(verdict.wrong, 0);
  verdict.array<float>("outside", std::vector<float>{3, 4.5f}, want, 0.09);
  EXPECT_EQ(verdict.wrong, 1);
  verdict.array<float>("allowed", std::vector<float>{3, 4.5f}, want, 0.09, 0.1);
  EXPECT_EQ(verdict.wrong, 1);
}

}  // namespace
}  // namespace emer::bench
