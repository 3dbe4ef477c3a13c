// The fit is compared by what does not depend on the library: correlations, and columns up to the sign of a pair.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/collectives.h"
#include "engine/linear_cca.h"
#include "engine/scoring.h"
#include "kernels/first_not_finite.h"
#include "kernels/linear_cca.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/one_thread.h"
#include "tests/support/ranks.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using LinearCcaTwin = test::TwinTest;

struct Views {
  int n, d;
  std::vector<double> x1, x2;
};

// Correlations spread over (0, 1), so that no two directions mix.
Views related(int n, int d, std::uint64_t seed) {
  Views v{n, d, test::normal(static_cast<std::size_t>(n) * d, 3, 2, seed),
          test::normal(static_cast<std::size_t>(n) * d, -1, 1, seed + 1)};
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < d; ++k) v.x2[i * d + k] += 2.0 * k / d * v.x1[i * d + k];
  return v;
}

LinearCca fit(DeviceKind kind, const Views& v, double ridge) {
  Context ctx(kind);
  const OnDevice x1(ctx, v.x1), x2(ctx, v.x2);
  return fit_linear_cca(ctx, x1.data(), x2.data(), v.n, v.d, v.d, ridge);
}

// 1e-9: condition numbers near 1e3 and gaps between correlations near 1e-2 stretch a few hundred roundings.
TEST_F(LinearCcaTwin, FitEqualsTheCpuUpToSigns) {
  for (const int d : {1, 2, 7, 33}) {
    const Views v = related(6 * d + 40, d, 10 + d);
    const LinearCca want = fit(DeviceKind::kCpu, v, 1e-3);
    LinearCca got = fit(DeviceKind::kCuda, v, 1e-3);
    EXPECT_TRUE(test::near_relative(got.correlations, want.correlations, 1e-12)) << d;
    EXPECT_TRUE(test::near_relative(got.mean1, want.mean1, 1e-14));
    EXPECT_TRUE(test::near_relative(got.mean2, want.mean2, 1e-14));
    for (int k = 0; k < d; ++k) {
      double agreement = 0;
      for (int f = 0; f < d; ++f) agreement += got.w1[f * d + k] * want.w1[f * d + k];
      if (agreement > 0) continue;
      for (int f = 0; f < d; ++f) got.w1[f * d + k] *= -1, got.w2[f * d + k] *= -1;
    }
    EXPECT_TRUE(test::near_relative(got.w1, want.w1, 1e-9)) << d;
    EXPECT_TRUE(test::near_relative(got.w2, want.w2, 1e-9)) << d;
    EXPECT_EQ(fit(DeviceKind::kCuda, v, 1e-3).w1, fit(DeviceKind::kCuda, v, 1e-3).w1);
  }
}

// More samples than are centred at a time (16384): sums of 16500 rounded terms that mostly cancel out.
TEST_F(LinearCcaTwin, ManySamplesComeInParts) {
  const Views v = related(16500, 3, 61);
  const LinearCca want = fit(DeviceKind::kCpu, v, 1e-3), got = fit(DeviceKind::kCuda, v, 1e-3);
  EXPECT_TRUE(test::near_relative(got.correlations, want.correlations, 1e-12));
  Context ctx(DeviceKind::kCuda);
  const OnDevice x(ctx, v.x1), mean(ctx, want.mean1), w(ctx, want.w1);
  auto projected = test::DeviceArray<double>::poisoned(ctx, v.x1.size());
  linear_cca_project(ctx, {.n = v.n,
                           .d = v.d,
                           .directions = v.d,
                           .x = x.data(),
                           .mean = mean.data(),
                           .w = w.data(),
                           .out = projected.data()});
  EXPECT_TRUE(test::near_relative(projected.read(), project_first(want, v.x1, v.n), 1e-13));
}

// Of three ranks that share the device, one has no samples: the means, which centre a constant feature to zero, the fit
// and the lines of one rank, up to the order of sums.
TEST_F(LinearCcaTwin, SeveralRanksFitFromTheirParts) {
  const test::OneThread quiet;
  const int n = 90, d = 5, first_part = 37;
  Views v = related(n, d, 71);
  for (int i = 0; i < n; ++i) v.x1[i * d + 2] = 0.1;
  const auto lines_of = [&](Context& ctx, int begin, int end, int total) {
    const auto part = [&](const std::vector<double>& x) {
      return std::vector<double>(x.begin() + begin * d, x.begin() + end * d);
    };
    const std::vector<double> x1 = part(v.x1), x2 = part(v.x2);
    const OnDevice one(ctx, x1), two(ctx, x2);
    return fit_cca_lines(ctx, one.data(), two.data(), end - begin, d, 1e-3, total);
  };
  Context alone(DeviceKind::kCuda);
  const CcaLines want = lines_of(alone, 0, n, 0);
  test::on_ranks(
      3,
      [&](Context& ctx) {
        const int rank = rank_of(ctx);
        const CcaLines got = lines_of(ctx, rank == 0 ? 0 : first_part, rank == 2 ? n : first_part, n);
        EXPECT_TRUE(test::near_relative(got.cca.correlations, want.cca.correlations, 1e-12));
        EXPECT_TRUE(test::near_relative(got.cca.mean1, want.cca.mean1, 1e-14));
        EXPECT_EQ(got.cca.mean1[2], 0.1);
        EXPECT_TRUE(test::near_relative(got.correlation, want.correlation, 1e-11));
      },
      DeviceKind::kCuda);
}

TEST_F(LinearCcaTwin, FewSamplesAndConstantFeaturesStayFinite) {
  Views v = related(5, 12, 3);
  for (int i = 0; i < v.n; ++i) v.x1[i * v.d + 3] = 1e6, v.x2[i * v.d + 3] = 0.1;
  const LinearCca want = fit(DeviceKind::kCpu, v, 1e-4), got = fit(DeviceKind::kCuda, v, 1e-4);
  for (const double w : got.w1) ASSERT_TRUE(std::isfinite(w));
  for (const double w : got.w2) ASSERT_TRUE(std::isfinite(w));
  EXPECT_TRUE(test::near_relative(got.correlations, want.correlations, 1e-8));
}

TEST_F(LinearCcaTwin, RefusesAsTheCpuDoes) {
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"at least 2 training songs"},
                            [] { fit(DeviceKind::kCuda, related(1, 2, 1), 0.1); }));
  Views v = related(9, 4, 2);
  v.x2[4 * 6 + 3] = std::numeric_limits<double>::quiet_NaN();
  v.x2[4 * 8] = v.x2[4 * 6 + 3];
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"second (emotion) view's row 6", "column 3"},
                            [&] { fit(DeviceKind::kCuda, v, 0.1); }));
}

// The largest summand times 4 roundings per row.
TEST_F(LinearCcaTwin, RegressionLinesEqualTheCpu) {
  for (const int n : {1, 2, 65, 700})
    for (const int d : {1, 31, 33}) {
      Views v = related(n, d, n + d);
      for (int i = 0; i < n; ++i) v.x1[i * d] = 0.1;  // does not vary
      const auto lines = [&](DeviceKind kind) {
        Context ctx(kind);
        test::DeviceArray<double> a(ctx, v.x1), b(ctx, v.x2);
        auto out = test::DeviceArray<double>::poisoned(ctx, 5 * d);
        regression_lines(ctx, {.n = n,
                               .d = d,
                               .a = a.data(),
                               .b = b.data(),
                               .correlation = out.data(),
                               .slope_ab = out.data() + d,
                               .offset_ab = out.data() + 2 * d,
                               .slope_ba = out.data() + 3 * d,
                               .offset_ba = out.data() + 4 * d});
        return out.read();
      };
      const auto got = lines(DeviceKind::kCuda);
      EXPECT_TRUE(test::near_relative(got, lines(DeviceKind::kCpu), 4 * (n + 10) * 2.3e-16 * 10)) << n;
      EXPECT_EQ(got[0], 0.0) << "a constant column has no correlation";
    }
}

TEST_F(LinearCcaTwin, ProjectionsAndScaledColumnsEqualTheCpu) {
  for (const int n : {1, 33, 257}) {
    const int d = 7;
    const Views v = related(n, d, 5);
    const auto w = test::normal(d * 3, 0, 1, 8), mean = test::normal(d, 3, 1, 9);
    const std::vector<int> column = {2, 0};
    const auto out = [&](DeviceKind kind) {
      Context ctx(kind);
      test::DeviceArray<double> x(ctx, v.x1), on_w(ctx, w), on_mean(ctx, mean);
      test::DeviceArray<double> factor(ctx, {0.5, 2}), slope(ctx, {3, -1}), offset(ctx, {0.1, 7});
      test::DeviceArray<int> keep(ctx, column);
      auto projected = test::DeviceArray<double>::poisoned(ctx, n * 3);
      auto scaled = test::DeviceArray<double>::poisoned(ctx, n * 2);
      linear_cca_project(ctx, {.n = n,
                               .d = d,
                               .directions = 3,
                               .x = x.data(),
                               .mean = on_mean.data(),
                               .w = on_w.data(),
                               .out = projected.data()});
      scaled_columns(ctx, {.n = n,
                           .d = 3,
                           .kept = 2,
                           .x = projected.data(),
                           .column = keep.data(),
                           .factor = factor.data(),
                           .slope = slope.data(),
                           .offset = offset.data(),
                           .out = scaled.data()});
      return std::pair{projected.read(), scaled.read()};
    };
    const auto want = out(DeviceKind::kCpu), got = out(DeviceKind::kCuda);
    // d products and sums of values below 10, relative to results of about 1.
    EXPECT_TRUE(test::near_relative(got.first, want.first, 1e-13));
    EXPECT_TRUE(test::near_relative(got.second, want.second, 1e-13));
  }
}

TEST_F(LinearCcaTwin, FirstNotFiniteIsTheLowest) {
  Context ctx(DeviceKind::kCuda);
  for (const std::size_t count : {0u, 1u, 257u, 5000u})
    for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{0}, static_cast<std::int64_t>(count) - 1}) {
      if (bad >= static_cast<std::int64_t>(count)) continue;
      std::vector<double> x(count, 1.0);
      for (std::int64_t i = bad; bad >= 0 && i < static_cast<std::int64_t>(count); i += 1000)
        x[i] =
            i % 2 == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
      test::DeviceArray<double> on_device(ctx, x);
      test::DeviceArray<std::int64_t> index(ctx, std::vector<std::int64_t>{7});
      first_not_finite(
          ctx, {.count = static_cast<std::int64_t>(count), .x = on_device.data(), .index = index.data()});
      EXPECT_EQ(index.read()[0], bad) << count;
    }
}

}  // namespace
}  // namespace emer
