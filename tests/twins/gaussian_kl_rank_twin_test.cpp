// The KL ranking loss on the device against plain loops in double (tests/reference/kl_reference.h).
//
// Bounds. eps = 2^-24. The reference is given the inputs as the device has them, rounded to float. In fp32 the device
// rounds the centred operands (eps each) and adds 2d products of them in float; all else is in double. With operands
// of order 1, S errs by about sqrt(2d) * 4 eps at most; loss and gradients then err relative to their largest entry by
//   hinge    nothing from S while the mask is the same, which the choice of the margin below sees to; the pulls add up
//            to n products in float, whose roundings walk: eps * (8 + sqrt(n)) * 4
//   softmax  every weight errs by S's error over the temperature, on top of that.
// bf16 has 2^16 eps in place of eps for operands (2^-9 rounding), which the pulls see with random signs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/work_graph.h"
#include "tests/support/compare.h"
#include "tests/twins/kl_rank_run.h"

namespace emer::test {
namespace {

constexpr double kEps = 0x1p-24;

// S_ii - S_ij of both directions, j != i.
std::vector<double> gaps(const KlInputs& x) {
  std::vector<double> all;
  const auto direction = [&](const auto& mp, const auto& lp, const auto& mq, const auto& lq) {
    for (std::size_t i = 0; i < x.n; ++i) {
      const auto score = [&](std::size_t j) {
        return kl_of_pair(&mp[j * x.d], &lp[j * x.d], &mq[i * x.d], &lq[i * x.d], x.d);
      };
      const double own = score(i);
      for (std::size_t j = 0; j < x.n; ++j)
        if (j != i) all.push_back(own - score(j));
    }
  };
  direction(x.music_mean, x.music_log_variance, x.emotion_mean, x.emotion_log_variance);
  direction(x.emotion_mean, x.emotion_log_variance, x.music_mean, x.music_log_variance);
  return all;
}

// A margin which about the given part of all pairs is inside, in the middle of the widest empty stretch nearby.
double margin_between_pairs(const KlInputs& x, double active) {
  std::vector<double> margins = gaps(x);
  if (margins.empty()) return 1.0;
  for (double& m : margins) m = -m;
  std::sort(margins.begin(), margins.end());
  const auto count = static_cast<double>(margins.size());
  const auto middle = static_cast<std::size_t>(active * (count - 1.0));
  const std::size_t begin = middle > 40 ? middle - 40 : 0, end = std::min(middle + 40, margins.size() - 1);
  double best = margins[end] + 1.0, widest = 0.0;
  for (std::size_t k = begin; k < end; ++k)
    if (margins[k] >= 0.0 && margins[k + 1] - margins[k] > widest) {
      widest = margins[k + 1] - margins[k];
      best = 0.5 * (margins[k] + margins[k + 1]);
    }
  return std::max(best, 0.0);
}

void expect_near(const KlResult& got, const KlGradients& want, double loss_tolerance, double tolerance) {
  EXPECT_TRUE(near_relative(got.loss, want.loss, loss_tolerance)) << "loss";
  EXPECT_TRUE(near_relative(got.music_mean, want.music_mean, tolerance)) << "music mean";
  EXPECT_TRUE(near_relative(got.music_log_variance, want.music_log_variance, tolerance))
      << "music log variance";
  EXPECT_TRUE(near_relative(got.emotion_mean, want.emotion_mean, tolerance)) << "emotion mean";
  EXPECT_TRUE(near_relative(got.emotion_log_variance, want.emotion_log_variance, tolerance))
      << "emotion log variance";
}

double hinge_bound(const KlInputs& x) {
  return kEps * (8.0 + std::sqrt(static_cast<double>(x.n))) * 4.0;
}
double score_bound(const KlInputs& x) {
  return kEps * 4.0 * std::sqrt(2.0 * static_cast<double>(x.d)) * 4.0;
}

class GaussianKlRankTwin : public TwinTest {};

struct Shape {
  std::size_t n, d;
};

// Around warps, tiles of 32 rows and 256 columns, chunks of 64 rows; primes, d = 1, n > d, n < d.
constexpr Shape kShapes[] = {{1, 1},   {1, 7},   {1, 64},  {2, 1},   {2, 33},   {3, 2},
                             {3, 64},  {31, 1},  {31, 33}, {32, 2},  {32, 7},   {33, 1},
                             {33, 64}, {127, 2}, {127, 7}, {129, 1}, {129, 17}, {257, 2}};

TEST_F(GaussianKlRankTwin, HingeMatchesPlainLoops) {
  for (const auto [n, d] : kShapes) {
    SCOPED_TRACE(testing::Message() << "n " << n << " d " << d);
    const KlInputs x = gaussians(n, d, 0.5, 11 * n + d);
    KlOptions o;
    o.margin = margin_between_pairs(x, 0.4);
    o.norm_weight = 0.05;
    expect_near(run_on_device(x, o), kl_reference(x, o), score_bound(x), hinge_bound(x));
  }
}

// The temperature the device sees: exp of its float logarithm.
KlReferenceOptions seen_by_device(KlReferenceOptions o) {
  o.temperature = std::exp(static_cast<double>(static_cast<float>(std::log(o.temperature))));
  return o;
}

TEST_F(GaussianKlRankTwin, SoftmaxMatchesPlainLoops) {
  for (const auto [n, d] : kShapes) {
    if (n * d > 1000) continue;  // slow on the harness, and nothing that hinges do not try
    SCOPED_TRACE(testing::Message() << "n " << n << " d " << d);
    const KlInputs x = gaussians(n, d, 0.5, 13 * n + d);
    KlOptions o;
    o.softmax = o.learn = true;
    o.temperature = 1.0 + 0.25 * static_cast<double>(d);
    o.pair_weight = 0.5 / static_cast<double>(n);
    const KlGradients want = kl_reference(x, seen_by_device(o));
    const KlResult got = run_on_device(x, o);
    const double bound = hinge_bound(x) + 4 * score_bound(x);
    expect_near(got, want, bound, bound);
    EXPECT_NEAR(static_cast<double>(got.d_log_temperature - kTemperatureGradientBefore), want.log_temperature,
                kTemperatureGradientBefore * 2 * kEps + bound * (1 + std::abs(want.log_temperature)));
  }
}

// n = 129 in strips of 32, 100 and 128 rows: last strips of 1 and of 29.
TEST_F(GaussianKlRankTwin, StripsMeetWithoutASeam) {
  const KlInputs x = gaussians(129, 3, 0.5, 71);
  for (const bool softmax : {false, true}) {
    KlOptions o;
    o.softmax = softmax;
    o.temperature = 3.0;
    o.pair_weight = softmax ? 0.01 : 1.0;
    o.margin = margin_between_pairs(x, 0.4);
    const KlGradients want = kl_reference(x, o);
    for (const std::int64_t rows : {32, 100, 128}) {
      SCOPED_TRACE(testing::Message() << "softmax " << softmax << " strips of " << rows);
      o.limits = {rows, cuda::kKlStripLimits.bytes};
      const double bound = hinge_bound(x) + (softmax ? 4 * score_bound(x) : 0.0);
      expect_near(run_on_device(x, o), want, bound, bound);
    }
  }
}

TEST_F(GaussianKlRankTwin, MemoryBoundsTheStrips) {
  const KlInputs x = gaussians(129, 1, 0.5, 72);
  KlOptions o;
  o.limits = {.rows = 128, .bytes = 136 * 4 * 70};  // 70 rows of 129 columns, padded to 136, in float
  Context ctx(DeviceKind::kCuda);
  KlArrays arrays(ctx, x, o);
  const ArenaScope scope(ctx);
  EXPECT_EQ(cuda::kl_rank_plan(ctx, arrays.args, &*o.limits).strip_rows, 64);
  ctx.set_precision(Precision::kBf16);  // and 2 bytes of pull
  EXPECT_EQ(cuda::kl_rank_plan(ctx, arrays.args, &*o.limits).strip_rows, 32);
}

TEST_F(GaussianKlRankTwin, TwoRunsAgreeBitForBit) {
  const KlInputs x = gaussians(65, 9, 0.5, 73);
  for (const Precision precision : {Precision::kFp32, Precision::kTf32, Precision::kBf16})
    for (const bool softmax : {false, true}) {
      KlOptions o;
      o.precision = precision;
      o.softmax = o.learn = softmax;
      EXPECT_EQ(run_on_device(x, o), run_on_device(x, o));
    }
}

TEST_F(GaussianKlRankTwin, RecordedWorkReadsInputsAndTemperatureAnew) {
  const KlInputs x = gaussians(33, 7, 0.5, 74), y = gaussians(33, 7, 0.5, 75);
  KlOptions o;
  o.softmax = o.learn = true;
  o.temperature = 2.0;
  KlOptions warmer = o;
  warmer.temperature = 4.0;
  const KlResult want = run_on_device(y, warmer);
  Context ctx(DeviceKind::kCuda);
  KlArrays arrays(ctx, x, o), other(ctx, y, warmer);
  const auto work = [&] { gaussian_kl_rank<float>(ctx, arrays.args); };
  work();
  WorkGraph graph(ctx, work);
  for (auto member : {&KlArrays::mm, &KlArrays::ml, &KlArrays::em, &KlArrays::el, &KlArrays::log_temperature,
                      &KlArrays::d_log_temperature})
    copy_on_device(ctx, (arrays.*member).data(), (other.*member).data(),
                   (arrays.*member).size() * sizeof(float));
  graph.launch(ctx);
  EXPECT_EQ(arrays.read(), want);
}

TEST_F(GaussianKlRankTwin, GradientWeightScalesGradientsOnly) {
  const KlInputs x = gaussians(33, 7, 0.5, 76);
  KlOptions o;
  const KlResult one = run_on_device(x, o);
  o.gradient_weight = 0.25;  // exact in binary
  KlResult quarter = run_on_device(x, o);
  EXPECT_EQ(quarter.loss, one.loss);
  for (float& g : quarter.music_mean) g *= 4;
  EXPECT_EQ(quarter.music_mean, one.music_mean);
}

TEST_F(GaussianKlRankTwin, EqualGaussiansAreExactlyZeroApart) {
  KlInputs x = gaussians(33, 7, 0.5, 77);
  x.emotion_mean = x.music_mean;
  x.emotion_log_variance = x.music_log_variance;
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    KlOptions o;
    o.precision = precision;
    o.pair_weight = 0.0;
    o.norm_weight = 1.0;
    const KlResult got = run_on_device(x, o);
    EXPECT_EQ(got.loss, 0.0);
    for (const float g : got.music_mean) EXPECT_EQ(g, 0.0f);  // sign(0) = 0
  }
}

TEST_F(GaussianKlRankTwin, NanReachesTheLoss) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16})
    for (const bool softmax : {false, true})
      for (auto member : {&KlInputs::music_mean, &KlInputs::emotion_log_variance})
        for (const std::size_t n : {1u, 5u}) {
          KlInputs x = gaussians(n, 3, 0.5, 78);
          (x.*member)[1] = std::numeric_limits<double>::quiet_NaN();
          KlOptions o;
          o.precision = precision;
          o.softmax = softmax;
          EXPECT_TRUE(std::isnan(run_on_device(x, o).loss));
        }
}

TEST_F(GaussianKlRankTwin, OverflowingVarianceGivesANonFiniteLoss) {
  KlInputs x = gaussians(5, 3, 0.5, 79);
  x.music_log_variance[4] = 1e4;
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    KlOptions o;
    o.precision = precision;
    EXPECT_FALSE(std::isfinite(run_on_device(x, o).loss));
  }
}

// Means 1000 away from zero: the gauge takes them out before anything is rounded.
TEST_F(GaussianKlRankTwin, FarMeansCostNothing) {
  const KlInputs x = gaussians(33, 7, 1000.0, 80);
  KlOptions o;
  o.margin = margin_between_pairs(x, 0.4);
  expect_near(run_on_device(x, o), kl_reference(x, o), score_bound(x), hinge_bound(x));
}

}  // namespace
}  // namespace emer::test
