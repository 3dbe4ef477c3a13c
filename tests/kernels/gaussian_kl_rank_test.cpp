#include "kernels/gaussian_kl_rank.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/tensor.h"
#include "tests/reference/kl_reference.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/one_thread.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Options : KlReferenceOptions {
  bool learn = false;
  double gradient_weight = 1.0;
  int first_row = 0, rows = kKlAllRows;
};

// Two sets of Gaussians whose matching pairs are closer than the others, `far` apart in the mean overall.
KlInputs gaussians(std::size_t n, std::size_t d, double far, std::uint64_t seed) {
  KlInputs x{.n = n,
             .d = d,
             .music_mean = normal(n * d, far, 1.0, seed),
             .music_log_variance = {},
             .emotion_mean = normal(n * d, 0.0, 0.4, seed + 1),
             .emotion_log_variance = {}};
  for (std::size_t i = 0; i < n * d; ++i) x.emotion_mean[i] += x.music_mean[i];
  x.music_log_variance = normal(n * d, -0.3, 0.5, seed + 2);
  x.emotion_log_variance = normal(n * d, 0.2, 0.5, seed + 3);
  return x;
}

template <class Real>
std::vector<Real> as(const std::vector<double>& v) {
  return std::vector<Real>(v.begin(), v.end());
}

template <class Real>
std::vector<double> doubles(const std::vector<Real>& v) {
  return std::vector<double>(v.begin(), v.end());
}

template <class Real = double>
KlGradients run(const KlInputs& x, const Options& o) {
  Context ctx;
  const auto rows = static_cast<std::int64_t>(x.n), columns = static_cast<std::int64_t>(x.d);
  const auto input = [&](const std::vector<double>& v) {
    return Tensor<Real>(ctx, {rows, columns}, as<Real>(v));
  };
  const auto output = [&] { return input(std::vector<double>(x.n * x.d, kNan)); };
  const auto mm = input(x.music_mean), ml = input(x.music_log_variance);
  const auto em = input(x.emotion_mean), el = input(x.emotion_log_variance);
  auto dmm = output(), dml = output(), dem = output(), del = output();
  const Real log_temperature = static_cast<Real>(std::log(o.temperature));
  Real d_log_temperature = Real(5);  // accumulated into
  KlGradients out;
  out.loss = kNan;
  gaussian_kl_rank<Real>(ctx, {.n = static_cast<int>(x.n),
                               .d = static_cast<int>(x.d),
                               .first_row = o.first_row,
                               .rows = o.rows,
                               .music = {mm.data(), ml.data(), dmm.data(), dml.data()},
                               .emotion = {em.data(), el.data(), dem.data(), del.data()},
                               .ranking = o.softmax ? KlRanking::kSoftmax : KlRanking::kHinge,
                               .margin = o.margin,
                               .temperature = o.temperature,
                               .log_temperature = o.learn ? &log_temperature : nullptr,
                               .d_log_temperature = o.learn ? &d_log_temperature : nullptr,
                               .pair_weight = o.pair_weight,
                               .norm_weight = o.norm_weight,
                               .gradient_weight = o.gradient_weight,
                               .loss = &out.loss});
  out.log_temperature = static_cast<double>(d_log_temperature) - 5.0;
  out.music_mean = doubles(dmm.to_host(ctx));
  out.music_log_variance = doubles(dml.to_host(ctx));
  out.emotion_mean = doubles(dem.to_host(ctx));
  out.emotion_log_variance = doubles(del.to_host(ctx));
  return out;
}

void expect_near(const KlGradients& got, const KlGradients& want, double tolerance) {
  EXPECT_TRUE(near_relative(got.loss, want.loss, tolerance));
  EXPECT_TRUE(near_relative(got.music_mean, want.music_mean, tolerance)) << "music mean";
  EXPECT_TRUE(near_relative(got.music_log_variance, want.music_log_variance, tolerance))
      << "music log variance";
  EXPECT_TRUE(near_relative(got.emotion_mean, want.emotion_mean, tolerance)) << "emotion mean";
  EXPECT_TRUE(near_relative(got.emotion_log_variance, want.emotion_log_variance, tolerance))
      << "emotion log variance";
}

// d = 1, log variances ln(1 - 1e-6) so that v = 1: KL = (difference of means)^2 / 2.
// music at 0 and 3, emotion at 1 and 2: A = [[.5, 2], [2, .5]] (rows emotion), B the same.
// margin 2: every v = .5 - 2 + 2 = .5 is active, four of them: 2; norm .1 * 4 * .5 = .2.
// dA/d(emotion 0 at 1): own pair +1 * (1 - 0) + .1 * 1, pushed pair -(1 - 3): 1 + .1 + 2; as column of B:
// own 1.1, B[1][0] = KL(emotion 0 || music 1) pushed: -(1 - 3) = 2. Together 6.2. By symmetry the others.
TEST(GaussianKlRank, MatchesHandWorkedBatchOfTwo) {
  const double unit = std::log1p(-1e-6);
  const KlInputs x{2, 1, {0, 3}, {unit, unit}, {1, 2}, {unit, unit}};
  Options o;
  o.margin = 2.0;
  o.norm_weight = 0.1;
  const KlGradients got = run(x, o);
  EXPECT_NEAR(got.loss, 2.2, 1e-12);
  EXPECT_TRUE(near_relative(got.emotion_mean, std::vector<double>{6.2, -6.2}, 1e-12));
  // music 0 at 0: own pairs 1.1 * (0 - 1) twice, pushed from emotion 1 at 2: -(0 - 2) twice.
  EXPECT_TRUE(near_relative(got.music_mean, std::vector<double>{1.8, -1.8}, 1e-12));
}

// Every v is .5 - 2 + margin: just below margin 1.5 no pair counts, just above all four do, with their full
// gradient.
TEST(GaussianKlRank, HingeOpensAtItsMargin) {
  const double unit = std::log1p(-1e-6);
  const KlInputs x{2, 1, {0, 3}, {unit, unit}, {1, 2}, {unit, unit}};
  Options o;
  o.norm_weight = 0.0;
  o.margin = 1.5 - 1e-9;
  const KlGradients closed = run(x, o);
  EXPECT_EQ(closed.loss, 0.0);
  EXPECT_EQ(closed.music_mean, (std::vector<double>{0, 0}));
  EXPECT_EQ(closed.emotion_log_variance, (std::vector<double>{0, 0}));
  o.margin = 1.5 + 1e-9;
  const KlGradients open = run(x, o);
  EXPECT_NEAR(open.loss, 4e-9, 1e-14);
  EXPECT_TRUE(near_relative(open.music_mean, std::vector<double>{2, -2}, 1e-12));
}

class GaussianKlRankSizes : public ::testing::TestWithParam<std::tuple<int, int>> {};

// Strips are 256 rows high: sizes around one and two strips, primes, d = 1.
INSTANTIATE_TEST_SUITE_P(Shapes, GaussianKlRankSizes,
                         ::testing::Values(std::tuple{1, 1}, std::tuple{1, 7}, std::tuple{2, 1},
                                           std::tuple{2, 5}, std::tuple{7, 13}, std::tuple{13, 7},
                                           std::tuple{31, 65}, std::tuple{255, 3}, std::tuple{256, 3},
                                           std::tuple{257, 3}, std::tuple{513, 2}));

TEST_P(GaussianKlRankSizes, HingeMatchesPlainLoops) {
  const OneThread quiet;
  const auto [n, d] = GetParam();
  const KlInputs x = gaussians(static_cast<std::size_t>(n), static_cast<std::size_t>(d), 0.5, 11);
  expect_near(run(x, {}), kl_reference(x, {}), 1e-11);
}

TEST_P(GaussianKlRankSizes, SoftmaxMatchesPlainLoops) {
  const OneThread quiet;
  const auto [n, d] = GetParam();
  const KlInputs x = gaussians(static_cast<std::size_t>(n), static_cast<std::size_t>(d), 0.5, 12);
  Options o;
  o.softmax = o.learn = true;
  o.temperature = 2.5;
  o.pair_weight = 0.5 / n;
  const KlGradients got = run(x, o), want = kl_reference(x, o);
  expect_near(got, want, 1e-11);
  EXPECT_NEAR(got.log_temperature, want.log_temperature, 1e-11 * (1 + std::abs(want.log_temperature)));
}

// Means 1000 apart from zero, where a float product over raw means squared would err by 1e6 * 2^-24 * d.
// Centred, the operands are of order 1: a product of 2d terms errs by about sqrt(2d) * 2^-24, relative to S
// of order d; inputs themselves round by 2^-24 * 1000 / deviation 1, i.e. 6e-5, which the reference sees too
// (it is given the rounded ones). Gradients sum n such terms of one size.
TEST(GaussianKlRank, FloatSurvivesFarMeans) {
  KlInputs x = gaussians(40, 24, 1000.0, 21);
  for (auto* v : {&x.music_mean, &x.music_log_variance, &x.emotion_mean, &x.emotion_log_variance})
    *v = doubles(as<float>(*v));
  expect_near(run<float>(x, {}), kl_reference(x, {}), 64 * 6e-8);
}

TEST(GaussianKlRank, GradientsMatchCentralDifferences) {
  const OneThread quiet;
  const KlInputs x = gaussians(5, 3, 0.5, 31);
  for (const bool softmax : {false, true}) {
    Options o;
    o.softmax = o.learn = softmax;
    o.temperature = 0.8;
    o.norm_weight = 0.05;
    const KlGradients at = run(x, o);
    for (auto member : {&KlInputs::music_mean, &KlInputs::music_log_variance, &KlInputs::emotion_mean,
                        &KlInputs::emotion_log_variance}) {
      const auto& gradient = member == &KlInputs::music_mean           ? at.music_mean
                             : member == &KlInputs::music_log_variance ? at.music_log_variance
                             : member == &KlInputs::emotion_mean       ? at.emotion_mean
                                                                       : at.emotion_log_variance;
      EXPECT_TRUE(gradient_matches(
          x.*member, gradient,
          [&](const std::vector<double>& v) {
            KlInputs moved = x;
            moved.*member = v;
            return run(moved, o).loss;
          },
          1e-6, 1e-7));
    }
    if (softmax) {
      EXPECT_TRUE(gradient_matches(
          {std::log(o.temperature)}, {at.log_temperature},
          [&](const std::vector<double>& v) {
            Options moved = o;
            moved.temperature = std::exp(v[0]);
            return run(x, moved).loss;
          },
          1e-6, 1e-7));
    }
  }
}

void add(KlGradients& sum, const KlGradients& part) {
  sum.loss += part.loss;
  sum.log_temperature += part.log_temperature;
  for (auto member : {&KlGradients::music_mean, &KlGradients::music_log_variance, &KlGradients::emotion_mean,
                      &KlGradients::emotion_log_variance}) {
    (sum.*member).resize((part.*member).size());
    for (std::size_t k = 0; k < (part.*member).size(); ++k) (sum.*member)[k] += (part.*member)[k];
  }
}

// Ranges around a strip's 256 rows, of one row and of none, begun anywhere.
TEST(GaussianKlRank, RangesOfRowsAddUpToTheWhole) {
  const OneThread quiet;
  const KlInputs x = gaussians(300, 3, 0.5, 33);
  for (const bool softmax : {false, true}) {
    Options o;
    o.softmax = o.learn = softmax;
    o.temperature = 2.5;
    o.norm_weight = 0.05;
    const KlGradients whole = run(x, o);
    KlGradients sum;
    for (const auto& [first, rows] : {std::pair{0, 1}, {1, 0}, {1, 257}, {258, 42}, {300, 0}}) {
      o.first_row = first;
      o.rows = rows;
      add(sum, run(x, o));
    }
    expect_near(sum, whole, 1e-12);
    EXPECT_NEAR(sum.log_temperature, whole.log_temperature, 1e-12 * (1 + std::abs(whole.log_temperature)));
  }
}

// A rank that owns no pair takes part in the exchanges and adds nothing.
TEST(GaussianKlRank, NoRowIsAllZeros) {
  Options o;
  o.first_row = 2;
  o.rows = 0;
  const KlGradients got = run(gaussians(4, 3, 0.5, 34), o);
  EXPECT_EQ(got.loss, 0.0);
  for (const auto* gradient :
       {&got.music_mean, &got.music_log_variance, &got.emotion_mean, &got.emotion_log_variance})
    EXPECT_EQ(*gradient, std::vector<double>(12, 0.0));
}

TEST(GaussianKlRank, RefusesRangesOutsideTheBatch) {
  for (const auto& [first, rows] :
       {std::pair{0, 5}, {1, 4}, {-1, 2}, {5, 0}, {0, -2}, {1, kKlAllRows}, {2147483647, 2}}) {
    Options o;
    o.first_row = first;
    o.rows = rows;
    EXPECT_THROW(run(gaussians(4, 3, 0.5, 35), o), std::exception) << first << " " << rows;
  }
}

TEST(GaussianKlRank, GradientWeightScalesGradientsOnly) {
  const KlInputs x = gaussians(6, 4, 0.5, 32);
  Options o;
  const KlGradients one = run(x, o);
  o.gradient_weight = 0.25;  // exact in binary
  KlGradients quarter = run(x, o);
  EXPECT_EQ(quarter.loss, one.loss);
  for (double& g : quarter.music_mean) g *= 4;
  EXPECT_TRUE(near_relative(quarter.music_mean, one.music_mean, 1e-14));
}

TEST(GaussianKlRank, ShiftAndScaleOfDimensionsChangeNothing) {
  // exp(log_variance) dominates the floor 1e-6, which alone is not invariant: relative effect 1e-6 / 1e4.
  KlInputs x = gaussians(9, 4, 0.0, 41);
  for (double& l : x.music_log_variance) l += std::log(1e4);
  for (double& l : x.emotion_log_variance) l += std::log(1e4);
  KlInputs moved = x;
  for (std::size_t i = 0; i < x.n * x.d; ++i) {
    const double shift = 50.0 * static_cast<double>(i % x.d), scale = 1.0 + static_cast<double>(i % x.d);
    moved.music_mean[i] = scale * x.music_mean[i] + shift;
    moved.emotion_mean[i] = scale * x.emotion_mean[i] + shift;
    moved.music_log_variance[i] += 2 * std::log(scale);
    moved.emotion_log_variance[i] += 2 * std::log(scale);
  }
  EXPECT_TRUE(near_relative(run(moved, {}).loss, run(x, {}).loss, 1e-8));
}

TEST(GaussianKlRank, PermutedPairsAndSwappedViewsGiveTheSame) {
  const KlInputs x = gaussians(17, 3, 0.5, 42);
  const KlGradients want = run(x, {});
  KlInputs reversed = x;
  for (auto* v : {&reversed.music_mean, &reversed.music_log_variance, &reversed.emotion_mean,
                  &reversed.emotion_log_variance})
    for (std::size_t i = 0; i < x.n / 2; ++i)
      std::swap_ranges(v->begin() + static_cast<std::ptrdiff_t>(i * x.d),
                       v->begin() + static_cast<std::ptrdiff_t>((i + 1) * x.d),
                       v->begin() + static_cast<std::ptrdiff_t>((x.n - 1 - i) * x.d));
  EXPECT_TRUE(near_relative(run(reversed, {}).loss, want.loss, 1e-13));
  KlInputs swapped = x;
  std::swap(swapped.music_mean, swapped.emotion_mean);
  std::swap(swapped.music_log_variance, swapped.emotion_log_variance);
  const KlGradients got = run(swapped, {});
  EXPECT_TRUE(near_relative(got.loss, want.loss, 1e-13));
  EXPECT_TRUE(near_relative(got.emotion_mean, want.music_mean, 1e-12));
}

TEST(GaussianKlRank, EqualGaussiansAreExactlyZeroApart) {
  KlInputs x = gaussians(4, 3, 0.5, 43);
  x.emotion_mean = x.music_mean;
  x.emotion_log_variance = x.music_log_variance;
  Options o;
  o.pair_weight = 0.0;
  o.norm_weight = 1.0;
  const KlGradients got = run(x, o);
  EXPECT_EQ(got.loss, 0.0);
  EXPECT_EQ(got.music_mean, std::vector<double>(12, 0.0));  // sign(0) = 0
}

TEST(GaussianKlRank, DuplicateRowsAreFinite) {
  KlInputs x = gaussians(6, 3, 0.5, 44);
  for (auto* v : {&x.music_mean, &x.music_log_variance, &x.emotion_mean, &x.emotion_log_variance})
    for (std::size_t i = 3; i < v->size(); ++i) (*v)[i] = (*v)[i - 3];
  expect_near(run(x, {}), kl_reference(x, {}), 1e-11);
}

TEST(GaussianKlRank, NanReachesTheLoss) {
  for (const bool softmax : {false, true})
    for (auto member : {&KlInputs::music_mean, &KlInputs::emotion_log_variance})
      for (const std::size_t n : {1u, 5u}) {
        KlInputs x = gaussians(n, 3, 0.5, 45);
        (x.*member)[1] = kNan;
        Options o;
        o.softmax = softmax;
        EXPECT_TRUE(std::isnan(run(x, o).loss));
        EXPECT_TRUE(std::isnan(run<float>(x, o).loss));
      }
}

TEST(GaussianKlRank, OverflowingVarianceGivesANonFiniteLoss) {
  KlInputs x = gaussians(5, 3, 0.5, 46);
  x.music_log_variance[4] = 1e4;
  EXPECT_FALSE(std::isfinite(run(x, {}).loss));
  EXPECT_FALSE(std::isfinite(run<float>(x, {}).loss));
}

TEST(GaussianKlRank, TwoRunsAgreeBitForBit) {
  const KlInputs x = gaussians(300, 40, 0.5, 47);
  const KlGradients a = run<float>(x, {}), b = run<float>(x, {});
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(a.music_mean, b.music_mean);
  EXPECT_EQ(a.emotion_log_variance, b.emotion_log_variance);
}

}  // namespace
}  // namespace emer::test
