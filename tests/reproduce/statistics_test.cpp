// Statistics against SciPy, hand arithmetic and simulation. Constants marked SciPy: scipy 1.17.1, with
//   v = [.0612, .0587, .0634, .0555, .0641, .0603, .0598]; b = [.0571, .0593, .0602, .0511, .0640, .0566, .0581]
//   stats.ttest_rel(v, b).pvalue; stats.wilcoxon(v, b, mode='exact').pvalue
//   stats.permutation_test((v - b,), lambda x, axis: x.mean(axis=axis), permutation_type='samples',
//                          n_resamples=np.inf, vectorized=True).pvalue
//   stats.wilcoxon([3, -1, 4, -1, 5, 9, -2, 6, 0, 3, 5, -8], mode='approx', correction=True).pvalue
//   2 * stats.t.sf(t, freedom)
#include "engine/reproduce/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/random.h"

namespace emer {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
const std::vector<double> kVariant = {.0612, .0587, .0634, .0555, .0641, .0603, .0598};
const std::vector<double> kBase = {.0571, .0593, .0602, .0511, .0640, .0566, .0581};

TEST(TTail, IsScipys) {
  const double cases[][3] = {{0.5, 1, 0.7048327646991335},      {12.7062047364321, 1, 0.04999999999899129},
                             {2.2, 4, 0.09265267017963459},     {1.0, 9.5, 0.342099780244452},
                             {30, 3, 8.135280427163958e-05},    {1e-8, 5, 0.9999999924078662},
                             {4.5, 200, 1.151878126287533e-05}, {3, 1e5, 0.0027004608840647234},
                             {200, 2, 2.499906253906079e-05}};
  // lgamma loses about freedom * log(freedom) * eps, which is most for 1e5 degrees: 1e-10.
  for (const auto& [t, freedom, want] : cases) {
    EXPECT_NEAR(t_tail(t, freedom), want, want * (freedom > 1e4 ? 1e-9 : 1e-12)) << t << " " << freedom;
    EXPECT_EQ(t_tail(-t, freedom), t_tail(t, freedom));
  }
  EXPECT_EQ(t_tail(0, 3), 1.0);
  EXPECT_EQ(t_tail(std::numeric_limits<double>::infinity(), 3), 0.0);
  EXPECT_TRUE(std::isnan(t_tail(kNaN, 3)));
}

TEST(TTail, HasTheClosedFormsOfOneAndTwoDegrees) {
  for (const double t : {0.01, 0.3, 1.0, 2.5, 17.0}) {
    EXPECT_NEAR(t_tail(t, 1), 1 - 2 / 3.14159265358979323846 * std::atan(t), 1e-14) << t;
    EXPECT_NEAR(t_tail(t, 2), 1 - t / std::sqrt(2 + t * t), 1e-14) << t;
  }
}

TEST(Quantile, InterpolatesBetweenNeighbours) {
  const std::vector<double> four = {1, 2, 4, 8};
  EXPECT_EQ(quantile(four, 0), 1);
  EXPECT_EQ(quantile(four, 1), 8);
  EXPECT_EQ(quantile(four, 0.5), 3);
  EXPECT_NEAR(quantile(four, 0.9), 4 + 0.7 * 4, 1e-14);
  EXPECT_EQ(quantile(std::vector<double>{5}, 0.3), 5);
}

TEST(ComparePaired, IsScipys) {
  const PairedComparison c = compare_paired(kVariant, kBase, 2000, 1);
  EXPECT_EQ(c.n, 7);
  EXPECT_NEAR(c.difference, 0.0166 / 7, 1e-15);  // .0041 - .0006 + .0032 + .0044 + .0001 + .0037 + .0017
  EXPECT_NEAR(c.p_t, 0.02013229244088679, 1e-12);
  EXPECT_EQ(c.p_sign_flip, 0.046875);
  EXPECT_EQ(c.p_wilcoxon, 0.046875);
  EXPECT_LT(c.interval[0], c.difference);
  EXPECT_GT(c.interval[1], c.difference);
}

TEST(ComparePaired, WilcoxonWithTiesIsScipys) {
  const std::vector<double> base(12, 0.0);
  EXPECT_NEAR(
      compare_paired(std::vector<double>{3, -1, 4, -1, 5, 9, -2, 6, 0, 3, 5, -8}, base, 10, 1).p_wilcoxon,
      0.14177631675453015, 1e-12);
}

TEST(ComparePaired, ThreeSeedsByHand) {
  // Flips of (1, 2, 4): 7 and -7 of eight reach the observed 7. Ranks 1 2 3, all positive: 2 * 1/8.
  const PairedComparison c =
      compare_paired(std::vector<double>{2, 4, 7}, std::vector<double>{1, 2, 3}, 500, 3);
  EXPECT_EQ(c.p_sign_flip, 0.25);
  EXPECT_EQ(c.p_wilcoxon, 0.25);
  EXPECT_NEAR(c.difference, 7.0 / 3, 1e-15);
  // t = mean / (deviation / sqrt 3), deviation^2 = 7/3; two degrees.
  const double t = 7.0 / 3 / (std::sqrt(7.0 / 3) / std::sqrt(3.0));
  EXPECT_NEAR(c.p_t, 1 - t / std::sqrt(2 + t * t), 1e-12);
  // Plain percentiles are 1 and 4 (each has 1 of 27 resamples), stretched by sqrt(3/2) * 4.302653 / 1.959964.
  const double stretch = std::sqrt(1.5) * 4.302652729749464 / 1.959963984540054;
  EXPECT_NEAR(c.interval[0], 7.0 / 3 - stretch * (7.0 / 3 - 1), 1e-9);
  EXPECT_NEAR(c.interval[1], 7.0 / 3 + stretch * (4 - 7.0 / 3), 1e-9);
}

TEST(ComparePaired, HasNoTestWhereNothingVaries) {
  const PairedComparison one = compare_paired(std::vector<double>{2}, std::vector<double>{1}, 100, 1);
  EXPECT_EQ(one.difference, 1);
  EXPECT_TRUE(std::isnan(one.p_t) && std::isnan(one.interval[0]) && std::isnan(one.interval[1]));
  EXPECT_EQ(one.p_sign_flip, 1);
  EXPECT_EQ(one.p_wilcoxon, 1);
  const PairedComparison same = compare_paired(kBase, kBase, 100, 1);
  EXPECT_TRUE(std::isnan(same.p_t));
  EXPECT_EQ(same.p_sign_flip, 1);
  EXPECT_EQ(same.p_wilcoxon, 1);
  EXPECT_EQ(same.interval, (std::array<double, 2>{0, 0}));
  // Differences of .1 that rounding has made unequal.
  std::vector<double> shifted = kBase;
  for (double& v : shifted) v += 0.1;
  const PairedComparison constant = compare_paired(shifted, kBase, 100, 1);
  EXPECT_TRUE(std::isnan(constant.p_t)) << constant.p_t;
  EXPECT_EQ(constant.p_sign_flip, 2.0 / 128);
}

TEST(ComparePaired, MirrorsWhenSidesAreExchanged) {
  const PairedComparison ahead = compare_paired(kVariant, kBase, 999, 5);
  const PairedComparison behind = compare_paired(kBase, kVariant, 999, 5);
  EXPECT_EQ(behind.difference, -ahead.difference);
  EXPECT_EQ(behind.p_sign_flip, ahead.p_sign_flip);
  EXPECT_EQ(behind.p_wilcoxon, ahead.p_wilcoxon);
  EXPECT_NEAR(behind.p_t, ahead.p_t, 1e-14);
  EXPECT_NEAR(behind.interval[0], -ahead.interval[1], 1e-15);
  EXPECT_NEAR(behind.interval[1], -ahead.interval[0], 1e-15);
}

TEST(ComparePaired, DrawsFlipsOfManySeeds) {
  // 24 differences of size 1, 17 of them positive: the sum is 10, and a flip reaches it where at least 17 or at most 7
  // signs are positive: 2 * P(Binomial(24, 1/2) >= 17).
  std::vector<double> differences(24, 1.0);
  std::fill_n(differences.begin(), 7, -1.0);
  double ways = 0, choose = 1;
  for (int k = 0; k <= 7; ++k) {
    ways += choose;
    choose = choose * (24 - k) / (k + 1);
  }
  const double want = 2 * ways / std::ldexp(1.0, 24);
  const PairedComparison c = compare_paired(differences, std::vector<double>(24, 0.0), 10, 7);
  EXPECT_NEAR(c.p_sign_flip, want, 4 * std::sqrt(want / 1e6));  // four deviations of a million draws
}

TEST(ComparePaired, WilcoxonIsNormalFor26SeedsAndNearlySoFor25) {
  // Sizes 1, 2, ... of which every third is negative: those ranks are 3 + 6 + .. + 24 = 108 either way.
  const auto p = [](int n) {
    std::vector<double> x;
    for (int i = 1; i <= n; ++i) x.push_back(i % 3 == 0 ? -i : i);
    return compare_paired(x, std::vector<double>(x.size(), 0.0), 10, 1).p_wilcoxon;
  };
  const auto normal = [](double n) {
    const double apart = n * (n + 1) / 4 - 108 - 0.5, variance = n * (n + 1) * (2 * n + 1) / 24;
    return std::erfc(apart / std::sqrt(2 * variance));
  };
  EXPECT_NEAR(p(26), normal(26), 1e-12);
  EXPECT_NEAR(p(25), normal(25), 0.005);
  EXPECT_NE(p(25), normal(25));
}

TEST(Holm, StepsDown) {
  const std::vector<double> adjusted = holm(std::vector<double>{0.01, kNaN, 0.04, 0.03, 0.005});
  EXPECT_NEAR(adjusted[0], 0.03, 1e-15);
  EXPECT_TRUE(std::isnan(adjusted[1]));
  EXPECT_NEAR(adjusted[2], 0.06, 1e-15);  // .04 alone, lifted to its forerunner
  EXPECT_NEAR(adjusted[3], 0.06, 1e-15);
  EXPECT_NEAR(adjusted[4], 0.02, 1e-15);
  EXPECT_EQ(holm(std::vector<double>{0.6, 0.7}), (std::vector<double>{1, 1}));
  EXPECT_TRUE(holm(std::vector<double>{}).empty());
}

TEST(Summarise, ByHand) {
  const Summary s = summarise(std::vector<double>{1, 2, 3, 6}, 1000, 1);
  EXPECT_EQ(s.n, 4);
  EXPECT_EQ(s.mean, 3);
  EXPECT_NEAR(s.deviation, std::sqrt((4.0 + 1 + 0 + 9) / 3), 1e-15);
  EXPECT_LT(s.interval[0], 2);
  EXPECT_GT(s.interval[1], 4);
  const Summary one = summarise(std::vector<double>{4}, 10, 1);
  EXPECT_EQ(one.mean, 4);
  EXPECT_TRUE(std::isnan(one.deviation) && std::isnan(one.interval[0]) && std::isnan(one.interval[1]));
  const Summary constant = summarise(std::vector<double>{.1, .1, .1}, 10, 1);
  EXPECT_EQ(constant.deviation, 0);
}

TEST(Summarise, IsAFunctionOfValuesAndSeed) {
  const Summary a = summarise(kBase, 500, 1), b = summarise(kBase, 500, 1), other = summarise(kBase, 500, 2);
  EXPECT_EQ(a.interval, b.interval);
  EXPECT_NE(a.interval, other.interval);
  std::vector<double> scaled = kBase;
  for (double& v : scaled) v = 4 * v;  // exact
  const Summary c = summarise(scaled, 500, 1);
  EXPECT_EQ(c.interval[0], 4 * a.interval[0]);
  EXPECT_EQ(c.interval[1], 4 * a.interval[1]);
  // One seed's queries resampled alone.
  const Summary queries = summarise_queries({kBase}, 500, 1);
  EXPECT_TRUE(std::isnan(queries.deviation));
  EXPECT_LT(queries.interval[0], queries.mean);
  EXPECT_GT(queries.interval[1], queries.mean);
}

// Share of intervals that hold the truth, 0.
template <class Interval>
double coverage(int trials, Interval&& interval) {
  int held = 0;
  for (int trial = 0; trial < trials; ++trial) {
    const std::array<double, 2> i = interval(static_cast<std::uint64_t>(trial));
    held += i[0] <= 0 && 0 <= i[1];
  }
  return static_cast<double>(held) / trials;
}

TEST(Summarise, CoversSeedsAsOftenAsItPromises) {
  // 1,000 trials tell 95 % to within 2.1 % (three deviations).
  for (const std::size_t n : {3u, 5u, 10u, 30u}) {
    const double share = coverage(1000, [&](std::uint64_t trial) {
      RandomStream random(trial, 77);
      std::vector<double> values(n);
      for (double& v : values) v = random.normal();
      return summarise(values, 600, trial).interval;
    });
    EXPECT_GT(share, 0.915) << n;
    EXPECT_LT(share, 0.975) << n;
  }
}

TEST(SummariseQueries, CoversSeedsAndQueries) {
  for (const double between : {0.05, 0.3}) {
    const double share = coverage(400, [&](std::uint64_t trial) {
      RandomStream random(trial, 78);
      std::vector<std::vector<double>> by_seed(10, std::vector<double>(40));
      for (auto& queries : by_seed) {
        const double level = between * random.normal();
        for (double& v : queries) v = level + random.normal();
      }
      return summarise_queries(by_seed, 300, trial).interval;
    });
    EXPECT_GT(share, 0.91) << between;
  }
}

TEST(ComparePairedQueries, TakesQueriesOfBothSidesTogether) {
  // Both sides share what makes a query hard; the variant is .01 ahead everywhere, give or take a little.
  RandomStream random(3, 79);
  std::vector<std::vector<double>> base(4, std::vector<double>(50)), variant = base;
  for (std::size_t s = 0; s < 4; ++s)
    for (std::size_t q = 0; q < 50; ++q) {
      base[s][q] = random.normal();
      variant[s][q] = base[s][q] + 0.01 + 0.002 * random.normal();
    }
  const PairedComparison c = compare_paired_queries(variant, base, 1000, 1);
  EXPECT_EQ(c.n, 4);
  EXPECT_NEAR(c.difference, 0.01, 0.001);
  EXPECT_GT(c.interval[0], 0.009);
  EXPECT_LT(c.interval[1], 0.011);
  const Summary alone = summarise_queries(base, 1000, 1);
  EXPECT_GT(alone.interval[1] - alone.interval[0], 0.1);

  std::vector<double> means[2];
  for (std::size_t s = 0; s < 4; ++s)
    for (const int side : {0, 1}) {
      double sum = 0;
      for (const double v : side == 0 ? variant[s] : base[s]) sum += v;
      means[side].push_back(sum / 50);
    }
  const PairedComparison by_seed = compare_paired(means[0], means[1], 10, 1);
  EXPECT_NEAR(c.difference, by_seed.difference, 1e-15);
  EXPECT_NEAR(c.p_t, by_seed.p_t, 1e-12);
  EXPECT_EQ(c.p_sign_flip, by_seed.p_sign_flip);
  EXPECT_EQ(c.p_wilcoxon, by_seed.p_wilcoxon);
}

}  // namespace
}  // namespace emer
