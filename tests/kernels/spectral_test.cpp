// Centring and moments, eigenvectors, singular vectors, polar factor.
#include <gtest/gtest.h>

#include <limits>

#include "kernels/covariance.h"
#include "kernels/polar_factor.h"
#include "kernels/svd.h"
#include "kernels/symmetric_eigen.h"
#include "tests/reference/cca_reference.h"
#include "tests/support/compare.h"
#include "tests/support/one_thread.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const std::vector<std::size_t> kSizes = {1, 2, 3, 7, 17, 33};

Matrix poisoned(std::size_t count) {
  return Matrix(count, kNan);
}

Matrix identity(std::size_t m) {
  Matrix i(m * m, 0.0);
  for (std::size_t k = 0; k < m; ++k) i[k * m + k] = 1.0;
  return i;
}

Matrix plus(Matrix a, const Matrix& b) {
  for (std::size_t k = 0; k < a.size(); ++k) a[k] += b[k];
  return a;
}

// An orthogonal matrix: Gram-Schmidt, twice, on random columns.
Matrix orthogonal(std::size_t m, std::uint64_t seed) {
  Matrix q = normal(m * m, 0.0, 1.0, seed);
  for (int pass = 0; pass < 2; ++pass)
    for (std::size_t r = 0; r < m; ++r) {
      double* row = &q[r * m];
      for (std::size_t s = 0; s < r; ++s) {
        double dot = 0;
        for (std::size_t k = 0; k < m; ++k) dot += row[k] * q[s * m + k];
        for (std::size_t k = 0; k < m; ++k) row[k] -= dot * q[s * m + k];
      }
      double squares = 0;
      for (std::size_t k = 0; k < m; ++k) squares += row[k] * row[k];
      for (std::size_t k = 0; k < m; ++k) row[k] /= std::sqrt(squares);
    }
  return q;
}

Matrix with_values(const Matrix& u, const std::vector<double>& values, const Matrix& v) {
  const std::size_t m = values.size();
  Matrix scaled = u;
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < m; ++j) scaled[i * m + j] *= values[j];
  return multiply(scaled, transpose(v, m, m), m, m, m);
}

TEST(Centre, MatchesPlainLoops) {
  Context ctx;
  for (const auto& [n, d] : {std::pair{1, 3}, {5, 1}, {7, 130}, {40, 3}}) {
    const auto rows = static_cast<std::size_t>(n), columns = static_cast<std::size_t>(d);
    const Matrix x = normal(rows * columns, 3.0, 1.0, 5);
    for (const bool sample : {false, true}) {
      Matrix y = poisoned(x.size());
      const Centring centring = sample ? Centring::kSample : Centring::kFeature;
      centre<double>(ctx, {.n = n, .d = d, .centring = centring, .x = x.data(), .y = y.data()});
      const Matrix want = centred(x, rows, columns, sample);
      for (std::size_t k = 0; k < x.size(); ++k) EXPECT_NEAR(y[k], want[k], 1e-14 * 10);
    }
  }
}

TEST(Covariance, MatchesPlainLoops) {
  Context ctx;
  const std::size_t n = 11, d = 6;
  const Matrix x1 = normal(n * d, 1.0, 1.0, 6), x2 = normal(n * d, -1.0, 2.0, 7);
  Matrix f1 = poisoned(n * d), f2 = f1, s11 = poisoned(d * d), s22 = s11, s12 = s11;
  covariance<double>(ctx, {.n = 11,
                           .d = 6,
                           .centring = Centring::kFeature,
                           .ridge = 0.5,
                           .x1 = x1.data(),
                           .x2 = x2.data(),
                           .f1 = f1.data(),
                           .f2 = f2.data(),
                           .s11 = s11.data(),
                           .s22 = s22.data(),
                           .s12 = s12.data()});
  const Matrix c1 = centred(x1, n, d, false), c2 = centred(x2, n, d, false);
  EXPECT_TRUE(near_relative(s11, moment(c1, c1, n, d, 0.5), 1e-13));
  EXPECT_TRUE(near_relative(s22, moment(c2, c2, n, d, 0.5), 1e-13));
  EXPECT_TRUE(near_relative(s12, moment(c1, c2, n, d, 0.0), 1e-13));
  EXPECT_EQ(s11, transpose(s11, d, d));
  EXPECT_THROW(covariance<double>(
                   ctx, {.n = 1, .d = 6, .x1 = x1.data(), .x2 = x2.data(), .f1 = f1.data(), .f2 = f2.data()}),
               std::exception);
}

TEST(SymmetricEigen, ReconstructsAndIsOrthonormal) {
  const OneThread quiet;
  Context ctx;
  for (const std::size_t m : kSizes) {
    Matrix s = normal(m * m, 0.0, 1.0, 8 + m);
    s = plus(s, transpose(s, m, m));
    Matrix q = poisoned(m * m);
    std::vector<double> values(m, kNan);
    symmetric_eigen<double>(
        ctx, {.m = static_cast<int>(m), .matrix = s.data(), .values = values.data(), .vectors = q.data()});
    EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
    EXPECT_TRUE(near_relative(multiply(q, transpose(q, m, m), m, m, m), identity(m), 1e-13));
    EXPECT_TRUE(near_relative(with_values(transpose(q, m, m), values, transpose(q, m, m)), s, 1e-13));
  }
}

TEST(Svd, ReconstructsAndIsOrthonormal) {
  const OneThread quiet;
  Context ctx;
  for (const std::size_t m : kSizes) {
    const Matrix t = normal(m * m, 0.0, 1.0, 9 + m);
    Matrix u = poisoned(m * m), v = u;
    std::vector<double> values(m, kNan);
    svd<double>(ctx, {.m = static_cast<int>(m),
                      .matrix = t.data(),
                      .left = u.data(),
                      .values = values.data(),
                      .right = v.data()});
    EXPECT_TRUE(std::is_sorted(values.rbegin(), values.rend()));
    EXPECT_TRUE(near_relative(multiply(transpose(u, m, m), u, m, m, m), identity(m), 1e-13));
    EXPECT_TRUE(near_relative(multiply(v, transpose(v, m, m), m, m, m), identity(m), 1e-13));
    EXPECT_TRUE(near_relative(with_values(u, values, transpose(v, m, m)), t, 1e-13));
  }
}

struct Polar {
  Matrix p;
  double nuclear = kNan;
};
template <class Real = double>
Polar polar_of(const Matrix& t, std::size_t m) {
  Context ctx;
  const std::vector<Real> in(t.begin(), t.end());
  std::vector<Real> out(t.size(), std::numeric_limits<Real>::quiet_NaN());
  Polar result;
  polar_factor<Real>(
      ctx,
      {.m = static_cast<int>(m), .matrix = in.data(), .polar = out.data(), .nuclear_norm = &result.nuclear});
  result.p.assign(out.begin(), out.end());
  return result;
}

// P'P = I and H = P'T symmetric; with H's trace the nuclear norm of an independent SVD, P is the polar
// factor.
TEST(PolarFactor, OrthogonalTimesSymmetric) {
  const OneThread quiet;
  for (const std::size_t m : kSizes) {
    const Matrix t = normal(m * m, 0.0, 1.0, 10 + m);
    const Polar got = polar_of(t, m);
    EXPECT_TRUE(near_relative(multiply(transpose(got.p, m, m), got.p, m, m, m), identity(m), 1e-13)) << m;
    const Matrix h = multiply(transpose(got.p, m, m), t, m, m, m);
    EXPECT_TRUE(near_relative(h, transpose(h, m, m), 1e-12)) << m;
    double nuclear = 0;
    for (const double v : jacobi_svd(t, m).values) nuclear += v;
    EXPECT_TRUE(near_relative(got.nuclear, nuclear, 1e-13)) << m;
  }
}

// Known factors: repeated values, twelve decades of values, tiny and huge scale. An error E of T moves P by
// about E / (smallest sum of two singular values): 1e-16 / 1e-12 in the graded case.
TEST(PolarFactor, KnownFactorsOverManyScales) {
  const OneThread quiet;
  const std::size_t m = 9;
  const Matrix u = orthogonal(m, 20), v = orthogonal(m, 21), p = multiply(u, transpose(v, m, m), m, m, m);
  std::vector<double> graded(m);
  for (std::size_t k = 0; k < m; ++k) graded[k] = std::pow(10.0, -1.5 * static_cast<double>(k));
  EXPECT_TRUE(near_relative(polar_of(with_values(u, std::vector<double>(m, 2.0), v), m).p, p, 1e-13));
  EXPECT_TRUE(near_relative(polar_of(with_values(u, {5, 5, 5, 1, 1, 1, .1, .1, .1}, v), m).p, p, 1e-12));
  EXPECT_TRUE(near_relative(polar_of(with_values(u, graded, v), m).p, p, 1e-3));
  for (const double scale : {1e-200, 1e200}) {
    std::vector<double> values = {5, 4, 3, 3, 2, 2, 1, 1, .5};
    for (double& value : values) value *= scale;
    EXPECT_TRUE(near_relative(polar_of(with_values(u, values, v), m).p, p, 1e-12)) << scale;
  }
  // Float: inputs round by 6e-8, over the smallest sum of two values 0.2.
  EXPECT_TRUE(
      near_relative(polar_of<float>(with_values(u, {5, 5, 5, 1, 1, 1, .1, .1, .1}, v), m).p, p, 6e-6));
}

// Rank-deficient: on the range P is U V'; on the null space a contraction, so that P stays a subgradient.
TEST(PolarFactor, RankDeficientIsASubgradient) {
  const OneThread quiet;
  const std::size_t m = 9;
  const Matrix u = orthogonal(m, 22), v = orthogonal(m, 23);
  const std::vector<double> values = {3, 2, 1, 1, 0, 0, 0, 0, 0};
  const Matrix t = with_values(u, values, v);
  for (const bool single : {false, true}) {
    const Polar got = single ? polar_of<float>(t, m) : polar_of(t, m);
    const double tolerance = single ? 1e-5 : 1e-12;
    EXPECT_TRUE(near_relative(got.nuclear, 7.0, tolerance));
    const Matrix inner =
        multiply(multiply(transpose(u, m, m), got.p, m, m, m), v, m, m, m);  // I on top, W below
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < m; ++j)
        if (i < 4 || j < 4) {
          EXPECT_NEAR(inner[i * m + j], i == j ? 1.0 : 0.0, 10 * tolerance);
        }
    for (const double s : jacobi_svd(got.p, m).values) EXPECT_LE(s, 1.0 + tolerance);
  }
  const Polar zero = polar_of(Matrix(m * m, 0.0), m);
  EXPECT_EQ(zero.p, Matrix(m * m, 0.0));
  EXPECT_EQ(zero.nuclear, 0.0);
}

TEST(Spectral, NotFiniteGivesNanAndEnds) {
  Context ctx;
  for (const double bad : {kNan, std::numeric_limits<double>::infinity()}) {
    Matrix t = normal(25, 0.0, 1.0, 24);
    t[7] = bad;
    EXPECT_TRUE(std::isnan(polar_of(t, 5).nuclear));
    EXPECT_TRUE(std::isnan(polar_of(t, 5).p[0]));
    Matrix u(25, 0.0), v(25, 0.0);
    std::vector<double> values(5, 0.0);
    svd<double>(ctx,
                {.m = 5, .matrix = t.data(), .left = u.data(), .values = values.data(), .right = v.data()});
    EXPECT_TRUE(std::isnan(values[0]));
    symmetric_eigen<double>(ctx, {.m = 5, .matrix = t.data(), .values = values.data(), .vectors = u.data()});
    EXPECT_TRUE(std::isnan(values[4]));
  }
}

}  // namespace
}  // namespace emer::test
