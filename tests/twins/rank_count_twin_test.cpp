// Counts are integers: the twins must agree in all of them. Their totals differ by rounding, so the inputs are either
// random, where no two totals are that close, or small whole numbers and their halves, where all sums are exact and
// many totals tie.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#include "kernels/rank_count.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Side {
  std::vector<double> position, mean, variance, inverse, log_sum;  // position: line or point
};

struct Case {
  int queries = 1, candidates = 1, first_match = 0, kept = 0, d = 1;
  Side query, candidate;
  double lambda = 0.5;
  bool query_first = true, candidate_first = false, standardise = false;
};

Side random_side(int n, int kept, int d, std::uint64_t seed) {
  const auto count = static_cast<std::size_t>(n) * d;
  Side s;
  s.position = test::normal(static_cast<std::size_t>(n) * kept, 0, 1, seed);
  s.mean = test::normal(count, 3, 1, seed + 1);
  s.variance = test::uniform(count, 0.2, 2, seed + 2);
  for (const double v : s.variance) s.inverse.push_back(1 / v);
  for (int i = 0; i < n; ++i) {
    double sum = 0;
    for (int k = 0; k < d; ++k) sum += std::log(s.variance[i * d + k]);
    s.log_sum.push_back(sum);
  }
  return s;
}

// Whole positions and means from 0 to 2, variances 1/2, 1 or 2; log sums are given, not taken: quarters.
Side dyadic_side(int n, int kept, int d, std::uint64_t seed) {
  Side s = random_side(n, kept, d, seed);
  for (double& p : s.position) p = std::floor(1.5 * std::abs(p));
  for (double& m : s.mean) m = std::floor(std::abs(m - 3) * 1.5);
  for (std::size_t i = 0; i < s.variance.size(); ++i) {
    s.variance[i] = s.variance[i] < 0.8 ? 0.5 : s.variance[i] < 1.4 ? 1.0 : 2.0;
    s.inverse[i] = 1 / s.variance[i];
  }
  for (double& l : s.log_sum) l = 0.25 * std::round(l);
  return s;
}

Case random_case(int queries, int candidates, int kept, int d, std::uint64_t seed, bool dyadic = false) {
  const auto side = dyadic ? dyadic_side : random_side;
  return {.queries = queries,
          .candidates = candidates,
          .first_match = (candidates - queries) / 2,
          .kept = kept,
          .d = d,
          .query = side(queries, kept, d, seed),
          .candidate = side(candidates, kept, d, seed + 10)};
}

using Route = RankCount::Route;

struct Counts {
  std::vector<std::int32_t> smaller, before, after, first_nan;
  bool operator==(const Counts&) const = default;
};
struct Run {
  Counts counts;
  std::vector<std::int32_t> left_open;
};

Run run(Context& ctx, const Case& c, Route route = Route::kDouble) {
  using Array = test::DeviceArray<double>;
  Array line(ctx, c.query.position), point(ctx, c.candidate.position);
  Array qm(ctx, c.query.mean), qv(ctx, c.query.variance), qi(ctx, c.query.inverse), ql(ctx, c.query.log_sum);
  Array cm(ctx, c.candidate.mean), cv(ctx, c.candidate.variance), ci(ctx, c.candidate.inverse),
      cl(ctx, c.candidate.log_sum);
  const auto count = static_cast<std::size_t>(c.queries);
  auto smaller = test::DeviceArray<std::int32_t>::poisoned(ctx, count);
  auto before = test::DeviceArray<std::int32_t>::poisoned(ctx, count);
  auto after = test::DeviceArray<std::int32_t>::poisoned(ctx, count);
  test::DeviceArray<std::int32_t> first_nan(ctx, std::vector<std::int32_t>(count, 0));  // poison would be -1
  auto left_open = test::DeviceArray<std::int32_t>::poisoned(ctx, count);
  rank_count(ctx, {.scores = {.queries = c.queries,
                              .candidates = c.candidates,
                              .cca_weight = c.lambda,
                              .kept = c.kept,
                              .line = line.data(),
                              .point = point.data(),
                              .kl_weight = 1 - c.lambda,
                              .d = c.d,
                              .query_first = c.query_first,
                              .candidate_first = c.candidate_first,
                              .query = {qm.data(), qv.data(), qi.data(), ql.data()},
                              .candidate = {cm.data(), cv.data(), ci.data(), cl.data()},
                              .standardise = c.standardise},
                   .first_match = c.first_match,
                   .smaller = smaller.data(),
                   .equal_before = before.data(),
                   .equal_after = after.data(),
                   .first_nan = first_nan.data(),
                   .route = route,
                   .left_open = left_open.data()});
  return {{smaller.read(), before.read(), after.read(), first_nan.read()}, left_open.read()};
}

class RankCountTwin : public test::TwinTest {
 protected:
  Context& device() {
    if (!device_) device_.emplace(DeviceKind::kCuda);
    return *device_;
  }
  void expect_equal(const Case& c, const std::string& what);

 private:
  std::optional<Context> device_;
};

void RankCountTwin::expect_equal(const Case& c, const std::string& what) {
  Context cpu;
  const Counts want = run(cpu, c).counts;
  for (const Route route : {Route::kDouble, Route::kFloat}) {
    const Counts got = run(device(), c, route).counts;
    const std::string how = what + (route == Route::kFloat ? ", in float" : ", in double");
    EXPECT_EQ(got.smaller, want.smaller) << how;
    EXPECT_EQ(got.before, want.before) << how;
    EXPECT_EQ(got.after, want.after) << how;
    EXPECT_EQ(got.first_nan, want.first_nan) << how;
  }
}

// Every form of the score. Sizes around a warp, a tile (64) and its depth (16).
TEST_F(RankCountTwin, EqualsTheCpu) {
  struct Size {
    int queries, candidates, kept, d;
  };
  for (const Size z : {Size{1, 1, 1, 1},
                       {2, 2, 0, 15},
                       {31, 31, 16, 17},
                       {32, 32, 3, 2},
                       {33, 33, 17, 16},
                       {63, 64, 5, 7},
                       {65, 129, 33, 3},
                       {1, 70, 2, 5}}) {
    Case c = random_case(z.queries, z.candidates, z.kept, z.d, 100 + z.queries);
    for (const double lambda : {0.0, 0.3, 1.0})
      for (const bool standardise : {false, true})
        for (const int kl : {1, 2, 3}) {
          if (lambda == 1.0 && kl > 1) continue;
          c.lambda = lambda;
          c.standardise = standardise;
          c.query_first = kl & 1;
          c.candidate_first = kl & 2;
          expect_equal(c, "queries " + std::to_string(z.queries) + ", lambda " + std::to_string(lambda) +
                              ", kl " + std::to_string(kl) + (standardise ? ", standardised" : ""));
        }
  }
}

// More than one strip of candidates (4 tiles of 64), and terms of very different size.
TEST_F(RankCountTwin, EqualsTheCpuOverSeveralStrips) {
  Case c = random_case(70, 521, 3, 4, 7);
  for (double& m : c.candidate.mean) m *= 100;
  c.standardise = true;
  expect_equal(c, "strips");
}

// Sums are exact: a tie is a tie on both.
TEST_F(RankCountTwin, ExactTiesAreTies) {
  for (const int n : {2, 33, 130}) {
    Case c = random_case(n, n, 2, 2, 40 + n, true);
    for (const int kl : {1, 2, 3}) {
      c.query_first = kl & 1;
      c.candidate_first = kl & 2;
      expect_equal(c, std::to_string(n) + " kl " + std::to_string(kl));
    }
    c.lambda = 1;
    c.standardise = true;
    expect_equal(c, std::to_string(n) + " distances");
    if (n < 130) continue;
    const Counts got = run(device(), c).counts;
    EXPECT_GT(std::count_if(got.before.begin(), got.before.end(), [](int b) { return b > 0; }), n / 2)
        << "the case must have ties";
  }
}

// Equal candidates tie exactly wherever they stand; nothing then varies, so that standardising divides by 1.
TEST_F(RankCountTwin, EqualCandidatesTie) {
  const int n = 150;
  Case c = random_case(n, n, 9, 21, 3);
  for (Side* s : {&c.query, &c.candidate})
    for (auto* part : {&s->position, &s->mean, &s->variance, &s->inverse, &s->log_sum}) {
      const std::size_t width = part->size() / n;
      for (std::size_t i = width; i < part->size(); ++i) (*part)[i] = (*part)[i - width];
    }
  c.query_first = c.candidate_first = c.standardise = true;
  for (const Route route : {Route::kDouble, Route::kFloat}) {  // more ties than a query's list in float holds
    const Counts got = run(device(), c, route).counts;
    for (int i = 0; i < n; ++i) {
      ASSERT_EQ(got.smaller[i], 0) << i;
      ASSERT_EQ(got.before[i], i);
      ASSERT_EQ(got.after[i], n - 1 - i);
    }
  }
}

// Float settles nearly all of random pairs by itself: open are the match, and what is as close to it as a few 1e-6 of
// the total's spread.
TEST_F(RankCountTwin, FloatSettlesWhatIsFar) {
  Case c = random_case(70, 300, 9, 40, 77);
  for (const int kl : {1, 2, 3}) {
    c.query_first = kl & 1;
    c.candidate_first = kl & 2;
    int open = 0;
    for (const int count : run(device(), c, Route::kFloat).left_open) {
      EXPECT_GE(count, 1);
      open += count - 1;
    }
    EXPECT_LE(open, 70) << "of 21000 pairs, kl " << kl;
  }
  for (const int count : run(device(), c, Route::kDouble).left_open) EXPECT_EQ(count, 0);
}

// Candidates that differ from the match by 1e-7 to 1e-10 of one value: no float sees the difference, the counts must.
TEST_F(RankCountTwin, NearTiesAreSettledInDouble) {
  const int n = 66;
  Case c = random_case(n, n, 3, 5, 13);
  for (int j = 1; j < n; j += 2) {  // 1 is nearly 0, 3 nearly 2, ...
    for (auto* part : {&c.candidate.position, &c.candidate.mean, &c.candidate.variance, &c.candidate.inverse,
                       &c.candidate.log_sum}) {
      const std::size_t width = part->size() / n;
      std::copy_n(part->begin() + (j - 1) * width, width, part->begin() + j * width);
    }
    const double shift = (j % 4 == 1 ? 1 : -1) * std::pow(10.0, -7 - j % 4);
    c.candidate.position[j * 3 + j % 3] += shift;
    c.candidate.mean[j * 5 + j % 5] -= shift;
  }
  for (const double lambda : {0.0, 0.5, 1.0})
    for (const bool standardise : {false, true}) {
      c.lambda = lambda;
      c.standardise = standardise;
      expect_equal(c, "lambda " + std::to_string(lambda));
    }
}

// A mean of 1e9 in one column makes float useless there: the bound must notice, whichever side has it.
TEST_F(RankCountTwin, LargeMeansAreLeftToDouble) {
  const int n = 70;
  for (const bool both : {false, true}) {
    Case c = random_case(n, n, 2, 4, 19);
    for (int i = 0; i < n; ++i) {
      c.candidate.mean[i * 4 + 2] += 1e9;
      if (both) c.query.mean[i * 4 + 2] += 1e9;
    }
    c.candidate.position[7] = 1e20;
    for (const int kl : {1, 2}) {
      c.query_first = kl & 1;
      c.candidate_first = kl & 2;
      expect_equal(c, both ? "both" : "one");
    }
  }
}

// Queries at 0, 1, 5, candidates at 0.6, 4, 4.5 (variances 1): KL = (difference)^2 / 2; query 1 prefers candidate 0.
TEST_F(RankCountTwin, MatchesHandWorkedThree) {
  Case c = random_case(3, 3, 0, 1, 1);
  c.lambda = 0;
  for (Side* s : {&c.query, &c.candidate}) {
    s->variance = s->inverse = {1, 1, 1};
    s->log_sum = {0, 0, 0};
  }
  c.query.mean = {0, 1, 5};
  c.candidate.mean = {0.6, 4, 4.5};
  EXPECT_EQ(run(device(), c).counts, (Counts{{0, 1, 0}, {0, 0, 0}, {0, 0, 0}, {-1, -1, -1}}));
}

TEST_F(RankCountTwin, NotANumberIsTold) {
  for (const bool standardise : {false, true}) {
    Case c = random_case(70, 70, 2, 3, 9);
    c.standardise = standardise;
    c.candidate.mean[66 * 3 + 1] = kNaN;
    c.candidate.mean[68 * 3] = kNaN;
    expect_equal(c, "candidates");
    const int told = run(device(), c).counts.first_nan[5];
    EXPECT_EQ(told, standardise ? 0 : 66);
    Case q = random_case(70, 70, 2, 3, 9);
    q.standardise = standardise;
    q.query.position[65 * 2] = std::numeric_limits<double>::infinity();
    q.query.position[64 * 2] = kNaN;
    expect_equal(q, "queries");
  }
}

TEST_F(RankCountTwin, TwoRunsAgree) {
  Case c = random_case(65, 300, 5, 6, 21);
  c.standardise = true;
  for (const Route route : {Route::kDouble, Route::kFloat})
    EXPECT_EQ(run(device(), c, route).counts, run(device(), c, route).counts);
}

// exp and log are good to 2 ulp on either side, a sum of d logs of about 1 to d + 2 more: 4 (d + 4) eps.
TEST_F(RankCountTwin, GaussianTerms) {
  for (const int n : {1, 7, 33})
    for (const int d : {1, 31, 33, 70}) {
      const auto count = static_cast<std::size_t>(n) * d;
      const auto log_variance = test::normal(count, -1, 2, n + d);
      const auto terms = [&](Context& ctx) {
        test::DeviceArray<double> in(ctx, log_variance);
        auto variance = test::DeviceArray<double>::poisoned(ctx, count);
        auto inverse = test::DeviceArray<double>::poisoned(ctx, count);
        auto sum = test::DeviceArray<double>::poisoned(ctx, n),
             sum_only = test::DeviceArray<double>::poisoned(ctx, n);
        gaussian_terms(ctx, {.n = n,
                             .d = d,
                             .log_variance = in.data(),
                             .variance = variance.data(),
                             .inverse = inverse.data(),
                             .log_sum = sum.data()});
        gaussian_terms(ctx, {.n = n, .d = d, .log_variance = in.data(), .log_sum = sum_only.data()});
        EXPECT_EQ(sum.read(), sum_only.read());
        return std::array{variance.read(), inverse.read(), sum.read()};
      };
      Context cpu;
      const auto want = terms(cpu), got = terms(device());
      const double bound = 4 * (d + 4) * std::numeric_limits<double>::epsilon();
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_NEAR(got[0][i], want[0][i], bound * want[0][i]);
        EXPECT_NEAR(got[1][i], want[1][i], bound * want[1][i]);
      }
      for (int i = 0; i < n; ++i) EXPECT_NEAR(got[2][i], want[2][i], bound * 8 * d) << "logs are below 8";
    }
}

}  // namespace
}  // namespace emer
