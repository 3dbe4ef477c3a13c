// What the cases are checked against, itself checked against the references of tests/reference and against central
// differences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bench/cases/gru_loops.h"
#include "bench/cases/known_correlations.h"
#include "bench/cases/lengths.h"
#include "bench/cases/repeated_pairs.h"
#include "tests/reference/cca_reference.h"
#include "tests/reference/gru_reference.h"
#include "tests/reference/kl_reference.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/values.h"

namespace emer::bench {
namespace {

std::vector<double> repeated(const std::vector<double>& base, std::size_t n, std::size_t b, std::size_t d) {
  std::vector<double> all;
  for (std::size_t i = 0; i < n; ++i)
    all.insert(all.end(), base.begin() + static_cast<std::ptrdiff_t>(i % b * d),
               base.begin() + static_cast<std::ptrdiff_t>((i % b + 1) * d));
  return all;
}

TEST(BenchOracles, RepeatedPairsEqualTheLossOfTheWholeBatch) {
  for (const Phase phase : {Phase::kEarly, Phase::kLate}) {
    const std::size_t n = 17, b = 5, d = 4;
    std::vector<double> inputs[4];
    for (int a = 0; a < 4; ++a)
      for (std::size_t i = 0; i < b * d; ++i)
        inputs[a].push_back(static_cast<float>(input_at(phase, a, static_cast<std::int64_t>(i))));
    test::KlReferenceOptions options;
    options.margin = kMargin;
    options.norm_weight = kNormWeight;
    const test::KlGradients want =
        test::kl_reference({n, d, repeated(inputs[0], n, b, d), repeated(inputs[1], n, b, d),
                            repeated(inputs[2], n, b, d), repeated(inputs[3], n, b, d)},
                           options);
    const Bases bases(phase, b, d);
    const RepeatedPairs got(bases, n, 0.0);
    EXPECT_TRUE(test::near_relative(got.loss, want.loss, 1e-12));
    EXPECT_TRUE(test::near_relative(repeated(got.mean.sum[0], n, b, d), want.music_mean, 1e-11));
    EXPECT_TRUE(test::near_relative(repeated(got.mean.sum[1], n, b, d), want.emotion_mean, 1e-11));
    EXPECT_TRUE(
        test::near_relative(repeated(got.log_variance.sum[0], n, b, d), want.music_log_variance, 1e-11));
    EXPECT_TRUE(
        test::near_relative(repeated(got.log_variance.sum[1], n, b, d), want.emotion_log_variance, 1e-11));
  }
}

TEST(BenchOracles, KnownCorrelationsAreTheExactCcaLoss) {
  const std::size_t n = 19, d = 6;
  const KnownCorrelations known(n, d);
  const auto loss = [&](const std::vector<double>& x1, const std::vector<double>& x2) {
    test::CcaReferenceOptions options;
    options.ridge = KnownCorrelations::kRidge;
    return test::exact_reference(x1, x2, n, d, options);
  };
  const std::vector<float> first = known.view(0), second = known.view(1);
  const std::vector<double> x1(first.begin(), first.end()), x2(second.begin(), second.end());
  EXPECT_NEAR(loss(x1, x2), known.loss(), 1e-6);  // the views are stored in float
  EXPECT_TRUE(test::gradient_matches(
      x1, known.gradient(0), [&](const auto& x) { return loss(x, x2); }, 1e-5, 1e-6, 7));
  EXPECT_TRUE(test::gradient_matches(
      x2, known.gradient(1), [&](const auto& x) { return loss(x1, x); }, 1e-5, 1e-6, 7));
}

class GruOracle : public ::testing::TestWithParam<bool> {};

TEST_P(GruOracle, FollowsTheReferenceAndCentralDifferences) {
  const bool before = GetParam();
  const std::size_t in = 2, hidden = 3, steps = 4;
  GruLoops loops;
  loops.in = in;
  loops.hidden = hidden;
  loops.reset_before = loops.hard = before;
  loops.w = test::normal(3 * hidden * in, 0, 0.5, 1);
  loops.u = test::normal(3 * hidden * hidden, 0, 0.5, 2);
  loops.bias = test::normal(3 * hidden, 0, 0.2, 3);
  loops.recurrent_bias = before ? std::vector<double>(3 * hidden) : test::normal(3 * hidden, 0, 0.2, 4);
  const std::vector<double> flat = test::normal(steps * in, 0, 1, 5), dh = test::normal(hidden, 0, 1, 6);
  std::vector<std::vector<double>> x;
  for (std::size_t t = 0; t < steps; ++t) x.push_back({flat[t * in], flat[t * in + 1]});

  std::vector<GruLoops::Step> kept;
  const std::vector<double> last = loops.forward(x, kept);
  const reference::GruCell cell{in,      hidden,  before,     before,
                                loops.w, loops.u, loops.bias, loops.recurrent_bias};
  std::vector<double> want(hidden, 0.0);
  for (std::size_t t = 0; t < steps; ++t) want = cell.step(want, x[t].data());
  EXPECT_TRUE(test::near_relative(last, want, 1e-14));

  loops.backward(kept, dh);
  const auto gradient_of = [&](std::vector<double> GruLoops::*weights) {
    return [&, weights](const std::vector<double>& values) {
      GruLoops moved = loops;
      moved.*weights = values;
      std::vector<GruLoops::Step> unused;
      const std::vector<double> state = moved.forward(x, unused);
      double sum = 0.0;
      for (std::size_t j = 0; j < hidden; ++j) sum += dh[j] * state[j];
      return sum;
    };
  };
  EXPECT_TRUE(test::gradient_matches(loops.w, loops.d_w, gradient_of(&GruLoops::w), 1e-6, 1e-8));
  EXPECT_TRUE(test::gradient_matches(loops.u, loops.d_u, gradient_of(&GruLoops::u), 1e-6, 1e-8));
  EXPECT_TRUE(test::gradient_matches(loops.bias, loops.d_bias, gradient_of(&GruLoops::bias), 1e-6, 1e-8));
  if (!before) {
    EXPECT_TRUE(test::gradient_matches(loops.recurrent_bias, loops.d_recurrent_bias,
                                       gradient_of(&GruLoops::recurrent_bias), 1e-6, 1e-8));
  }
}
INSTANTIATE_TEST_SUITE_P(ResetBeforeAndAfter, GruOracle, ::testing::Bool());

TEST(BenchOracles, LengthsSpreadAsPmemosDo) {
  std::vector<std::int32_t> lengths = pmemo_lengths(767, 180);
  std::sort(lengths.begin(), lengths.end());
  EXPECT_GE(lengths.front(), 2);
  EXPECT_LE(lengths.back(), 146);
  EXPECT_NEAR(lengths[383], 42, 1);
  double sum = 0;
  for (const std::int32_t length : lengths) sum += length;
  EXPECT_NEAR(sum / 767, 47.5, 1.0);
  for (const std::int32_t length : pmemo_lengths(40, 30)) EXPECT_LE(length, 30);
}

}  // namespace
}  // namespace emer::bench
