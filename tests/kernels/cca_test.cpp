// Both CCA losses: values against plain loops, gradients against central differences.
#include <gtest/gtest.h>

#include <limits>

#include "kernels/cca_exact.h"
#include "kernels/cca_projection.h"
#include "tests/reference/cca_reference.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/one_thread.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Problem {
  std::size_t n, d;
  Matrix x1, x2, w1, w2;
};

// Two views of one latent signal, so that correlations lie between 0 and 1.
Problem problem(std::size_t n, std::size_t d, std::uint64_t seed) {
  Problem p{n,
            d,
            normal(n * d, 0.5, 1.0, seed),
            normal(n * d, -0.5, 0.7, seed + 1),
            normal(d * d, 0.0, 0.6, seed + 2),
            normal(d * d, 0.0, 0.6, seed + 3)};
  for (std::size_t i = 0; i < n * d; ++i) p.x2[i] += 0.8 * p.x1[i];
  return p;
}

struct Result {
  double loss = kNan;
  Matrix dx1, dx2, dw1, dw2;
};

struct Form : CcaReferenceOptions {
  bool by_eigen = false;
  double scale = 1.0, gradient_weight = 1.0;
};

template <class Real>
std::vector<Real> as(const Matrix& m) {
  return std::vector<Real>(m.begin(), m.end());
}
template <class Real>
Matrix doubles(const std::vector<Real>& v) {
  return Matrix(v.begin(), v.end());
}

template <class Real = double>
Result projection(const Problem& p, const Form& f) {
  Context ctx;
  const auto x1 = as<Real>(p.x1), x2 = as<Real>(p.x2), w1 = as<Real>(p.w1), w2 = as<Real>(p.w2);
  auto dx1 = as<Real>(Matrix(p.n * p.d, kNan)), dx2 = dx1, dw1 = as<Real>(Matrix(p.d * p.d, 2.0)), dw2 = dw1;
  Result r;
  cca_projection<Real>(ctx, {.n = static_cast<int>(p.n),
                             .d = static_cast<int>(p.d),
                             .first = {x1.data(), w1.data(), dx1.data(), dw1.data()},
                             .second = {x2.data(), w2.data(), dx2.data(), dw2.data()},
                             .centring = f.sample_centring ? Centring::kSample : Centring::kFeature,
                             .correlation = f.row_norm ? Correlation::kRowNorm : Correlation::kNuclear,
                             .penalty_summed = f.summed,
                             .solver = f.by_eigen ? PolarSolver::kSvd : PolarSolver::kPolar,
                             .ridge = f.ridge,
                             .scale = f.scale,
                             .gradient_weight = f.gradient_weight,
                             .loss = &r.loss});
  r.dx1 = doubles(dx1);
  r.dx2 = doubles(dx2);
  r.dw1 = doubles(dw1);
  r.dw2 = doubles(dw2);
  for (Matrix* accumulated : {&r.dw1, &r.dw2})
    for (double& g : *accumulated) g -= 2.0;  // what was there before
  return r;
}

template <class Real = double>
Result exact(const Problem& p, const Form& f) {
  Context ctx;
  const auto x1 = as<Real>(p.x1), x2 = as<Real>(p.x2);
  auto dx1 = as<Real>(Matrix(p.n * p.d, kNan)), dx2 = dx1;
  Result r;
  cca_exact<Real>(ctx, {.n = static_cast<int>(p.n),
                        .d = static_cast<int>(p.d),
                        .x1 = x1.data(),
                        .x2 = x2.data(),
                        .d_x1 = dx1.data(),
                        .d_x2 = dx2.data(),
                        .centring = f.sample_centring ? Centring::kSample : Centring::kFeature,
                        .route = f.by_eigen ? CcaRoute::kEigen : CcaRoute::kPolar,
                        .directions = static_cast<int>(f.directions),
                        .ridge = f.ridge,
                        .scale = f.scale,
                        .gradient_weight = f.gradient_weight,
                        .loss = &r.loss});
  r.dx1 = doubles(dx1);
  r.dx2 = doubles(dx2);
  return r;
}

void expect_gradient(const Problem& p, Matrix Problem::*which, const Matrix& gradient,
                     const std::function<double(const Problem&)>& loss) {
  EXPECT_TRUE(gradient_matches(
      p.*which, gradient,
      [&](const Matrix& moved) {
        Problem q = p;
        q.*which = moved;
        return loss(q);
      },
      1e-6, 2e-8));
}

class CcaForms : public ::testing::TestWithParam<std::tuple<bool, bool, bool, bool>> {
 protected:
  Form form() const {
    Form f;
    std::tie(f.sample_centring, f.row_norm, f.summed, f.by_eigen) = GetParam();
    f.ridge = 0.01;
    return f;
  }
};
INSTANTIATE_TEST_SUITE_P(AllSwitches, CcaForms,
                         ::testing::Combine(::testing::Bool(), ::testing::Bool(), ::testing::Bool(),
                                            ::testing::Bool()));

TEST_P(CcaForms, ProjectionMatchesPlainLoops) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<std::pair<std::size_t, std::size_t>>{
           {2, 1}, {7, 1}, {2, 3}, {5, 7}, {6, 7}, {7, 7}, {8, 7}, {23, 11}, {13, 29}}) {
    const Problem p = problem(n, d, 50 + n);
    EXPECT_TRUE(near_relative(projection(p, form()).loss,
                              projection_reference(p.x1, p.x2, p.w1, p.w2, n, d, form()), 1e-11))
        << n << " x " << d;
  }
}

TEST_P(CcaForms, ProjectionGradientsMatchCentralDifferences) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<std::pair<std::size_t, std::size_t>>{{9, 4}, {4, 6}, {5, 5}}) {
    const Problem p = problem(n, d, 70 + n);
    const Form f = form();
    const Result r = projection(p, f);
    const auto loss = [&](const Problem& q) { return projection(q, f).loss; };
    expect_gradient(p, &Problem::x1, r.dx1, loss);
    expect_gradient(p, &Problem::x2, r.dx2, loss);
    expect_gradient(p, &Problem::w1, r.dw1, loss);
    expect_gradient(p, &Problem::w2, r.dw2, loss);
  }
}

TEST(CcaProjection, SolversAgree) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<std::pair<std::size_t, std::size_t>>{{40, 12}, {12, 40}, {13, 12}}) {
    const Problem p = problem(n, d, 90);
    Form f;
    const Result polar = projection(p, f);
    f.by_eigen = true;
    const Result svd = projection(p, f);
    EXPECT_TRUE(near_relative(polar.loss, svd.loss, 1e-12));
    EXPECT_TRUE(near_relative(polar.dx1, svd.dx1, 1e-9));
    EXPECT_TRUE(near_relative(polar.dw2, svd.dw2, 1e-9));
  }
}

// d = 1, n = 2: F1 = [-1, 1], F2 = [-2, 2], S11 = 2 + r, S22 = 8 + r, T = 4 w1 w2.
TEST(CcaProjection, MatchesHandWorkedBatchOfTwo) {
  const Problem p{2, 1, {3, 5}, {1, 5}, {0.5}, {0.25}};
  Form f;
  f.ridge = 0.5;
  // separate: 1/2 |1 - 2.5/4| + 1/2 |1 - 8.5/16| - 4/8 = .1875 + .234375 - .5
  EXPECT_NEAR(projection(p, f).loss, -0.078125, 1e-15);
  f.scale = 2.0;
  EXPECT_NEAR(projection(p, f).loss, -0.15625, 1e-15);
  // d/dw1: -T/w1 - (2.5 w1) = -1 - 1.25, scaled by 2
  EXPECT_NEAR(projection(p, f).dw1[0], -4.5, 1e-14);
}

TEST(CcaProjection, RotatedProjectionsLeaveTheNuclearNorm) {
  // W1 <- W1 Q turns T into Q'T: the nuclear norm stays, row norms move. A plane rotation by 0.7 rad.
  const Problem p = problem(12, 2, 95);
  const double c = std::cos(0.7), s = std::sin(0.7);
  Problem q = p;
  q.w1 = multiply(p.w1, {c, -s, s, c}, 2, 2, 2);
  const auto row_norms = [](const Problem& x) {
    const Matrix f1 = centred(x.x1, 12, 2, false), f2 = centred(x.x2, 12, 2, false);
    const Matrix t =
        multiply(multiply(transpose(x.w1, 2, 2), moment(f1, f2, 12, 2, 0), 2, 2, 2), x.w2, 2, 2, 2);
    return std::hypot(t[0], t[1]) + std::hypot(t[2], t[3]);
  };
  const auto nuclear_norm = [&](const Problem& x) {  // the two losses share their penalty
    Form rows;
    rows.row_norm = true;
    return projection(x, rows).loss + row_norms(x) - projection(x, {}).loss;
  };
  EXPECT_NEAR(nuclear_norm(p), nuclear_norm(q), 1e-12);
  EXPECT_GT(std::abs(row_norms(p) - row_norms(q)), 1e-3);
}

TEST(CcaExact, MatchesPlainLoopsByBothRoutes) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<std::pair<std::size_t, std::size_t>>{
           {2, 1}, {7, 1}, {2, 3}, {5, 7}, {7, 7}, {8, 7}, {23, 11}, {13, 17}})
    for (const bool eigen : {false, true})
      for (const bool sample : {false, true}) {
        const Problem p = problem(n, d, 110 + n);
        Form f;
        f.by_eigen = eigen;
        f.sample_centring = sample;
        f.ridge = 0.01;
        // Absolute where the sum is next to nothing (sample centring at d = 1 leaves no view at all).
        EXPECT_NEAR(exact(p, f).loss, exact_reference(p.x1, p.x2, n, d, f), 1e-11 * static_cast<double>(d))
            << n << " x " << d;
      }
}

TEST(CcaExact, GradientsMatchCentralDifferences) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<std::pair<std::size_t, std::size_t>>{{9, 4}, {4, 6}, {5, 5}})
    for (const std::size_t directions : {0u, 2u})
      for (const bool eigen : {false, true}) {
        const Problem p = problem(n, d, 130 + n);
        Form f;
        f.by_eigen = eigen;
        f.ridge = 0.05;
        f.directions = directions;
        const Result r = exact(p, f);
        const auto loss = [&](const Problem& q) { return exact_reference(q.x1, q.x2, q.n, q.d, f); };
        expect_gradient(p, &Problem::x1, r.dx1, loss);
        expect_gradient(p, &Problem::x2, r.dx2, loss);
      }
}

// The routes round differently by eps times the condition number of S, at most 1e4 here, and where n < d the
// gradient is what is left of terms that cancel, 1e-2 of them.
TEST(CcaExact, RoutesAgree) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<std::pair<std::size_t, std::size_t>>{{60, 12}, {12, 20}, {200, 64}}) {
    const Problem p = problem(n, d, 150);
    Form f;
    f.ridge = n < d ? 0.01 : 1e-4;
    const Result polar = exact(p, f);
    f.by_eigen = true;
    const Result eigen = exact(p, f);
    EXPECT_TRUE(near_relative(polar.loss, eigen.loss, 1e-11));
    EXPECT_TRUE(near_relative(polar.dx1, eigen.dx1, 1e-9));
    EXPECT_TRUE(near_relative(polar.dx2, eigen.dx2, 1e-9));
  }
}

TEST(CcaExact, InvariantUnderShiftPermutationAndSwap) {
  const OneThread quiet;
  const std::size_t n = 15, d = 4;
  const Problem p = problem(n, d, 160);
  const Result want = exact(p, {});
  Problem moved = p;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < d; ++k) moved.x1[i * d + k] += 10.0 * static_cast<double>(k);
  EXPECT_TRUE(near_relative(exact(moved, {}).loss, want.loss, 1e-11));
  Problem reversed = p;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < d; ++k) {
      reversed.x1[i * d + k] = p.x1[(n - 1 - i) * d + k];
      reversed.x2[i * d + k] = p.x2[(n - 1 - i) * d + k];
    }
  EXPECT_TRUE(near_relative(exact(reversed, {}).loss, want.loss, 1e-12));
  Problem swapped = p;
  std::swap(swapped.x1, swapped.x2);
  const Result other = exact(swapped, {});
  EXPECT_TRUE(near_relative(other.loss, want.loss, 1e-12));
  EXPECT_TRUE(near_relative(other.dx2, want.dx1, 1e-10));
}

void expect_finite(const Result& r) {
  EXPECT_TRUE(std::isfinite(r.loss));
  for (const Matrix* g : {&r.dx1, &r.dx2, &r.dw1, &r.dw2})
    for (const double v : *g) ASSERT_TRUE(std::isfinite(v));
}

// Duplicate samples, and equal ones (zero covariance, T = 0).
TEST(CcaDegenerate, IsFinite) {
  const OneThread quiet;
  for (const bool equal : {false, true})
    for (const std::size_t n : {4u, 9u})
      for (const bool eigen : {false, true}) {
        Problem p = problem(n, 6, 170);
        for (std::size_t i = 6 * (equal ? 1 : 2); i < n * 6; ++i) {
          p.x1[i] = p.x1[i - (equal ? 6 : 12)];
          p.x2[i] = p.x2[i - (equal ? 6 : 12)];
        }
        Form f;
        f.by_eigen = eigen;
        expect_finite(projection(p, f));
        expect_finite(projection<float>(p, f));
        expect_finite(exact(p, f));
        expect_finite(exact<float>(p, f));
        f.row_norm = true;
        expect_finite(projection(p, f));
        if (equal) {
          EXPECT_NEAR(exact(p, f).loss, 0.0, 1e-9);
        } else {
          EXPECT_TRUE(near_relative(exact(p, f).loss, exact_reference(p.x1, p.x2, n, 6, f), 1e-9));
        }
      }
}

TEST(CcaDegenerate, NanAndInfinityReachTheLoss) {
  const OneThread quiet;
  for (const double bad : {kNan, std::numeric_limits<double>::infinity()})
    for (const std::size_t n : {4u, 9u})
      for (const bool eigen : {false, true})
        for (const bool rows : {false, true}) {
          Problem p = problem(n, 6, 180);
          p.x2[5] = bad;
          Form f;
          f.by_eigen = eigen;
          f.row_norm = rows;
          EXPECT_TRUE(std::isnan(projection(p, f).loss));
          EXPECT_TRUE(std::isnan(projection<float>(p, f).loss));
          EXPECT_TRUE(std::isnan(exact(p, f).loss));
          p.x2[5] = 0.0;
          p.w1[3] = bad;
          EXPECT_FALSE(std::isfinite(projection(p, f).loss));
        }
}

TEST(CcaDegenerate, OneSampleIsRefusedWithAdvice) {
  const Problem p = problem(1, 3, 190);
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"merge or drop"}, [&] { exact(p, {}); }));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"merge or drop"}, [&] { projection(p, {}); }));
}

TEST(Cca, TwoRunsAgreeBitForBit) {
  const Problem p = problem(40, 60, 200);
  const Result a = projection<float>(p, {}), b = projection<float>(p, {});
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(a.dx1, b.dx1);
  EXPECT_EQ(a.dw2, b.dw2);
  EXPECT_EQ(exact<float>(p, {}).dx2, exact<float>(p, {}).dx2);
}

TEST(Cca, GradientWeightScalesGradientsOnly) {
  const Problem p = problem(9, 4, 210);
  Form f;
  const Result one = projection(p, f), one_exact = exact(p, f);
  f.gradient_weight = 0.25;
  Result quarter = projection(p, f), quarter_exact = exact(p, f);
  EXPECT_EQ(quarter.loss, one.loss);
  for (Matrix* g : {&quarter.dx1, &quarter.dw1, &quarter_exact.dx1})
    for (double& v : *g) v *= 4;
  EXPECT_TRUE(near_relative(quarter.dx1, one.dx1, 1e-13));
  EXPECT_TRUE(near_relative(quarter.dw1, one.dw1, 1e-13));
  EXPECT_TRUE(near_relative(quarter_exact.dx1, one_exact.dx1, 1e-13));
}

}  // namespace
}  // namespace emer::test
