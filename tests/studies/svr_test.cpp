// Support vector regression against scikit-learn's on a stored fold (tests/goldens/svr.py), and both routes against
// each other.
#include "engine/studies/svr.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "core/check.h"
#include "tests/studies/stored_fold.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

std::vector<double> stored_target(const std::string& name, int target) {
  const std::vector<double> both = stored().read<double>(name, {-1, 2});
  std::vector<double> one;
  for (std::size_t i = static_cast<std::size_t>(target); i < both.size(); i += 2) one.push_back(both[i]);
  return one;
}

std::vector<double> fast(const FeatureRows& train, const FeatureRows& rows, const std::vector<double>& y,
                         const SvrParameters& p) {
  const double gamma = p.gamma == 0.0 ? scale_gamma(train) : p.gamma;
  const SvrKernel kernel(squared_distances(train), train.rows, gamma);
  return SvrMachine::fit(kernel, y, p).predict(rbf(squared_distances(rows, train), gamma));
}

// Infinite where a value is not a number.
double farthest(const std::vector<double>& a, const double* b) {
  double most = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double apart = std::abs(a[i] - b[i]);
    most = std::isnan(apart) ? std::numeric_limits<double>::infinity() : std::max(most, apart);
  }
  return most;
}

struct Tolerance {
  const char* name;
  double value;
};

class StoredFold : public ::testing::TestWithParam<Tolerance> {};

TEST_P(StoredFold, PredictionsAreScikitLearns) {
  const FeatureRows train = stored_rows("train"), rows = stored_rows("test");
  const std::vector<double> points = stored().read<double>("points", {-1, 3});
  const std::vector<double> want =
      stored().read<double>(std::string(GetParam().name) + ".predictions", {-1, 2, rows.rows});
  ASSERT_GE(points.size() / 3, 10u);
  for (std::size_t p = 0; p < points.size() / 3; ++p)
    for (int target = 0; target < 2; ++target) {
      const std::vector<double> y = stored_target("train_targets", target);
      const SvrParameters parameters{points[3 * p], points[3 * p + 1], points[3 * p + 2], GetParam().value};
      const double* expected = want.data() + (2 * p + static_cast<std::size_t>(target)) * rows.rows;
      SCOPED_TRACE(::testing::Message() << "C " << parameters.c << " gamma " << parameters.gamma
                                        << " epsilon " << parameters.epsilon << " target " << target);
      EXPECT_LE(farthest(DirectSvr::fit(train, y, parameters).predict(rows), expected), 1e-6);
      EXPECT_LE(farthest(fast(train, rows, y, parameters), expected), 1e-6);
    }
}
INSTANTIATE_TEST_SUITE_P(Tolerances, StoredFold,
                         ::testing::Values(Tolerance{"default", 1e-3}, Tolerance{"tight", 1e-10}),
                         [](const auto& which) { return std::string(which.param.name); });

TEST(Svr, ScaleIsOneOverWidthTimesVariance) {
  // Variance of 1, 2, 3, 6 about 3: (4 + 1 + 0 + 9) / 4.
  EXPECT_DOUBLE_EQ(scale_gamma({2, 2, {1, 2, 3, 6}}), 1.0 / (2 * 3.5));
  EXPECT_EQ(scale_gamma({2, 2, {5, 5, 5, 5}}), 1.0);
}

TEST(Svr, DistancesAreExactWhereTheyMustBe) {
  // Offsets of 1e6 cost a plain |a|^2 + |b|^2 - 2ab four digits; the first two rows are the same one.
  const FeatureRows rows{4, 2, {1e6, -1e6, 1e6, -1e6, 1e6 + 3, -1e6 + 4, 1e6 + 0.001, -1e6}};
  const std::vector<double> d = squared_distances(rows);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(d[static_cast<std::size_t>(5 * i)], 0.0);
    for (int j = 0; j < 4; ++j) {
      EXPECT_GE(d[static_cast<std::size_t>(4 * i + j)], 0.0);
      EXPECT_EQ(d[static_cast<std::size_t>(4 * i + j)], d[static_cast<std::size_t>(4 * j + i)]);
    }
  }
  EXPECT_NEAR(d[1], 0.0, 1e-12);
  EXPECT_NEAR(d[2], 25.0, 1e-8);
  EXPECT_NEAR(d[3], 1e-6, 1e-9);
  const std::vector<double> across = squared_distances({1, 2, {1e6 + 6, -1e6 + 8}}, rows);
  EXPECT_NEAR(across[0], 100.0, 1e-8);
  EXPECT_NEAR(across[2], 25.0, 1e-8);
}

TEST(Svr, TargetsWithinEpsilonNeedNoSupportVector) {
  const FeatureRows rows{3, 1, {0, 1, 2}};
  const SvrKernel kernel(squared_distances(rows), 3, 1.0);
  const SvrMachine machine = SvrMachine::fit(kernel, std::vector<double>{0.5, 0.5, 0.5}, {.epsilon = 0.1});
  EXPECT_EQ(machine.weights(), (std::vector<double>{0, 0, 0}));
  EXPECT_NEAR(machine.offset(), 0.5, 0.1);
  EXPECT_TRUE(machine.free_of_bound());
}

TEST(Svr, TwoPointsByHand) {
  // K = [[1, k], [k, 1]], y = -1, 1, w = (-a, a): a (1 - k) - epsilon - 1 maximal at a = (1 - epsilon) / (1 - k),
  // as long as a <= C; the offset is 0 by symmetry.
  const FeatureRows rows{2, 1, {0, 1}};
  const double k = std::exp(-0.7), epsilon = 0.1, a = (1 - epsilon) / (1 - k);
  const SvrKernel kernel(squared_distances(rows), 2, 0.7);
  const std::vector<double> y{-1, 1};
  const SvrMachine open = SvrMachine::fit(kernel, y, {.c = 10, .epsilon = epsilon, .tolerance = 1e-12});
  EXPECT_NEAR(open.weights()[0], -a, 1e-6);
  EXPECT_NEAR(open.weights()[1], a, 1e-6);
  EXPECT_NEAR(open.offset(), 0.0, 1e-6);
  EXPECT_TRUE(open.free_of_bound());
  const SvrMachine bound = SvrMachine::fit(kernel, y, {.c = 0.5, .epsilon = epsilon});
  EXPECT_EQ(bound.weights(), (std::vector<double>{-0.5, 0.5}));
  EXPECT_FALSE(bound.free_of_bound());
}

TEST(Svr, LargerBoundsChangeNothingOnceNoneIsReached) {
  const FeatureRows train = stored_rows("train");
  const std::vector<double> y = stored_target("train_targets", 0);
  const SvrKernel kernel(squared_distances(train), train.rows, 32.0);
  SvrParameters p{.c = 2.0, .tolerance = 1e-10};
  const SvrMachine first = SvrMachine::fit(kernel, y, p);
  ASSERT_TRUE(first.free_of_bound());
  p.c = 512.0;
  const SvrMachine second = SvrMachine::fit(kernel, y, p);
  EXPECT_LE(farthest(first.weights(), second.weights().data()), 1e-7);
}

TEST(Svr, ThreadsFitSideBySide) {
  const FeatureRows train = stored_rows("train"), rows = stored_rows("test");
  const std::vector<double> y = stored_target("train_targets", 1);
  const std::vector<double> alone = fast(train, rows, y, {.c = 32});
  std::vector<std::vector<double>> results(8);
  std::vector<std::thread> threads;
  for (std::vector<double>& result : results)
    threads.emplace_back([&] { result = fast(train, rows, y, {.c = 32}); });
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<double>& result : results) EXPECT_EQ(result, alone);
}

TEST(Svr, RefusesWhatIsNoProblem) {
  const FeatureRows rows{2, 1, {0, 1}};
  const SvrKernel kernel(squared_distances(rows), 2, 1.0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto fit = [&](const std::vector<double>& y, const SvrParameters& p) {
    return [&kernel, y, p] { SvrMachine::fit(kernel, y, p); };
  };
  EXPECT_THROW(fit({1, nan}, {})(), std::exception);
  EXPECT_THROW(fit({1}, {})(), std::exception);
  EXPECT_THROW(fit({1, 2}, {.c = 0})(), std::exception);
  EXPECT_THROW(fit({1, 2}, {.epsilon = -1})(), std::exception);
  EXPECT_THROW(SvrKernel(squared_distances(rows), 2, 0.0), std::exception);
  EXPECT_THROW(squared_distances({2, 2, {1, 2, 3}}), std::exception);
  EXPECT_NO_THROW(fit({1, 2}, {})());
}

}  // namespace
}  // namespace emer
