// Oracles: hand arithmetic, a plain loop, central differences in double.
#include "kernels/linear.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <vector>

#include "kernels/cpu/few_rows.h"
#include "tests/reference/dense_reference.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/values.h"

namespace emer {
namespace {

template <class Real>
std::vector<Real> poison(std::size_t count) {
  return std::vector<Real>(count, std::numeric_limits<Real>::quiet_NaN());
}

template <class Real>
std::vector<Real> forward(const std::vector<Real>& x, const std::vector<Real>& w, const std::vector<Real>& b,
                          int n, int in, int out, Activation activation) {
  Context ctx;
  auto y = poison<Real>(static_cast<std::size_t>(n * out));
  linear_forward<Real>(ctx, {.n = n,
                             .in = in,
                             .out = out,
                             .x = x.data(),
                             .weight = w.data(),
                             .bias = b.data(),
                             .activation = activation,
                             .y = y.data()});
  return y;
}

TEST(Linear, HandWorked) {
  // [1 2] by rows (3 4) and (5 6), plus (10 20): 1*3+2*4+10 = 21, 1*5+2*6+20 = 37.
  EXPECT_EQ(forward<float>({1, 2}, {3, 4, 5, 6}, {10, 20}, 1, 2, 2, Activation::kNone),
            (std::vector<float>{21, 37}));
}

TEST(Linear, BackwardHandWorked) {
  Context ctx;
  const std::vector<float> x{1, 2}, w{3, 4, 5, 6}, dy{10, 100};
  std::vector<float> dw{1, 1, 1, 1}, db{1, 1}, dx = poison<float>(2);
  LinearBackward<float> args{.n = 1,
                             .in = 2,
                             .out = 2,
                             .x = x.data(),
                             .weight = w.data(),
                             .dy = dy.data(),
                             .d_weight = dw.data(),
                             .d_bias = db.data(),
                             .dx = dx.data()};
  linear_backward(ctx, args);
  EXPECT_EQ(dx, (std::vector<float>{530, 640}));  // 10*3+100*5, 10*4+100*6
  EXPECT_EQ(dw, (std::vector<float>{11, 21, 101, 201}));
  EXPECT_EQ(db, (std::vector<float>{11, 101}));
  args.accumulate_dx = true;
  linear_backward(ctx, args);
  EXPECT_EQ(dx, (std::vector<float>{1060, 1280}));
}

class LinearSizes : public ::testing::TestWithParam<std::array<int, 3>> {};

TEST_P(LinearSizes, MatchesPlainLoops) {
  const auto [n, in, out] = GetParam();
  const auto x = test::uniform<double>(static_cast<std::size_t>(n * in), -1, 1, 1);
  const auto w = test::uniform<double>(static_cast<std::size_t>(out * in), -1, 1, 2);
  const auto b = test::uniform<double>(static_cast<std::size_t>(out), -1, 1, 3);
  const std::vector<float> xf(x.begin(), x.end()), wf(w.begin(), w.end()), bf(b.begin(), b.end());
  for (const Activation activation : {Activation::kNone, Activation::kSoftplus, Activation::kRelu}) {
    const auto want = reference::dense(x, w, b, static_cast<std::size_t>(n), static_cast<std::size_t>(in),
                                       static_cast<std::size_t>(out), activation);
    // Each of in+2 terms is at most 1 and meets at most in+2 roundings, of inputs too; softplus is
    // 1-Lipschitz and adds 4 ulp of its result. near_relative scales by the largest entry, which may be as
    // small as 0.1 here.
    const double bound = (in + 2.0) * (in + 6.0) * 10;
    EXPECT_TRUE(test::near_relative(forward(xf, wf, bf, n, in, out, activation), want, bound * 6.0e-8));
    EXPECT_TRUE(test::near_relative(forward(x, w, b, n, in, out, activation), want, bound * 1.2e-16));
  }
}

TEST_P(LinearSizes, GradientsMatchCentralDifferences) {
  const auto [n, in, out] = GetParam();
  const auto sx = static_cast<std::size_t>(n * in), sw = static_cast<std::size_t>(out * in),
             sb = static_cast<std::size_t>(out), sy = static_cast<std::size_t>(n * out);
  const auto point = test::uniform<double>(sx + sw + sb, -1, 1, 4);
  const auto dy = test::uniform<double>(sy, -1, 1, 5);
  for (const Activation activation : {Activation::kNone, Activation::kSoftplus, Activation::kRelu}) {
    const auto split = [&](const std::vector<double>& p) {
      const auto at = [&](std::size_t k) { return p.begin() + static_cast<std::ptrdiff_t>(k); };
      return std::array<std::vector<double>, 3>{std::vector<double>(at(0), at(sx)),
                                                std::vector<double>(at(sx), at(sx + sw)),
                                                std::vector<double>(at(sx + sw), at(sx + sw + sb))};
    };
    const auto value = [&](const std::vector<double>& p) {
      const auto [x, w, b] = split(p);
      const auto y = reference::dense(x, w, b, static_cast<std::size_t>(n), static_cast<std::size_t>(in),
                                      static_cast<std::size_t>(out), activation);
      double sum = 0;
      for (std::size_t i = 0; i < sy; ++i) sum += y[i] * dy[i];
      return sum;
    };
    const auto [x, w, b] = split(point);
    const auto y = reference::dense(x, w, b, static_cast<std::size_t>(n), static_cast<std::size_t>(in),
                                    static_cast<std::size_t>(out), activation);
    Context ctx;
    std::vector<double> gradient = poison<double>(sx);
    gradient.resize(sx + sw + sb, 0.0);
    linear_backward<double>(ctx, {.n = n,
                                  .in = in,
                                  .out = out,
                                  .x = x.data(),
                                  .weight = w.data(),
                                  .activation = activation,
                                  .y = y.data(),
                                  .dy = dy.data(),
                                  .d_weight = gradient.data() + sx,
                                  .d_bias = gradient.data() + sx + sw,
                                  .dx = gradient.data()});
    // h = 1e-5: truncation h^2 f''' < 1e-10 per unit, rounding eps |f| / h ~ 1e-10 with |f| < 20.
    EXPECT_TRUE(test::gradient_matches(point, gradient, value, 1e-5, 2e-9, 1 + point.size() / 500));
  }
}

INSTANTIATE_TEST_SUITE_P(Edges, LinearSizes,
                         ::testing::Values(std::array<int, 3>{1, 1, 1}, std::array<int, 3>{1, 5, 3},
                                           std::array<int, 3>{7, 1, 9}, std::array<int, 3>{9, 13, 17},
                                           std::array<int, 3>{33, 65, 129}));

// Few rows and many weights: rows in tiles of every height, widths that leave over values and outputs.
TEST(Linear, FewRowsMatchPlainLoops) {
  for (const auto& [n, in, out] :
       {std::array<int, 3>{1, 1100, 1001}, {5, 2100, 501}, {7, 1029, 1020}, {48, 300, 3499}}) {
    ASSERT_TRUE(cpu::takes_few_rows(n, in, out));
    const auto x = test::uniform<double>(static_cast<std::size_t>(n * in), -1, 1, 1);
    const auto w = test::uniform<double>(static_cast<std::size_t>(out * in), -1, 1, 2);
    const auto b = test::uniform<double>(static_cast<std::size_t>(out), -1, 1, 3);
    const std::vector<float> xf(x.begin(), x.end()), wf(w.begin(), w.end()), bf(b.begin(), b.end());
    const auto want = reference::dense(x, w, b, static_cast<std::size_t>(n), static_cast<std::size_t>(in),
                                       static_cast<std::size_t>(out), Activation::kRelu);
    // Sums of at most 2101 values of variance 1/9, in 16 lanes or fewer: some hundred roundings, the largest sum above 30.
    EXPECT_TRUE(test::near_relative(forward(xf, wf, bf, n, in, out, Activation::kRelu), want, 1e-5));
    EXPECT_TRUE(test::near_relative(forward(x, w, b, n, in, out, Activation::kRelu), want, 1e-13));
  }
}

TEST(Linear, SoftplusSlopeKeepsItsAccuracyFarBelowZero) {
  // z = -30: y = e^-30 to one part in 1e13, slope the same; 1 - e^-y in float would be 0.
  Context ctx;
  const float x = 1, dy = 1, w = -30, b = 0;
  float y = NAN, dw = 0, db = 0;
  linear_forward<float>(ctx, {.n = 1,
                              .in = 1,
                              .out = 1,
                              .x = &x,
                              .weight = &w,
                              .bias = &b,
                              .activation = Activation::kSoftplus,
                              .y = &y});
  linear_backward<float>(ctx, {.n = 1,
                               .in = 1,
                               .out = 1,
                               .x = &x,
                               .activation = Activation::kSoftplus,
                               .y = &y,
                               .dy = &dy,
                               .d_weight = &dw,
                               .d_bias = &db});
  EXPECT_NEAR(y / 9.357622968840175e-14, 1.0, 5e-7);
  EXPECT_NEAR(db / 9.357622968840175e-14, 1.0, 1e-6);
}

TEST(Linear, RefusesEmptyBatch) {
  Context ctx;
  EXPECT_THROW(linear_forward<float>(ctx, {.n = 0, .in = 1, .out = 1}), std::exception);
}

}  // namespace
}  // namespace emer
