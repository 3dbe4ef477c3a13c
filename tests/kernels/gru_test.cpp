// Oracles: plain loops (tests/reference/gru_reference.h) and central differences of them, in double; hand
// arithmetic.
#include "kernels/gru.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/gru_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

using Case = test::GruCase;
constexpr auto make = test::gru_case;
constexpr auto point = test::gru_point;
constexpr auto by_loops = test::gru_by_loops;

template <class Real>
test::GruResult<Real> run(const Case& c, const std::vector<double>& p, const std::vector<double>& dy,
                          Real start = 0) {
  Context ctx;
  return test::run_gru<Real>(ctx, c, p, dy, start);
}

class Gru : public ::testing::TestWithParam<std::tuple<GruReset, GateActivation>> {
 protected:
  Case of(int steps, int in, int hidden, std::vector<std::int32_t> lengths) const {
    return make(std::get<0>(GetParam()), std::get<1>(GetParam()), steps, in, hidden, std::move(lengths));
  }
};

TEST_P(Gru, MatchesPlainLoops) {
  for (const Case& c :
       {of(1, 1, 1, {1}), of(1, 2, 5, {1, 1, 1}), of(6, 3, 4, {6}), of(7, 2, 17, {3, 7, 1, 7, 5}),
        of(5, 33, 34, std::vector<std::int32_t>(61, 5)), of(9, 12, 8, {9, 1, 2, 3, 4, 5, 6, 7, 8, 9})}) {
    const auto p = point(c, 11);
    const auto want = by_loops(c, p);
    // A step adds at most in + H + 8 roundings of numbers below (in + H) * .5, the next state forgets no
    // faster than it contracts: the bound is for all steps together, on states below 1 in size. Entries scale
    // with the largest.
    const double roundings = static_cast<double>(c.steps() * (c.in() + c.hidden() + 8)) * 10;
    EXPECT_TRUE(test::near_relative(run<double>(c, p, {}).y, want, roundings * 1.2e-16));
    EXPECT_TRUE(test::near_relative(run<float>(c, p, {}).y, want, roundings * 6.0e-8));
    const std::vector<double> dy(c.outputs(), 1.0);
    EXPECT_EQ(run<float>(c, p, dy).y, run<float>(c, p, {}).y) << "keeping for backward changes the result";
  }
}

TEST_P(Gru, GradientsMatchCentralDifferences) {
  for (const Case& c :
       {of(1, 1, 1, {1}), of(4, 2, 3, {4}), of(4, 3, 5, {2, 4, 1, 4, 3}), of(6, 1, 2, {1, 1, 6})}) {
    const auto p = point(c, 12);
    const auto dy = test::uniform<double>(c.outputs(), -1, 1, 13);
    const auto value = [&](const std::vector<double>& at) {
      const auto y = by_loops(c, at);
      double sum = 0;
      for (std::size_t k = 0; k < y.size(); ++k) sum += y[k] * dy[k];
      return sum;
    };
    // h = 1e-5: truncation and rounding both near 1e-10 for values of order 10. The seed keeps hard sigmoids
    // further than h from their corners; a crossing would show as an error near .1.
    EXPECT_TRUE(test::gradient_matches(p, run<double>(c, p, dy).gradient, value, 1e-5, 2e-9));
  }
}

TEST_P(Gru, GradientsAccumulateAndInputGradientIsOverwritten) {
  const Case c = of(4, 3, 5, {2, 4, 1, 4, 3});
  const auto p = point(c, 14), dy = test::uniform<double>(c.outputs(), -1, 1, 15);
  const auto from_zero = run<double>(c, p, dy).gradient, from_ten = run<double>(c, p, dy, 10.0).gradient;
  for (std::size_t k = 0; k < c.size(); ++k)
    EXPECT_NEAR(from_ten[k] - (k < c.inputs() ? 0.0 : 10.0), from_zero[k], 1e-13);
}

TEST_P(Gru, FloatGradientsAreNearDouble) {
  // 70 rows: two chunks of rows. Sums of up to 70 * 9 products of numbers below 1, each with the error of the
  // values that made it (as in MatchesPlainLoops): 1e-4 of the largest entry is 10 times what that gives.
  std::vector<std::int32_t> lengths;
  for (int i = 0; i < 70; ++i) lengths.push_back(1 + i * 5 % 9);
  const Case c = of(9, 12, 20, lengths);
  const auto p = point(c, 16), dy = test::uniform<double>(c.outputs(), -1, 1, 17);
  EXPECT_TRUE(test::near_relative(run<float>(c, p, dy).gradient, run<double>(c, p, dy).gradient, 1e-4));
}

TEST_P(Gru, StepsPastTheLengthAreNeverRead) {
  for (const int in : {2, 12}) {
    const Case c = of(9, in, 20, {3, 9, 1, 9, 5, 8});
    auto p = point(c, 18);
    const auto dy = test::uniform<double>(c.outputs(), -1, 1, 19);
    const auto clean = run<float>(c, p, dy);
    for (std::size_t k = 0; k < c.inputs(); ++k)
      if (!c.valid_input(k)) p[k] = kNaN;
    const auto poisoned = run<float>(c, p, dy);
    EXPECT_EQ(poisoned.y, clean.y);
    EXPECT_EQ(poisoned.gradient, clean.gradient);
    for (std::size_t k = 0; k < c.inputs(); ++k)
      if (!c.valid_input(k)) {
        ASSERT_EQ(clean.gradient[k], 0.0f);
      }
  }
}

TEST_P(Gru, ARowDoesNotDependOnItsBatchNorOnThreads) {
  std::vector<std::int32_t> lengths;
  for (int i = 0; i < 130; ++i) lengths.push_back(1 + i * 7 % 6);
  const Case many = of(6, 4, 24, lengths);
  const auto p = point(many, 20);
  const auto all = run<float>(many, p, {}).y;
  const int threads = thread_count();
  set_thread_count(threads == 1 ? 2 : 1);
  EXPECT_EQ(run<float>(many, p, {}).y, all);
  set_thread_count(threads);
  for (const std::size_t row : {std::size_t{0}, std::size_t{77}, std::size_t{129}}) {
    const Case one = of(6, 4, 24, {lengths[row]});
    std::vector<double> q(p.begin() + static_cast<std::ptrdiff_t>(row * 24),
                          p.begin() + static_cast<std::ptrdiff_t>(row * 24 + 24));
    q.insert(q.end(), p.begin() + static_cast<std::ptrdiff_t>(many.inputs()), p.end());
    const auto alone = run<float>(one, q, {}).y;
    EXPECT_EQ(alone, std::vector<float>(all.begin() + static_cast<std::ptrdiff_t>(row * 48),
                                        all.begin() + static_cast<std::ptrdiff_t>(row * 48 + 48)));
  }
}

TEST_P(Gru, NanInAValidStepReachesItsRowOnly) {
  const Case c = of(5, 2, 6, {5, 3, 4});
  auto p = point(c, 21);
  p[c.steps() * c.in()] = kNaN;  // row 1, step 0
  const auto y = run<float>(c, p, {}).y;
  for (std::size_t k = 0; k < y.size(); ++k) EXPECT_EQ(std::isnan(y[k]), k / 12 == 1) << k;
}

INSTANTIATE_TEST_SUITE_P(Forms, Gru,
                         ::testing::Combine(::testing::Values(GruReset::kBefore, GruReset::kAfter),
                                            ::testing::Values(GateActivation::kSigmoid,
                                                              GateActivation::kHardSigmoid)));

TEST(GruByHand, OneUnitOneStep) {
  // Zero recurrent weights act on a zero state. Hard sigmoid: z = .2*.5*2+.5 = .7, r is of no account,
  // c = tanh(1 * 2 + .1), h = .3 c, in both directions; b_rh = 1 counts r = .2*.25*2+.5 = .6 times.
  const Case before = make(GruReset::kBefore, GateActivation::kHardSigmoid, 1, 1, 1, {1});
  const std::vector<double> direction{.5, .25, 1, 9, 9, 9, 0, 0, .1};
  std::vector<double> p{2};
  for (int d = 0; d < 2; ++d) p.insert(p.end(), direction.begin(), direction.end());
  const double want = .3 * std::tanh(2.1);
  EXPECT_TRUE(test::near_relative(run<double>(before, p, {}).y, std::vector<double>{want, want}, 1e-15));

  const Case after = make(GruReset::kAfter, GateActivation::kHardSigmoid, 1, 1, 1, {1});
  std::vector<double> q{2};
  for (int d = 0; d < 2; ++d) {
    q.insert(q.end(), direction.begin(), direction.end());
    q.insert(q.end(), {0, 0, 1});
  }
  const double want_after = .3 * std::tanh(2.1 + .6);
  EXPECT_TRUE(
      test::near_relative(run<double>(after, q, {}).y, std::vector<double>{want_after, want_after}, 1e-15));
}

TEST(GruSchedule, SortsStablyAndCountsSlots) {
  const std::int32_t lengths[] = {2, 4, 1, 4};
  const GruSchedule s = make_gru_schedule(lengths, 4, 6);
  EXPECT_EQ(s.steps, 4);
  EXPECT_EQ(s.order, (std::vector<std::int32_t>{1, 3, 0, 2}));
  EXPECT_EQ(s.active, (std::vector<std::int32_t>{4, 3, 2, 2}));
  EXPECT_EQ(s.slot, (std::vector<std::int64_t>{0, 4, 8, 11, 13}));
  EXPECT_EQ(s.gate_rows, 13);
  EXPECT_EQ(s.state_rows, 15);
}

TEST(GruSchedule, RefusesLengthsOutsideTheArray) {
  for (const std::int32_t bad : {0, -1, 7}) {
    const std::int32_t lengths[] = {2, bad};
    EXPECT_THROW(make_gru_schedule(lengths, 2, 6), Error);
  }
}

}  // namespace
}  // namespace emer
