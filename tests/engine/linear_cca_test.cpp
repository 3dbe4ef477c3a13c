#include "engine/linear_cca.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/compare.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer {
namespace {

// w' (A'B/(n-1) + r I) v over centred columns, by plain loops.
std::vector<double> quadratic(const std::vector<double>& a, const std::vector<double>& b,
                              const std::vector<double>& w, const std::vector<double>& v, int n, int da,
                              int db, int k, double ridge) {
  const auto covariance = [&](int p, int q) {
    double mp = 0, mq = 0, sum = 0;
    for (int i = 0; i < n; ++i) mp += a[i * da + p] / n, mq += b[i * db + q] / n;
    for (int i = 0; i < n; ++i) sum += (a[i * da + p] - mp) * (b[i * db + q] - mq);
    return sum / (n - 1) + (p == q ? ridge : 0.0);
  };
  std::vector<double> out(static_cast<std::size_t>(k) * k, 0.0);
  for (int p = 0; p < da; ++p)
    for (int q = 0; q < db; ++q) {
      const double s = covariance(p, q);
      for (int r = 0; r < k; ++r)
        for (int c = 0; c < k; ++c) out[r * k + c] += w[p * k + r] * s * v[q * k + c];
    }
  return out;
}

// Half noise, half a shared signal.
void related(int n, int d1, int d2, std::vector<double>& x1, std::vector<double>& x2) {
  x1 = test::normal(static_cast<std::size_t>(n) * d1, 3.0, 2.0, 11);
  x2 = test::normal(static_cast<std::size_t>(n) * d2, -1.0, 1.0, 12);
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < std::min(d1, d2) / 2; ++k) x2[i * d2 + k] += (1.0 - 0.2 * k) * x1[i * d1 + k];
}

TEST(LinearCca, WhitensBothViewsAndDiagonalisesTheCrossCovariance) {
  const int n = 50, d1 = 7, d2 = 5;
  const double ridge = 0.3;
  std::vector<double> x1, x2;
  related(n, d1, d2, x1, x2);
  const LinearCca cca = fit_linear_cca(x1, x2, n, d1, d2, ridge);
  ASSERT_EQ(cca.directions, 5);
  std::vector<double> identity(25, 0.0), diagonal(25, 0.0);
  for (int k = 0; k < 5; ++k) {
    identity[k * 6] = 1.0;
    diagonal[k * 6] = cca.correlations[k];
    EXPECT_GE(cca.correlations[k], 0.0);
    EXPECT_LT(cca.correlations[k], 1.0);
    EXPECT_LE(cca.correlations[k], cca.correlations[std::max(k - 1, 0)]);
  }
  // Conditions of a canonical analysis; 1e-10: a few hundred roundings, condition numbers near 100.
  EXPECT_TRUE(test::near_relative(quadratic(x1, x1, cca.w1, cca.w1, n, d1, d1, 5, ridge), identity, 1e-10));
  EXPECT_TRUE(test::near_relative(quadratic(x2, x2, cca.w2, cca.w2, n, d2, d2, 5, ridge), identity, 1e-10));
  EXPECT_TRUE(test::near_relative(quadratic(x1, x2, cca.w1, cca.w2, n, d1, d2, 5, 0.0), diagonal, 1e-10));
}

// x1 = 1 2 3, x2 = 1 3 2: variances 1 and 1, covariance 0.5, ridge 1: correlation 0.5 / 2, |w| = 1 / sqrt 2.
TEST(LinearCca, MatchesHandWorkedSingleFeature) {
  const LinearCca cca =
      fit_linear_cca(std::vector<double>{1, 2, 3}, std::vector<double>{1, 3, 2}, 3, 1, 1, 1.0);
  EXPECT_NEAR(cca.correlations[0], 0.25, 1e-14);
  EXPECT_NEAR(std::abs(cca.w1[0]), std::sqrt(0.5), 1e-14);
  EXPECT_NEAR(cca.w1[0] * cca.w2[0], 0.5, 1e-14);
  EXPECT_TRUE(test::near_relative(cca.mean1, std::vector<double>{2}, 1e-15));
  const std::vector<double> p = project_first(cca, std::vector<double>{1, 2, 3}, 3);
  EXPECT_NEAR(p[2] - p[0], 2 * cca.w1[0], 1e-14);
}

TEST(LinearCca, CorrelationsDoNotDependOnAnInvertibleMapOfAView) {
  const int n = 60, d = 4;
  std::vector<double> x1, x2;
  related(n, d, d, x1, x2);
  std::vector<double> mapped(x1.size());
  const double map[4][4] = {{2, 1, 0, 0}, {0, 3, 1, 0}, {0, 0, -1, 1}, {1, 0, 0, 0.5}};
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < d; ++k)
      for (int f = 0; f < d; ++f) mapped[i * d + k] += x1[i * d + f] * map[f][k];
  const auto plain = fit_linear_cca(x1, x2, n, d, d, 0.0).correlations;
  EXPECT_TRUE(test::near_relative(fit_linear_cca(mapped, x2, n, d, d, 0.0).correlations, plain, 1e-10));
}

TEST(LinearCca, FewerSamplesThanFeaturesAndConstantFeaturesStayFinite) {
  const int n = 5, d = 12;
  for (const double scale : {1e-8, 1.0, 1e8}) {
    std::vector<double> x1 = test::normal(n * d, 0.0, scale, 21), x2 = test::normal(n * d, 0.0, scale, 22);
    for (int i = 0; i < n; ++i) x1[i * d + 3] = 1e6, x2[i * d + 3] = 0.1;
    const LinearCca cca = fit_linear_cca(x1, x2, n, d, d, 1e-4);
    for (const double v : cca.w1) ASSERT_TRUE(std::isfinite(v));
    for (const double v : cca.w2) ASSERT_TRUE(std::isfinite(v));
    for (const double v : cca.correlations) {
      ASSERT_TRUE(std::isfinite(v));
      ASSERT_LE(v, 1.0 + 1e-6);
    }
  }
}

TEST(LinearCca, RefusesOneSampleAndValuesThatAreNotFinite) {
  EXPECT_THROW(fit_linear_cca(std::vector<double>{1}, std::vector<double>{1}, 1, 1, 1, 0.1), Error);
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"second (emotion) view's row 1"}, [] {
    fit_linear_cca(std::vector<double>{1, 2, 3, 4}, std::vector<double>{1, 2, NAN, 4}, 2, 2, 2, 0.1);
  }));
}

}  // namespace
}  // namespace emer
