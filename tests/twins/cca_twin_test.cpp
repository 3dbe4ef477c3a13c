// Both CCA losses on the device. Values are judged by the plain loops of tests/reference, gradients by the CPU twin in
// double, which central differences judge (tests/kernels/cca_test.cpp).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/work_graph.h"
#include "kernels/cca_exact.h"
#include "kernels/cca_projection.h"
#include "tests/reference/cca_reference.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/one_thread.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

using CcaProjectionTwin = TwinTest;
using CcaExactTwin = TwinTest;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kRounding = 0x1p-24;  // of a float
using Shape2 = std::pair<std::size_t, std::size_t>;
// n < d, n = d, n > d; edges of a warp and of a tile of 32.
const std::vector<Shape2> kShapes = {{2, 1},   {9, 1},   {2, 2},   {3, 2},   {2, 7},
                                     {7, 7},   {20, 7},  {5, 31},  {31, 31}, {70, 31},
                                     {32, 33}, {34, 33}, {65, 64}, {20, 97}, {98, 97}};

// Inputs are floats held as doubles, so that both scalar types see the same.
struct Problem {
  std::size_t n, d;
  Matrix x1, x2, w1, w2;
};
struct Form : CcaReferenceOptions {
  bool by_eigen = false;
  double scale = 1.0, gradient_weight = 1.0;
  Precision precision = Precision::kFp32;
};
struct Result {
  double loss = kNan;
  Matrix dx1, dx2, dw1, dw2;
};

std::string describe(const Problem& p, const Form& f) {
  return std::to_string(p.n) + " x " + std::to_string(p.d) + (f.sample_centring ? " sample" : " feature") +
         (f.row_norm ? " row_norm" : " nuclear") + (f.summed ? " summed" : " separate") +
         (f.by_eigen ? " eigen" : " polar") + " directions " + std::to_string(f.directions);
}

// Two views of one latent signal, so that correlations lie between 0 and 1; projections near an orthogonal one.
Problem problem(std::size_t n, std::size_t d, std::uint64_t seed) {
  const double spread = 1.0 / std::sqrt(static_cast<double>(d));
  Problem p{n,
            d,
            normal(n * d, 0.5, 1.0, seed),
            normal(n * d, -0.5, 0.7, seed + 1),
            normal(d * d, 0.0, spread, seed + 2),
            normal(d * d, 0.0, spread, seed + 3)};
  for (std::size_t i = 0; i < n * d; ++i) p.x2[i] += 0.8 * p.x1[i];
  for (Matrix* m : {&p.x1, &p.x2, &p.w1, &p.w2})
    for (double& v : *m) v = static_cast<double>(static_cast<float>(v));
  return p;
}

template <class Real>
std::vector<Real> as(const Matrix& m) {
  return {m.begin(), m.end()};
}
template <class Real>
Matrix doubles(const std::vector<Real>& v) {
  return {v.begin(), v.end()};
}

// What an op works on, on a device.
template <class Real>
struct Arrays {
  DeviceArray<Real> x1, x2, w1, w2, dx1, dx2, dw1, dw2;
  DeviceArray<double> loss;
  Arrays(Context& ctx, const Problem& p)
      : x1(ctx, as<Real>(p.x1)),
        x2(ctx, as<Real>(p.x2)),
        w1(ctx, as<Real>(p.w1)),
        w2(ctx, as<Real>(p.w2)),
        dx1(DeviceArray<Real>::poisoned(ctx, p.n * p.d)),
        dx2(DeviceArray<Real>::poisoned(ctx, p.n * p.d)),
        dw1(ctx, std::vector<Real>(p.d * p.d, Real(0.25))),
        dw2(ctx, std::vector<Real>(p.d * p.d, Real(0.25))),
        loss(DeviceArray<double>::poisoned(ctx, 1)) {}
};

template <class Real>
void run_projection(Context& ctx, Arrays<Real>& a, std::size_t n, std::size_t d, const Form& f) {
  cca_projection<Real>(ctx, {.n = static_cast<int>(n),
                             .d = static_cast<int>(d),
                             .first = {a.x1.data(), a.w1.data(), a.dx1.data(), a.dw1.data()},
                             .second = {a.x2.data(), a.w2.data(), a.dx2.data(), a.dw2.data()},
                             .centring = f.sample_centring ? Centring::kSample : Centring::kFeature,
                             .correlation = f.row_norm ? Correlation::kRowNorm : Correlation::kNuclear,
                             .penalty_summed = f.summed,
                             .solver = f.by_eigen ? PolarSolver::kSvd : PolarSolver::kPolar,
                             .ridge = f.ridge,
                             .scale = f.scale,
                             .gradient_weight = f.gradient_weight,
                             .loss = a.loss.data()});
}
template <class Real>
void run_exact(Context& ctx, Arrays<Real>& a, std::size_t n, std::size_t d, const Form& f) {
  cca_exact<Real>(ctx, {.n = static_cast<int>(n),
                        .d = static_cast<int>(d),
                        .x1 = a.x1.data(),
                        .x2 = a.x2.data(),
                        .d_x1 = a.dx1.data(),
                        .d_x2 = a.dx2.data(),
                        .centring = f.sample_centring ? Centring::kSample : Centring::kFeature,
                        .route = f.by_eigen ? CcaRoute::kEigen : CcaRoute::kPolar,
                        .directions = static_cast<int>(f.directions),
                        .ridge = f.ridge,
                        .scale = f.scale,
                        .gradient_weight = f.gradient_weight,
                        .loss = a.loss.data()});
}

template <class Real>
Result read(Arrays<Real>& a) {
  Result r{a.loss.read()[0], doubles(a.dx1.read()), doubles(a.dx2.read()), doubles(a.dw1.read()),
           doubles(a.dw2.read())};
  return r;
}
template <class Real>
Result projection(DeviceKind kind, const Problem& p, const Form& f) {
  Context ctx(kind);
  ctx.set_precision(f.precision);
  Arrays<Real> a(ctx, p);
  run_projection(ctx, a, p.n, p.d, f);
  return read(a);
}
template <class Real>
Result exact(DeviceKind kind, const Problem& p, const Form& f) {
  Context ctx(kind);
  Arrays<Real> a(ctx, p);
  run_exact(ctx, a, p.n, p.d, f);
  return read(a);
}

double norm(const Matrix& m) {
  double squares = 0;
  for (const double v : m) squares += v * v;
  return std::sqrt(squares);
}

// What float rounding does to the projection form. All matrices here are random, so that k roundings add up like
// k^1/2; A = FW and A'A have d and n terms, W'W d.
struct Rounding {
  double loss = 0;  // of the terms that the loss adds up, absolute
  double gradient =
      0;  // relative: the polar factor moves by an error of T over the smallest singular value that counts
  double residual = 0;                                                 // of an entry of R
  double smallest_residual = std::numeric_limits<double>::infinity();  // whose sign could turn
};
Rounding rounding_of(const Problem& p, const Form& f, double unit) {
  const std::size_t n = p.n, d = p.d;
  const Matrix f1 = centred(p.x1, n, d, f.sample_centring), f2 = centred(p.x2, n, d, f.sample_centring);
  const Matrix a = multiply(f1, p.w1, n, d, d), b = multiply(f2, p.w2, n, d, d);
  const auto gram = [&](const Matrix& projected, const Matrix& w) {
    Matrix g = moment(projected, projected, n, d, 0.0);
    const Matrix ridge = multiply(transpose(w, d, d), w, d, d, d);
    for (std::size_t i = 0; i < d * d; ++i) g[i] = (i % (d + 1) == 0 ? 1.0 : 0.0) - g[i] - f.ridge * ridge[i];
    return g;
  };
  const double share = 1.0 / static_cast<double>(n - 1);
  const double depth = 4 * unit * std::sqrt(static_cast<double>(n + 2 * d));
  const double size_a = norm(a) * norm(a) * share, size_b = norm(b) * norm(b) * share;
  Rounding r;
  // ||A'A||_F <= ||A||_F^2; a column of A takes part with its own norm, on average the d-th part.
  const auto cells = static_cast<double>(d);
  r.residual = depth * (1.0 + (size_a + size_b) / cells) * 4;
  r.loss = depth * cells * (2.0 + size_a + size_b);
  const Matrix r1 = gram(a, p.w1), r2 = gram(b, p.w2);
  for (std::size_t i = 0; i < d * d; ++i)
    for (const double v : f.summed ? std::vector<double>{r1[i] + r2[i]} : std::vector<double>{r1[i], r2[i]})
      r.smallest_residual = std::min(r.smallest_residual, std::abs(v));
  r.gradient = 4 * depth;
  const Matrix t = multiply(transpose(a, n, d), b, d, n, d);
  if (f.row_norm) return r;
  std::vector<double> values = jacobi_svd(t, d).values;
  std::sort(values.rbegin(), values.rend());
  const std::size_t rank = std::min(f.sample_centring ? n : n - 1, d);
  r.gradient *= norm(a) * norm(b) / values[rank - 1] / std::sqrt(cells);
  return r;
}

// A problem none of whose residuals is so near to 0 that rounding could turn its sign, which the gradient would see.
struct Judged {
  Problem problem;
  Rounding rounding;
};
Judged clear_problem(std::size_t n, std::size_t d, const Form& f) {
  for (std::uint64_t seed = 300 + n;; seed += 1000) {
    Judged judged{problem(n, d, seed), {}};
    judged.rounding = rounding_of(judged.problem, f, kRounding);
    if (judged.rounding.smallest_residual > judged.rounding.residual) return judged;
  }
}

void expect_gradients(const Result& got, const Result& want, double tolerance, bool projections) {
  EXPECT_TRUE(near_relative(got.dx1, want.dx1, tolerance));
  EXPECT_TRUE(near_relative(got.dx2, want.dx2, tolerance));
  if (!projections) return;
  EXPECT_TRUE(near_relative(got.dw1, want.dw1, tolerance));
  EXPECT_TRUE(near_relative(got.dw2, want.dw2, tolerance));
}

TEST_F(CcaProjectionTwin, MatchesPlainLoopsAndTheDoubleGradients) {
  const OneThread quiet;
  int form = 0;
  for (const auto& [n, d] : kShapes)
    for (const bool by_svd : {false, true})
      for (const bool row_norm : {false, true}) {
        if (by_svd && row_norm) continue;  // no polar factor to choose a solver for
        Form f;
        f.by_eigen = by_svd;
        f.row_norm = row_norm;
        // Centring and penalty take turns: four combinations over the shapes of each solver and correlation.
        f.sample_centring = (form / 3 + (row_norm ? 1 : 0)) % 2 == 1 && d > 1;
        f.summed = form / 6 % 2 == 1;
        f.ridge = 0.01;
        f.scale = 0.5;
        f.gradient_weight = 2.0;
        ++form;
        const auto [p, r] = clear_problem(n, d, f);
        const Result got = projection<float>(DeviceKind::kCuda, p, f);
        const double want = f.scale * projection_reference(p.x1, p.x2, p.w1, p.w2, n, d, f);
        EXPECT_NEAR(got.loss, want, r.loss) << describe(p, f);
        SCOPED_TRACE(describe(p, f));
        expect_gradients(got, projection<double>(DeviceKind::kCpu, p, f), r.gradient, true);
      }
}

// All forms on one shape each of n < d and n > d.
TEST_F(CcaProjectionTwin, EveryForm) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<Shape2>{{12, 17}, {40, 13}})
    for (int form = 0; form < 16; ++form) {
      Form f;
      f.by_eigen = (form & 1) != 0;
      f.row_norm = (form & 2) != 0;
      f.sample_centring = (form & 4) != 0;
      f.summed = (form & 8) != 0;
      const auto [p, r] = clear_problem(n, d, f);
      const Result got = projection<float>(DeviceKind::kCuda, p, f),
                   want = projection<double>(DeviceKind::kCpu, p, f);
      SCOPED_TRACE(describe(p, f));
      EXPECT_NEAR(got.loss, want.loss, r.loss);
      expect_gradients(got, want, r.gradient, true);
    }
}

// Tensor-core operands have 10 mantissa bits behind the leading one. bf16 means tf32 here, so the bits are the same.
TEST_F(CcaProjectionTwin, TensorCorePrecisions) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<Shape2>{{20, 33}, {70, 31}}) {
    Form f;
    f.row_norm = true;
    const Problem p = problem(n, d, 77);
    const double want = projection_reference(p.x1, p.x2, p.w1, p.w2, n, d, f);
    f.precision = Precision::kTf32;
    const Result tf32 = projection<float>(DeviceKind::kCuda, p, f);
    EXPECT_NEAR(tf32.loss, want, rounding_of(p, f, 0x1p-11).loss);
    f.precision = Precision::kBf16;
    const Result bf16 = projection<float>(DeviceKind::kCuda, p, f);
    EXPECT_EQ(bf16.loss, tf32.loss);
    EXPECT_EQ(bf16.dx1, tf32.dx1);
    EXPECT_EQ(bf16.dw2, tf32.dw2);
  }
}

// Everything is in double but the inputs, which are the same, and the last rounding. Ridges keep the condition number
// of S below 1e4; where n < d the gradient is what is left of terms that cancel, 1e-2 of them.
TEST_F(CcaExactTwin, MatchesPlainLoopsAndTheDoubleGradients) {
  const OneThread quiet;
  int form = 0;
  for (const auto& [n, d] : kShapes)
    for (const bool eigen : {false, true})
      for (const std::size_t directions : {0, 2}) {
        if (directions > d) continue;
        Form f;
        f.by_eigen = eigen;
        f.sample_centring = form++ % 3 == 1 && d > 1;
        f.directions = directions;
        f.ridge = n <= d ? 0.05 : 1e-3;
        f.scale = 0.5;
        f.gradient_weight = 2.0;
        const Problem p = problem(n, d, 400 + n);
        const Result got = exact<float>(DeviceKind::kCuda, p, f);
        EXPECT_TRUE(near_relative(got.loss, f.scale * exact_reference(p.x1, p.x2, n, d, f), 1e-10))
            << describe(p, f);
        SCOPED_TRACE(describe(p, f));
        expect_gradients(got, exact<double>(DeviceKind::kCpu, p, f), 4 * kRounding, false);
      }
}

// Features so large that rounding hides the ridge: the CPU would take its other route, the device a larger ridge.
TEST_F(CcaExactTwin, StaysFiniteWhereRoundingHidesTheRidge) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<Shape2>{{5, 9}, {33, 33}, {60, 20}}) {
    Problem p = problem(n, d, 500);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; k < d; ++k) {
        p.x1[i * d + k] = 1e12 * p.x1[i * d + k / 2 * 2];  // features in equal pairs
        p.x2[i * d + k] = 1e12 * p.x2[i * d];              // all features equal
      }
    const Result got = exact<float>(DeviceKind::kCuda, p, {});
    EXPECT_LE(got.loss, 0.0);
    EXPECT_GE(got.loss, -static_cast<double>(d));
    for (const Matrix* g : {&got.dx1, &got.dx2})
      for (const double v : *g) ASSERT_TRUE(std::isfinite(v));
  }
}

void expect_finite(const Result& r, bool projections) {
  EXPECT_TRUE(std::isfinite(r.loss));
  for (const Matrix* g : {&r.dx1, &r.dx2})
    for (const double v : *g) ASSERT_TRUE(std::isfinite(v));
  if (!projections) return;
  for (const Matrix* g : {&r.dw1, &r.dw2})
    for (const double v : *g) ASSERT_TRUE(std::isfinite(v));
}

// Pairs of equal samples, samples all equal (T = 0), and a view that is zero.
TEST_F(CcaProjectionTwin, RankDeficientBatchesStayFinite) {
  const OneThread quiet;
  for (const std::size_t n : {4u, 40u})
    for (const int kind : {0, 1, 2})
      for (const bool by_svd : {false, true})
        for (const bool row_norm : {false, true}) {
          const std::size_t d = 33;
          Problem p = problem(n, d, 600);
          if (kind == 2) std::fill(p.x1.begin(), p.x1.end(), 0.0);
          const std::size_t period = kind == 0 ? 2 : 1;
          if (kind < 2)
            for (std::size_t i = period * d; i < n * d; ++i) {
              p.x1[i] = p.x1[i - period * d];
              p.x2[i] = p.x2[i - period * d];
            }
          Form f;
          f.by_eigen = by_svd;
          f.row_norm = row_norm;
          SCOPED_TRACE(describe(p, f) + " kind " + std::to_string(kind));
          const Result got = projection<float>(DeviceKind::kCuda, p, f);
          expect_finite(got, true);
          // The other view's samples, projected, are what the loss is made of: d terms near 1 and less.
          EXPECT_NEAR(got.loss, projection_reference(p.x1, p.x2, p.w1, p.w2, n, d, f),
                      rounding_of(p, f, kRounding).loss);
          const Result whole = exact<float>(DeviceKind::kCuda, p, f);
          expect_finite(whole, false);
          EXPECT_NEAR(whole.loss, exact_reference(p.x1, p.x2, n, d, f), 1e-6);
        }
}

TEST_F(CcaProjectionTwin, NanAndInfinityReachTheLoss) {
  const OneThread quiet;
  for (const double bad : {kNan, std::numeric_limits<double>::infinity()})
    for (const std::size_t n : {4u, 9u})
      for (const bool eigen : {false, true})
        for (const bool rows : {false, true}) {
          Problem p = problem(n, 6, 700);
          p.x2[5] = bad;
          Form f;
          f.by_eigen = eigen;
          f.row_norm = rows;
          EXPECT_TRUE(std::isnan(projection<float>(DeviceKind::kCuda, p, f).loss));
          const Result whole = exact<float>(DeviceKind::kCuda, p, f);
          EXPECT_TRUE(std::isnan(whole.loss));
          for (const double v : whole.dx1) EXPECT_TRUE(std::isnan(v));
          p.x2[5] = 0.0;
          p.w1[3] = bad;
          EXPECT_FALSE(std::isfinite(projection<float>(DeviceKind::kCuda, p, f).loss));
        }
}

void expect_same(const Result& a, const Result& b) {
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(a.dx1, b.dx1);
  EXPECT_EQ(a.dx2, b.dx2);
  EXPECT_EQ(a.dw1, b.dw1);
  EXPECT_EQ(a.dw2, b.dw2);
}

TEST_F(CcaProjectionTwin, TwoRunsAgreeBitForBit) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<Shape2>{{20, 66}, {40, 33}})
    for (const bool option : {false, true}) {
      const Problem p = problem(n, d, 800);
      Form f;
      f.row_norm = option;
      expect_same(projection<float>(DeviceKind::kCuda, p, f), projection<float>(DeviceKind::kCuda, p, f));
      f.by_eigen = option;
      const Result a = exact<float>(DeviceKind::kCuda, p, f), b = exact<float>(DeviceKind::kCuda, p, f);
      EXPECT_EQ(a.loss, b.loss);
      EXPECT_EQ(a.dx1, b.dx1);
      EXPECT_EQ(a.dx2, b.dx2);
    }
}

TEST_F(CcaProjectionTwin, RecordedEqualsDirect) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<Shape2>{{12, 33}, {40, 31}})
    for (const int form : {0, 1, 2}) {  // nuclear, row_norm, exact
      const Problem p = problem(n, d, 900), first = problem(n, d, 950);
      Form f;
      f.row_norm = form == 1;
      f.summed = form == 1;
      Context ctx(DeviceKind::kCuda);
      Arrays<float> warm(ctx, first), recorded(ctx, p);
      const auto work = [&](Arrays<float>& a) {
        if (form == 2)
          run_exact(ctx, a, n, d, f);
        else
          run_projection(ctx, a, n, d, f);
      };
      work(warm);
      WorkGraph graph(ctx, [&] { work(recorded); });
      graph.launch(ctx);
      const Result want =
          form == 2 ? exact<float>(DeviceKind::kCuda, p, f) : projection<float>(DeviceKind::kCuda, p, f);
      expect_same(read(recorded), want);
    }
}

TEST_F(CcaProjectionTwin, EigenRoutesCannotBeRecordedAndSayWhatToSet) {
  const Problem p = problem(8, 5, 970);
  Context ctx(DeviceKind::kCuda);
  Arrays<float> a(ctx, p);
  for (const int form : {0, 1, 2}) {
    Form f;
    f.by_eigen = form < 2;
    f.directions = form == 2 ? 3 : 0;
    const auto work = [&] {
      if (form == 0)
        run_projection(ctx, a, 8, 5, f);
      else
        run_exact(ctx, a, 8, 5, f);
    };
    work();
    EXPECT_TRUE(refuses(ErrorKind::kDevice, {"loss.cca.solver", "loss.cca.directions", "train.cuda_graph"},
                        [&] { WorkGraph graph(ctx, work); }));
    work();
    EXPECT_TRUE(std::isfinite(a.loss.read()[0])) << "the stream must stay usable";
  }
}

}  // namespace
}  // namespace emer::test
