// Dropout against its counter layout drawn one element at a time and against statistics; Adam against hand
// arithmetic and the formulas in double; clamp by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/adam_update.h"
#include "kernels/clamp.h"
#include "kernels/dropout.h"
#include "tests/reference/adam_reference.h"
#include "tests/support/compare.h"
#include "tests/support/values.h"

namespace emer {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> dropped(const std::vector<float>& x, float p, std::uint64_t seed, std::uint64_t stream,
                           std::uint64_t step) {
  Context ctx;
  std::vector<float> y(x.size(), kNaN);
  dropout<float>(ctx, {.count = static_cast<std::int64_t>(x.size()),
                       .seed = seed,
                       .stream = stream,
                       .step = step,
                       .p = p,
                       .x = x.data(),
                       .y = y.data()});
  return y;
}

TEST(Dropout, FollowsTheDocumentedCounter) {
  // Sizes around a Philox block, a batch of blocks (256) and a chunk of the loop (16384).
  for (const std::size_t count : {1u, 3u, 4u, 5u, 255u, 256u, 257u, 16383u, 16385u, 40001u}) {
    const auto x = test::uniform<float>(count, 1, 2, count);
    const std::uint64_t seed = 0x123456789abcdefull, stream = dropout_stream(1, 2), step = 70000;
    const auto y = dropped(x, 0.3f, seed, stream, step);
    for (std::size_t i = 0; i < count; ++i) {
      const PhiloxBlock block = philox(seed, stream, step * 4294967296ull + i / 4);
      const bool drop = static_cast<double>(block.word[i % 4] / 256) < 0.3f * 16777216.0;
      ASSERT_EQ(y[i], drop ? 0.0f : x[i] * (1.0f / (1.0f - 0.3f))) << i << " of " << count;
    }
  }
}

TEST(Dropout, KeepsItsShareAndItsMean) {
  const std::size_t count = 100000;
  for (const float p : {0.1f, 0.5f, 0.9f}) {
    const auto y = dropped(std::vector<float>(count, 1.0f), p, 5, dropout_stream(0, 1), 1);
    double kept = 0, sum = 0, neighbours = 0;
    for (std::size_t i = 0; i < count; ++i) {
      kept += y[i] != 0 ? 1 : 0;
      sum += y[i];
      neighbours += i > 0 && y[i] != 0 && y[i - 1] != 0 ? 1 : 0;
    }
    // Five standard deviations of a share of 1e5 draws; neighbours are independent.
    const double n = static_cast<double>(count), q = 1 - p, deviation = std::sqrt(p * q / n);
    EXPECT_NEAR(kept / n, q, 5 * deviation);
    EXPECT_NEAR(sum / n, 1.0, 5 * deviation / q);
    EXPECT_NEAR(neighbours / n, q * q, 10 * std::sqrt(q * q * (1 - q * q) / n));
  }
}

TEST(Dropout, SameKeySameMaskAndEveryPartOfTheKeyCounts) {
  const std::vector<float> x(1000, 1.0f);
  const auto y = dropped(x, 0.5f, 1, dropout_stream(0, 1), 9);
  EXPECT_EQ(dropped(x, 0.5f, 1, dropout_stream(0, 1), 9), y);
  EXPECT_NE(dropped(x, 0.5f, 2, dropout_stream(0, 1), 9), y);
  EXPECT_NE(dropped(x, 0.5f, 1, dropout_stream(1, 1), 9), y);
  EXPECT_NE(dropped(x, 0.5f, 1, dropout_stream(0, 2), 9), y);
  EXPECT_NE(dropped(x, 0.5f, 1, dropout_stream(0, 1), 10), y);
  EXPECT_EQ(dropped(x, 0.0f, 1, dropout_stream(0, 1), 9), x);
}

TEST(Dropout, SomeRowsAreDroppedAsThoseRowsOfTheWhole) {
  Context ctx;
  const std::size_t whole = 20000;  // beyond one chunk of the loop
  const auto x = test::uniform<float>(whole, 1, 2, 11);
  const auto want = dropped(x, 0.4f, 3, dropout_stream(1, 2), 70);
  // Around a Philox block of 4, a batch of blocks (256), and far into the array.
  for (const std::size_t first : {1u, 2u, 3u, 4u, 5u, 255u, 257u, 16383u})
    for (const std::size_t count : {0u, 1u, 2u, 3u, 4u, 6u, 253u, 259u, 3000u}) {
      std::vector<float> y(count + 1, kNaN);
      dropout<float>(ctx, {.count = static_cast<std::int64_t>(count),
                           .first = static_cast<std::int64_t>(first),
                           .seed = 3,
                           .stream = dropout_stream(1, 2),
                           .step = 70,
                           .p = 0.4f,
                           .x = x.data() + first,
                           .y = y.data()});
      EXPECT_TRUE(std::isnan(y.back())) << "written behind the end";
      y.pop_back();
      ASSERT_EQ(y, std::vector<float>(want.begin() + static_cast<std::ptrdiff_t>(first),
                                      want.begin() + static_cast<std::ptrdiff_t>(first + count)))
          << first << " " << count;
    }
}

TEST(Dropout, DoubleDrawsTheSameMaskAndWorksInPlace) {
  Context ctx;
  std::vector<double> y(1001, 1.0);
  dropout<double>(
      ctx, {.count = 1001, .seed = 1, .stream = 7, .step = 2, .p = 0.5f, .x = y.data(), .y = y.data()});
  const auto f = dropped(std::vector<float>(1001, 1.0f), 0.5f, 1, 7, 2);
  EXPECT_EQ(std::vector<float>(y.begin(), y.end()), f);
}

TEST(Dropout, RefusesWrongKeys) {
  float x = 1;
  Context ctx;
  EXPECT_THROW(dropout<float>(ctx, {.count = 1, .p = 1.0f, .x = &x, .y = &x}), std::exception);
  EXPECT_THROW(dropout<float>(ctx, {.count = 1, .p = kNaN, .x = &x, .y = &x}), std::exception);
  EXPECT_THROW(dropout<float>(ctx, {.count = 1, .first = -1, .p = 0.5f, .x = &x, .y = &x}), std::exception);
  EXPECT_THROW(dropout<float>(ctx, {.count = 1, .first = 1ll << 34, .p = 0.5f, .x = &x, .y = &x}),
               std::exception);
  EXPECT_THROW(dropout<float>(ctx, {.count = 1, .step = 1ull << 32, .p = 0.5f, .x = &x, .y = &x}),
               std::exception);
}

TEST(Clamp, ByHand) {
  Context ctx;
  const std::vector<float> x{-3, -2, 0, 1, 2, kNaN, kInfinity}, dy{1, 2, 3, 4, 5, 6, 7};
  std::vector<float> y(7, kNaN), dx(7, kNaN);
  clamp<float>(ctx, {.count = 7, .low = -2, .high = 1, .x = x.data(), .y = y.data()});
  clamp_backward<float>(ctx,
                        {.count = 7, .low = -2, .high = 1, .y = y.data(), .dy = dy.data(), .dx = dx.data()});
  EXPECT_TRUE(std::isnan(y[5]));
  y[5] = 0;
  EXPECT_EQ(y, (std::vector<float>{-2, -2, 0, 1, 1, 0, 1}));
  EXPECT_EQ(dx, (std::vector<float>{0, 0, 3, 0, 0, 6, 0}));
  clamp<float>(ctx, {.count = 2, .low = -kInfinity, .high = 1, .x = x.data(), .y = y.data()});
  EXPECT_EQ(y[0], -3);
}

TEST(Adam, FirstStepByHand) {
  // Step 1 from zero moments: m = .1 g, v = .001 g^2. TensorFlow: lr sqrt(.001)/.1 * .1 g / (sqrt(.001)|g| +
  // eps), so with g = 2, lr = .1, eps = sqrt(.001): 3 - .1 * 2 / (2 + 1). Usual, eps = 1: 3 - .1 * 2 / (2 +
  // 1).
  for (const AdamForm form : {AdamForm::kTensorFlow, AdamForm::kUsual}) {
    Context ctx;
    double x = 3, m = 0, v = 0;
    const double g = 2;
    adam_update<double>(ctx, {.count = 1,
                              .t = 1,
                              .form = form,
                              .learning_rate = .1,
                              .epsilon = form == AdamForm::kUsual ? 1.0 : std::sqrt(.001),
                              .gradient = &g,
                              .value = &x,
                              .m = &m,
                              .v = &v});
    EXPECT_NEAR(x, 3 - .1 * 2 / 3, 1e-15);
    EXPECT_NEAR(m, .2, 1e-16);
    EXPECT_NEAR(v, .004, 1e-17);
  }
}

TEST(Adam, DecayIsDecoupled) {
  // A zero gradient moves the value by lr * decay of itself and nothing else: 3 * (1 - .1 * .5).
  Context ctx;
  double x = 3, m = 0, v = 0;
  const double g = 0;
  adam_update<double>(ctx, {.count = 1,
                            .t = 1,
                            .form = AdamForm::kUsual,
                            .learning_rate = .1,
                            .weight_decay = .5,
                            .gradient = &g,
                            .value = &x,
                            .m = &m,
                            .v = &v});
  EXPECT_NEAR(x, 2.85, 1e-15);
}

template <class Real>
void expect_trajectory(AdamForm form, double tolerance) {
  const std::size_t count = 70001;  // more than two chunks
  const auto start = test::uniform<Real>(count, -1, 1, 1);
  std::vector<Real> x = start, m(count, 0), v(count, 0);
  std::vector<reference::PlainAdam> plain;
  for (const Real s : start) plain.push_back({s});
  Context ctx;
  for (int t = 1; t <= 5; ++t) {
    const auto g = test::normal<Real>(count, 0, 1e-3, 100 + static_cast<std::uint64_t>(t));
    adam_update<Real>(ctx, {.count = static_cast<std::int64_t>(count),
                            .t = t,
                            .form = form,
                            .learning_rate = 1e-2,
                            .beta1 = .8,
                            .beta2 = .99,
                            .epsilon = 1e-5,
                            .weight_decay = .1,
                            .gradient_scale = .25,
                            .gradient = g.data(),
                            .value = x.data(),
                            .m = m.data(),
                            .v = v.data()});
    for (std::size_t i = 0; i < count; ++i) plain[i].step(t, .25 * g[i], form, 1e-2, .8, .99, 1e-5, .1);
  }
  std::vector<double> want, want_m, want_v;
  for (const reference::PlainAdam& p : plain) {
    want.push_back(p.x);
    want_m.push_back(p.m);
    want_v.push_back(p.v);
  }
  EXPECT_TRUE(test::near_relative(x, want, tolerance));
  EXPECT_TRUE(test::near_relative(m, want_m, tolerance));
  EXPECT_TRUE(test::near_relative(v, want_v, tolerance));
}

TEST(Adam, FollowsTheFormulas) {
  for (const AdamForm form : {AdamForm::kTensorFlow, AdamForm::kUsual}) {
    expect_trajectory<double>(form, 5 * 12 * 1.2e-16);  // 5 steps of 12 roundings
    expect_trajectory<float>(form, 5 * 12 * 6.0e-8);
  }
}

TEST(Adam, RefusesStepsBeforeTheFirst) {
  Context ctx;
  EXPECT_THROW(adam_update<float>(ctx, {.count = 0, .t = 0}), std::exception);
}

}  // namespace
}  // namespace emer
