// Centring, covariances, eigenvectors, singular vectors and polar factors on the device: judged by plain loops, by
// invariants and by the CPU twin.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/work_graph.h"
#include "kernels/covariance.h"
#include "kernels/cuda/polar_steps.h"
#include "kernels/polar_factor.h"
#include "kernels/svd.h"
#include "kernels/symmetric_eigen.h"
#include "tests/reference/cca_reference.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/one_thread.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

using CentreTwin = TwinTest;
using SpectralTwin = TwinTest;
using PolarTwin = TwinTest;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kRounding = 0x1p-24;  // of a float
const std::vector<std::size_t> kSizes = {1, 2, 7, 31, 33, 64, 97};

std::vector<float> floats(const Matrix& m) {
  return {m.begin(), m.end()};
}
Matrix doubles(const std::vector<float>& v) {
  return {v.begin(), v.end()};
}
Matrix identity(std::size_t m) {
  Matrix i(m * m, 0.0);
  for (std::size_t k = 0; k < m; ++k) i[k * m + k] = 1.0;
  return i;
}

// --- centring and covariance ---

std::vector<float> centre_on(DeviceKind kind, const std::vector<float>& x, std::size_t n, std::size_t d,
                             bool sample, bool in_place = false) {
  Context ctx(kind);
  DeviceArray<float> in(ctx, x);
  auto out = DeviceArray<float>::poisoned(ctx, x.size());
  centre<float>(ctx, {.n = static_cast<int>(n),
                      .d = static_cast<int>(d),
                      .centring = sample ? Centring::kSample : Centring::kFeature,
                      .x = in.data(),
                      .y = in_place ? in.data() : out.data()});
  return in_place ? in.read() : out.read();
}

// Means differ by a few roundings of a double, so that the results differ where they round to different floats.
TEST_F(CentreTwin, EqualsTheCpuButForTheLastRounding) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<std::pair<std::size_t, std::size_t>>{
           {1, 3}, {5, 1}, {7, 130}, {40, 3}, {33, 31}, {129, 64}, {128, 65}, {2100, 5}, {3, 1021}}) {
    const auto x = normal<float>(n * d, 3, 1, n + d);
    for (const bool sample : {false, true}) {
      const auto want = centre_on(DeviceKind::kCpu, x, n, d, sample),
                 got = centre_on(DeviceKind::kCuda, x, n, d, sample);
      EXPECT_TRUE(near_relative(got, want, 2 * kRounding)) << n << " x " << d << " sample " << sample;
      EXPECT_EQ(centre_on(DeviceKind::kCuda, x, n, d, sample, /*in_place=*/true), got);
    }
  }
}

TEST_F(CentreTwin, NanStaysInItsColumnOrRow) {
  const OneThread quiet;
  auto x = normal<float>(70 * 5, 0, 1, 3);
  x[66 * 5 + 2] = kNan;
  for (const bool sample : {false, true}) {
    const auto y = centre_on(DeviceKind::kCuda, x, 70, 5, sample);
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), sample ? i / 5 == 66 : i % 5 == 2);
  }
}

// Products of n terms: n + 2 roundings of terms that together are at most the largest variance.
TEST_F(CentreTwin, CovariancesMatchPlainLoops) {
  const OneThread quiet;
  for (const auto& [n, d] :
       std::vector<std::pair<std::size_t, std::size_t>>{{2, 1}, {11, 6}, {20, 31}, {65, 33}, {130, 7}})
    for (const bool sample : {false, true}) {
      Context ctx(DeviceKind::kCuda);
      const auto x1 = normal<float>(n * d, 1, 1, 6), x2 = normal<float>(n * d, -1, 2, 7);
      DeviceArray<float> in1(ctx, x1), in2(ctx, x2);
      const auto samples = [&] { return DeviceArray<float>::poisoned(ctx, n * d); };
      const auto square = [&] { return DeviceArray<float>::poisoned(ctx, d * d); };
      auto f1 = samples(), f2 = samples(), s11 = square(), s22 = square(), s12 = square();
      covariance<float>(ctx, {.n = static_cast<int>(n),
                              .d = static_cast<int>(d),
                              .centring = sample ? Centring::kSample : Centring::kFeature,
                              .ridge = 0.5,
                              .x1 = in1.data(),
                              .x2 = in2.data(),
                              .f1 = f1.data(),
                              .f2 = f2.data(),
                              .s11 = s11.data(),
                              .s22 = s22.data(),
                              .s12 = s12.data()});
      const Matrix c1 = centred(doubles(x1), n, d, sample), c2 = centred(doubles(x2), n, d, sample);
      const Matrix want11 = moment(c1, c1, n, d, 0.5), want22 = moment(c2, c2, n, d, 0.5),
                   want12 = moment(c1, c2, n, d, 0.0);
      const double tolerance = static_cast<double>(n + 4) * kRounding;
      EXPECT_TRUE(near_relative(s11.read(), want11, tolerance));
      EXPECT_TRUE(near_relative(s22.read(), want22, tolerance));
      const double largest = std::max(*std::max_element(want11.begin(), want11.end()),
                                      *std::max_element(want22.begin(), want22.end()));
      const auto got12 = s12.read();
      for (std::size_t i = 0; i < want12.size(); ++i) EXPECT_NEAR(got12[i], want12[i], tolerance * largest);
      EXPECT_EQ(doubles(s11.read()), transpose(doubles(s11.read()), d, d));
    }
}

// --- eigenvectors and singular vectors ---

Matrix with_values(const Matrix& u, const Matrix& values, const Matrix& v) {  // u diag(values) v
  const std::size_t m = values.size();
  Matrix scaled = u;
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < m; ++j) scaled[i * m + j] *= values[j];
  return multiply(scaled, v, m, m, m);
}

struct Decomposition {
  Matrix left, values, right;
};
Decomposition svd_of(const std::vector<float>& t, std::size_t m) {
  Context ctx(DeviceKind::kCuda);
  DeviceArray<float> in(ctx, t);
  auto left = DeviceArray<float>::poisoned(ctx, m * m), values = DeviceArray<float>::poisoned(ctx, m),
       right = DeviceArray<float>::poisoned(ctx, m * m);
  svd<float>(ctx, {.m = static_cast<int>(m),
                   .matrix = in.data(),
                   .left = left.data(),
                   .values = values.data(),
                   .right = right.data()});
  return {doubles(left.read()), doubles(values.read()), doubles(right.read())};
}
Decomposition eigen_of(const std::vector<float>& s, std::size_t m) {
  Context ctx(DeviceKind::kCuda);
  DeviceArray<float> in(ctx, s);
  auto values = DeviceArray<float>::poisoned(ctx, m), vectors = DeviceArray<float>::poisoned(ctx, m * m);
  symmetric_eigen<float>(
      ctx,
      {.m = static_cast<int>(m), .matrix = in.data(), .values = values.data(), .vectors = vectors.data()});
  const Matrix q = doubles(vectors.read());
  return {transpose(q, m, m), doubles(values.read()), q};
}

// Both algorithms are backward stable: errors of a small multiple of m roundings, relative to ||T||_2, which is at most
// m times the largest entry; 20 covers both.
TEST_F(SpectralTwin, DecompositionsReconstructAndAreOrthonormal) {
  const OneThread quiet;
  for (const std::size_t m : kSizes)
    for (const bool symmetric : {false, true}) {
      Matrix t = normal(m * m, 0, 1, 8 + m);
      if (symmetric)
        for (std::size_t i = 0; i < m; ++i)
          for (std::size_t j = 0; j < i; ++j) t[i * m + j] = t[j * m + i];
      const auto in = floats(t);
      const Decomposition got = symmetric ? eigen_of(in, m) : svd_of(in, m);
      const double tolerance = 20 * static_cast<double>(m) * kRounding;
      if (symmetric) {
        EXPECT_TRUE(std::is_sorted(got.values.begin(), got.values.end()));
      } else {
        EXPECT_TRUE(std::is_sorted(got.values.rbegin(), got.values.rend()));
        EXPECT_GE(got.values.back(), 0.0);
      }
      EXPECT_TRUE(
          near_relative(multiply(transpose(got.left, m, m), got.left, m, m, m), identity(m), tolerance));
      EXPECT_TRUE(
          near_relative(multiply(got.right, transpose(got.right, m, m), m, m, m), identity(m), tolerance));
      EXPECT_TRUE(near_relative(with_values(got.left, got.values, got.right), doubles(in), tolerance)) << m;
    }
}

TEST_F(SpectralTwin, NotFiniteGivesNanAndEnds) {
  const OneThread quiet;
  for (const float bad : {kNan, std::numeric_limits<float>::infinity()}) {
    auto t = normal<float>(25, 0, 1, 24);
    t[7] = bad;
    for (const Decomposition& got : {svd_of(t, 5), eigen_of(t, 5)})
      for (const Matrix* part : {&got.left, &got.values, &got.right})
        for (const double v : *part) EXPECT_TRUE(std::isnan(v));
  }
}

TEST_F(SpectralTwin, CannotBeRecordedAndSaysWhatToSet) {
  const OneThread quiet;
  Context ctx(DeviceKind::kCuda);
  DeviceArray<float> t(ctx, {2, 1, 1, 2}), left(ctx, std::vector<float>(4)),
      right(ctx, std::vector<float>(4)), values(ctx, std::vector<float>(2));
  EXPECT_TRUE(refuses(ErrorKind::kDevice, {"loss.cca.solver", "train.cuda_graph"}, [&] {
    WorkGraph graph(ctx, [&] {
      svd<float>(
          ctx,
          {.m = 2, .matrix = t.data(), .left = left.data(), .values = values.data(), .right = right.data()});
    });
  }));
  EXPECT_TRUE(refuses(ErrorKind::kDevice, {"loss.cca.solver", "train.cuda_graph"}, [&] {
    WorkGraph graph(ctx, [&] {
      symmetric_eigen<float>(ctx,
                             {.m = 2, .matrix = t.data(), .values = values.data(), .vectors = left.data()});
    });
  }));
  EXPECT_EQ(t.read(), (std::vector<float>{2, 1, 1, 2})) << "the stream must stay usable";
}

// --- polar factor ---

struct Polar {
  std::vector<float> p;
  double nuclear = kNan;
};
Polar polar_on(DeviceKind kind, const std::vector<float>& t, std::size_t m) {
  Context ctx(kind);
  DeviceArray<float> in(ctx, t);
  auto p = DeviceArray<float>::poisoned(ctx, t.size());
  auto nuclear = DeviceArray<double>::poisoned(ctx, 1);
  polar_factor<float>(
      ctx,
      {.m = static_cast<int>(m), .matrix = in.data(), .polar = p.data(), .nuclear_norm = nuclear.data()});
  return {p.read(), nuclear.read()[0]};
}

double apply(double s) {
  for (const cuda::PolarStep& step : cuda::polar_steps()) s *= step.a + s * s * (step.b + s * s * step.c);
  return s;
}

TEST(PolarSteps, TakeEverySingularValueToOneAndNoneAbove) {
  EXPECT_EQ(cuda::polar_steps().size(), 14u);
  for (double s = cuda::kSmallestPolarValue; s <= 1.0; s *= 1.001) EXPECT_NEAR(apply(s), 1.0, 1e-14) << s;
  double below = 0.0;
  for (double s = 1e-20; s < cuda::kSmallestPolarValue; s *= 1.01) {
    EXPECT_GE(apply(s), below);
    EXPECT_LE(apply(s), 1.0 + 1e-14);
    below = apply(s);
  }
  EXPECT_NEAR(apply(1.0 + 1e-12), 1.0, 1e-14) << "rounding above the largest value must not grow";
}

// P'P = I and P'T symmetric; with <P, T> the nuclear norm of an independent SVD, P is the polar factor. P is rounded to
// float once, in an inner product of unit vectors; the norm comes from the double P.
TEST_F(PolarTwin, OrthogonalTimesSymmetric) {
  const OneThread quiet;
  for (const std::size_t m : kSizes) {
    const auto t = normal<float>(m * m, 0, 1, 10 + m);
    const Polar got = polar_on(DeviceKind::kCuda, t, m);
    const Matrix p = doubles(got.p);
    EXPECT_TRUE(near_relative(multiply(transpose(p, m, m), p, m, m, m), identity(m), 3 * kRounding)) << m;
    const Matrix h = multiply(transpose(p, m, m), doubles(t), m, m, m);
    EXPECT_TRUE(near_relative(h, transpose(h, m, m), 4 * kRounding)) << m;
    double nuclear = 0;
    for (const double v : jacobi_svd(doubles(t), m).values) nuclear += v;
    EXPECT_TRUE(near_relative(got.nuclear, nuclear, 1e-13)) << m;
  }
}

Matrix orthogonal(std::size_t m, std::uint64_t seed) {
  const JacobiSvd s = jacobi_svd(normal(m * m, 0, 1, seed), m);
  return multiply(s.left, transpose(s.right, m, m), m, m, m);
}

// Known factors: an error E of T moves P by about E over the smallest sum of two singular values. T is rounded to
// float, which is all the error there is.
TEST_F(PolarTwin, KnownFactorsOverManyScales) {
  const OneThread quiet;
  const std::size_t m = 9;
  const Matrix u = orthogonal(m, 20), v = orthogonal(m, 21), p = multiply(u, v, m, m, m);
  const std::vector<double> graded = {1, .3, .1, .03, .01, 3e-3, 1e-3, 3e-4, 1e-4};
  for (const double scale : {1e-25, 1.0, 1e25})
    for (const std::vector<double>& values : {std::vector<double>(m, 2.0),
                                              {5, 5, 5, 1, 1, 1, .1, .1, .1},
                                              {5, 4, 3, 3, 2, 2, 1, 1, .5},
                                              graded}) {
      Matrix t = with_values(u, values, v);
      for (double& x : t) x *= scale;
      const double tolerance = 4 * kRounding * static_cast<double>(m) * values[0] / values[m - 1];
      EXPECT_TRUE(near_relative(polar_on(DeviceKind::kCuda, floats(t), m).p, p, tolerance)) << scale;
    }
}

// On the range P is U V'; on the null space a contraction, so that P stays a subgradient of the nuclear norm.
TEST_F(PolarTwin, RankDeficientIsASubgradient) {
  const OneThread quiet;
  const std::size_t m = 9;
  const Matrix u = orthogonal(m, 22), v = orthogonal(m, 23);
  const Matrix t = with_values(u, {3, 2, 1, 1, 0, 0, 0, 0, 0}, v);
  const Polar got = polar_on(DeviceKind::kCuda, floats(t), m);
  EXPECT_TRUE(near_relative(got.nuclear, 7.0, 1e-6));
  const Matrix inner =
      multiply(multiply(transpose(u, m, m), doubles(got.p), m, m, m), transpose(v, m, m), m, m, m);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < m; ++j)
      if (i < 4 || j < 4) {
        EXPECT_NEAR(inner[i * m + j], i == j ? 1.0 : 0.0, 3e-6);  // 9 roundings times 3 over 1
      }
  for (const double s : jacobi_svd(doubles(got.p), m).values) EXPECT_LE(s, 1.0 + 1e-6);
  // Rank one: the largest value is all of the Frobenius norm, the upper end of the first interval.
  const Polar one = polar_on(DeviceKind::kCuda, std::vector<float>(m * m, -2.0f), m);
  EXPECT_TRUE(near_relative(one.nuclear, 18.0, 1e-14));
  EXPECT_TRUE(near_relative(one.p, std::vector<float>(m * m, -1.0f / 9), 2 * kRounding));
}

TEST_F(PolarTwin, ZeroGivesZeroAndNotFiniteGivesNan) {
  const OneThread quiet;
  const Polar zero = polar_on(DeviceKind::kCuda, std::vector<float>(81, 0.0f), 9);
  EXPECT_EQ(zero.p, std::vector<float>(81, 0.0f));
  EXPECT_EQ(zero.nuclear, 0.0);
  for (const float bad : {kNan, std::numeric_limits<float>::infinity()}) {
    auto t = normal<float>(81, 0, 1, 4);
    t[80] = bad;
    const Polar got = polar_on(DeviceKind::kCuda, t, 9);
    EXPECT_TRUE(std::isnan(got.nuclear));
    for (const float v : got.p) EXPECT_TRUE(std::isnan(v));
  }
}

// The routes are different; a random matrix of this seed has a condition number of about 100, and both factors are good
// to the last float digit.
TEST_F(PolarTwin, AgreesWithTheCpuAndWithItself) {
  const OneThread quiet;
  const auto t = normal<float>(33 * 33, 0, 1, 50);
  const Polar want = polar_on(DeviceKind::kCpu, t, 33), got = polar_on(DeviceKind::kCuda, t, 33);
  EXPECT_TRUE(near_relative(got.p, want.p, 4 * kRounding));
  EXPECT_TRUE(near_relative(got.nuclear, want.nuclear, 1e-12));
  const Polar again = polar_on(DeviceKind::kCuda, t, 33);
  EXPECT_EQ(again.p, got.p);
  EXPECT_EQ(again.nuclear, got.nuclear);
}

TEST_F(PolarTwin, RecordedEqualsDirect) {
  const OneThread quiet;
  Context ctx(DeviceKind::kCuda);
  const auto t = normal<float>(31 * 31, 0, 1, 51), other = normal<float>(31 * 31, 1, 2, 52);
  Tensor<float> in(ctx, {31, 31}, t), p(ctx, {31, 31});
  Tensor<double> nuclear(ctx, {1});
  const auto work = [&] {
    polar_factor<float>(ctx,
                        {.m = 31, .matrix = in.data(), .polar = p.data(), .nuclear_norm = nuclear.data()});
  };
  work();
  WorkGraph graph(ctx, work);
  for (const auto& values : {t, other}) {
    in.from_host(ctx, values);
    p.zero(ctx);
    graph.launch(ctx);
    const Polar want = polar_on(DeviceKind::kCuda, values, 31);
    EXPECT_EQ(p.to_host(ctx), want.p);
    EXPECT_EQ(nuclear.to_host(ctx)[0], want.nuclear);
  }
}

}  // namespace
}  // namespace emer::test
