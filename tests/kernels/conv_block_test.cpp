// Oracles: hand arithmetic, plain loops (tests/reference/conv_reference.h), central differences in double.
#include "kernels/conv_block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "kernels/cpu/conv_block_products.h"
#include "kernels/cpu/plan_cache.h"
#include "tests/reference/conv_reference.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/values.h"

namespace emer {
namespace {

std::size_t size_of(const ConvShape& s, bool output) {
  return output ? static_cast<std::size_t>(s.n * s.out_height() * s.out_width() * s.out)
                : static_cast<std::size_t>(s.n * s.height * s.width * s.in);
}

template <class Stored, class From>
std::vector<Stored> stored(const std::vector<From>& values) {
  std::vector<Stored> result;
  for (const From v : values)
    if constexpr (std::is_same_v<Stored, BFloat16>)
      result.push_back(to_bfloat16(static_cast<float>(v)));
    else
      result.push_back(static_cast<Stored>(v));
  return result;
}
template <class Stored>
std::vector<double> widened(const std::vector<Stored>& values) {
  std::vector<double> result;
  for (const Stored v : values)
    if constexpr (std::is_same_v<Stored, BFloat16>)
      result.push_back(static_cast<double>(to_float(v)));
    else
      result.push_back(static_cast<double>(v));
  return result;
}
template <class Stored>
std::vector<Stored> poison(std::size_t count) {
  return stored<Stored>(std::vector<double>(count, std::numeric_limits<double>::quiet_NaN()));
}

// One block with what went in and came out.
template <class Real, class Stored = Real>
struct BlockRun {
  ConvShape shape;
  std::vector<Stored> x;
  std::vector<Real> weight, bias;
  std::vector<Stored> y, dx;
  std::vector<std::uint8_t> argmax;
  std::vector<Real> d_weight, d_bias;

  BlockRun(const ConvShape& s, const std::vector<double>& x_, const std::vector<double>& weight_,
           const std::vector<double>& bias_)
      : shape(s), x(stored<Stored>(x_)), weight(stored<Real>(weight_)), bias(stored<Real>(bias_)) {
    Context ctx;
    y = poison<Stored>(size_of(s, true));
    argmax.assign(s.pool ? y.size() : 0, 0xee);
    conv_block_forward<Real, Stored>(ctx, {.shape = s,
                                           .x = x.data(),
                                           .weight = weight.data(),
                                           .bias = bias.data(),
                                           .y = y.data(),
                                           .argmax = s.pool ? argmax.data() : nullptr});
  }
  // The gradients start from `start`.
  void backward(const std::vector<double>& dy_, Real start = 0, bool with_dx = true) {
    Context ctx;
    const auto dy = stored<Stored>(dy_);
    dx = poison<Stored>(with_dx ? x.size() : 0);
    d_weight.assign(weight.size(), start);
    d_bias.assign(bias.size(), start);
    conv_block_backward<Real, Stored>(ctx, {.shape = shape,
                                            .x = x.data(),
                                            .weight = weight.data(),
                                            .y = y.data(),
                                            .argmax = shape.pool ? argmax.data() : nullptr,
                                            .dy = dy.data(),
                                            .d_weight = d_weight.data(),
                                            .d_bias = d_bias.data(),
                                            .dx = with_dx ? dx.data() : nullptr});
  }
};

struct Values {
  std::vector<double> x, weight, bias, dy;
  explicit Values(const ConvShape& s)
      : x(test::uniform<double>(size_of(s, false), -1, 1, 1)),
        weight(test::uniform<double>(static_cast<std::size_t>(9 * s.in * s.out), -1, 1, 2)),
        bias(test::uniform<double>(static_cast<std::size_t>(s.out), -1, 1, 3)),
        dy(test::uniform<double>(size_of(s, true), -1, 1, 4)) {}
};

template <class Real>
class ConvBlock : public ::testing::Test {};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ConvBlock, Scalars);

// One image of 2 x 2, one channel, W = 1..9 by rows. The corner (0,0) sees x at W's (1,1), (1,2), (2,1), (2,2):
// 1*5 + 2*6 + 3*8 + 4*9 = 77; (0,1): 1*4 + 2*5 + 3*7 + 4*8 = 67; (1,0): 1*2 + 2*3 + 3*5 + 4*6 = 47; (1,1):
// 1*1 + 2*2 + 3*4 + 4*5 = 37. Bias -47 leaves 30, 20, 0, -10.
TYPED_TEST(ConvBlock, HandWorked) {
  const std::vector<double> x{1, 2, 3, 4}, weight{1, 2, 3, 4, 5, 6, 7, 8, 9}, bias{-47};
  BlockRun<TypeParam> run({.n = 1, .height = 2, .width = 2, .in = 1, .out = 1}, x, weight, bias);
  EXPECT_EQ(run.y, (std::vector<TypeParam>{30, 20, 0, 0}));
  // dz = 1, 10, 0, 0: slope 0 at z = 0 too. dW's (1,1) = 1*1 + 10*2, (1,2) = 1*2, (1,0) = 10*1, (2,1) = 1*3 + 10*4,
  // (2,2) = 1*4, (2,0) = 10*3; dx (0,0) = 1*5 + 10*4, (0,1) = 1*6 + 10*5, (1,0) = 1*8 + 10*7, (1,1) = 1*9 + 10*8.
  run.backward({1, 10, 100, 1000}, TypeParam(1));
  EXPECT_EQ(run.d_weight, (std::vector<TypeParam>{1, 1, 1, 11, 22, 3, 31, 44, 5}));
  EXPECT_EQ(run.d_bias, (std::vector<TypeParam>{12}));
  EXPECT_EQ(run.dx, (std::vector<TypeParam>{45, 56, 78, 89}));

  BlockRun<TypeParam> pooled({.n = 1, .height = 2, .width = 2, .in = 1, .out = 1, .pool = true}, x, weight,
                             bias);
  EXPECT_EQ(pooled.y, (std::vector<TypeParam>{30}));
  EXPECT_EQ(pooled.argmax, (std::vector<std::uint8_t>{0}));
  pooled.backward({2});
  EXPECT_EQ(pooled.dx, (std::vector<TypeParam>{10, 12, 16, 18}));
}

// W with 1 in the middle passes x on. Rows of windows: all equal; the last twice the largest; all negative, the largest
// last; all at most 0.
TYPED_TEST(ConvBlock, PoolTakesTheFirstMaximum) {
  const ConvShape shape{.n = 1, .height = 2, .width = 8, .in = 1, .out = 1, .pool = true};
  const std::vector<double> x{5, 5, 1, 7, -4, -3, 0, -1,  //
                              5, 5, 2, 7, -2, -1, 0, 0};
  BlockRun<TypeParam> run(shape, x, {0, 0, 0, 0, 1, 0, 0, 0, 0}, {0});
  EXPECT_EQ(run.y, (std::vector<TypeParam>{5, 7, 0, 0}));
  EXPECT_EQ(run.argmax, (std::vector<std::uint8_t>{0, 1, 0, 0}));
  run.backward({1, 2, 3, 4});
  EXPECT_EQ(run.dx, (std::vector<TypeParam>{1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TYPED_TEST(ConvBlock, NanReachesEveryWindowItLiesIn) {
  for (const auto& [in, pool] : {std::pair{16, false}, {16, true}, {1, true}}) {
    const ConvShape shape{.n = 2, .height = 8, .width = 6, .in = in, .out = 32, .pool = pool};
    Values v(shape);
    const std::size_t poisoned = reference::index_of(shape, 1, 3, 2, shape.in, in / 2);
    v.x[poisoned] = std::numeric_limits<double>::quiet_NaN();
    const BlockRun<TypeParam> run(shape, v.x, v.weight, v.bias);
    std::size_t k = 0;
    for (int b = 0; b < 2; ++b)
      for (int i = 0; i < shape.out_height(); ++i)
        for (int j = 0; j < shape.out_width(); ++j)
          for (int o = 0; o < shape.out; ++o, ++k) {
            // Windows of the convolution reach rows 2..4 and columns 1..3.
            const bool reached = b == 1 && (pool ? (i == 1 || i == 2) && (j == 0 || j == 1)
                                                 : i >= 2 && i <= 4 && j >= 1 && j <= 3);
            ASSERT_EQ(std::isnan(run.y[k]), reached) << i << " " << j << " " << o << " pool " << pool;
          }
  }
}

class ConvBlockShapes : public ::testing::TestWithParam<ConvShape> {
 protected:
  // A sum of m products and a bias, all at most 1, meets m + 1 roundings of sums that are at most m + 1. They behave like
  // independent ones: as far out as 2 sqrt(m) of them come to is already eight deviations.
  template <class Real, class Stored>
  void expect_reference(double unit) {
    const ConvShape& s = GetParam();
    Values v(s);
    // What is compared with sees the same rounded values.
    v.x = widened(stored<Stored>(v.x));
    v.dy = widened(stored<Stored>(v.dy));
    v.weight = widened(stored<Stored>(v.weight));
    v.bias = widened(stored<Real>(v.bias));
    BlockRun<Real, Stored> run(s, v.x, v.weight, v.bias);
    const auto want = reference::conv_block(s, v.x, v.weight, v.bias);
    const auto bound = [&](double terms) { return 2 * std::sqrt(terms + 2) * (terms + 2) * unit; };
    const double store_unit = std::is_same_v<Stored, BFloat16> ? 0.004 : 0.0;
    const auto expect_near = [&](const std::vector<double>& got, const std::vector<double>& w, double terms,
                                 bool is_stored) {
      ASSERT_EQ(got.size(), w.size());
      for (std::size_t k = 0; k < got.size(); ++k)
        ASSERT_TRUE(std::abs(got[k] - w[k]) <= bound(terms) + (is_stored ? store_unit * std::abs(w[k]) : 0))
            << k << ": " << got[k] << " for " << w[k];
    };
    expect_near(widened(run.y), want.y, 9.0 * s.in + 1, true);
    // Near ties may fall otherwise in another arithmetic: the value at the chosen place is near the maximum.
    for (std::size_t k = 0; k < run.argmax.size(); ++k) {
      const std::size_t pixel = k / static_cast<std::size_t>(s.out),
                        columns = static_cast<std::size_t>(s.out_width());
      const int row = static_cast<int>(pixel / columns), j = static_cast<int>(pixel % columns);
      const int b = row / s.out_height(), i = row % s.out_height(), place = run.argmax[k];
      ASSERT_LE(place, 3);
      const double z = want.z[reference::index_of(s, b, 2 * i + place / 2, 2 * j + place % 2, s.out,
                                                  static_cast<int>(k % static_cast<std::size_t>(s.out)))];
      ASSERT_GE(std::max(z, 0.0), want.y[k] - 2 * bound(9.0 * s.in + 1));
    }
    run.backward(v.dy, Real(0.5));
    const auto gradients =
        reference::conv_block_gradients(s, v.x, v.weight, widened(run.y), run.argmax, v.dy);
    const auto plus_half = [](std::vector<double> values) {
      for (double& value : values) value += 0.5;
      return values;
    };
    const double places = static_cast<double>(s.n) * s.height * s.width;
    expect_near(widened(run.d_weight), plus_half(gradients.weight), places, false);
    expect_near(widened(run.d_bias), plus_half(gradients.bias), places, false);
    expect_near(widened(run.dx), gradients.x, 9.0 * s.out, true);
    const auto d_weight = run.d_weight;
    run.backward(v.dy, Real(0.5), false);
    expect_near(widened(run.d_weight), widened(d_weight), places, false);
  }
};

TEST_P(ConvBlockShapes, FloatMatchesPlainLoops) {
  expect_reference<float, float>(6.0e-8);
}
TEST_P(ConvBlockShapes, DoubleMatchesPlainLoops) {
  expect_reference<double, double>(1.2e-16);
}
TEST_P(ConvBlockShapes, BFloat16MatchesPlainLoops) {
  expect_reference<float, BFloat16>(6.0e-8);
}

INSTANTIATE_TEST_SUITE_P(
    Edges, ConvBlockShapes,
    ::testing::Values(ConvShape{1, 1, 1, 1, 1, false}, ConvShape{2, 3, 5, 1, 4, false},
                      ConvShape{3, 5, 4, 3, 7, false}, ConvShape{3, 4, 6, 4, 8, true},
                      ConvShape{2, 6, 4, 8, 16, true}, ConvShape{2, 12, 8, 16, 24, false},
                      ConvShape{1, 2, 2, 24, 4, true}, ConvShape{2, 8, 6, 1, 64, true},
                      ConvShape{5, 6, 4, 17, 33, true}, ConvShape{3, 6, 8, 64, 32, false}),
    [](const auto& test) {
      const ConvShape& s = test.param;
      return fmt::format("n{}_{}x{}_{}to{}{}", s.n, s.height, s.width, s.in, s.out, s.pool ? "_pool" : "");
    });

TEST(ConvBlockGradients, MatchCentralDifferences) {
  for (const ConvShape& s : {ConvShape{2, 5, 3, 2, 3, false}, ConvShape{2, 4, 6, 3, 2, true}}) {
    const Values v(s);
    std::vector<double> point = v.x;
    point.insert(point.end(), v.weight.begin(), v.weight.end());
    point.insert(point.end(), v.bias.begin(), v.bias.end());
    const auto run_at = [&](const std::vector<double>& p) {
      const auto at = [&](std::size_t k) { return p.begin() + static_cast<std::ptrdiff_t>(k); };
      const std::size_t sx = v.x.size(), sw = v.weight.size();
      return BlockRun<double>(s, {at(0), at(sx)}, {at(sx), at(sx + sw)}, {at(sx + sw), p.end()});
    };
    auto run = run_at(point);
    run.backward(v.dy);
    std::vector<double> gradient = run.dx;
    gradient.insert(gradient.end(), run.d_weight.begin(), run.d_weight.end());
    gradient.insert(gradient.end(), run.d_bias.begin(), run.d_bias.end());
    // Linear between the kinks, which no step of 1e-6 reaches with these values: rounding eps |f| / h < 1e-8 is all.
    EXPECT_TRUE(test::gradient_matches(
        point, gradient,
        [&](const std::vector<double>& p) {
          const auto y = run_at(p).y;
          double sum = 0;
          for (std::size_t k = 0; k < y.size(); ++k) sum += y[k] * v.dy[k];
          return sum;
        },
        1e-6, 2e-8));
  }
}

// More images than one call of the library or one product takes, and no multiple of that number.
TEST(ConvBlockBatch, ImagesAreIndependent) {
  const ConvShape all{.n = 37, .height = 48, .width = 32, .in = 1, .out = 64, .pool = true};
  const Values v(all);
  const BlockRun<float> run(all, v.x, v.weight, v.bias);
  ConvShape one = all;
  one.n = 1;
  const std::size_t in = size_of(one, false), out = size_of(one, true);
  for (const std::size_t image : {std::size_t{0}, std::size_t{20}, std::size_t{36}}) {
    const auto at = [&](const auto& values, std::size_t k) {
      return values.begin() + static_cast<std::ptrdiff_t>(k);
    };
    const BlockRun<float> alone(one, {at(v.x, image * in), at(v.x, (image + 1) * in)}, v.weight, v.bias);
    const std::vector<float> part(at(run.y, image * out), at(run.y, (image + 1) * out));
    EXPECT_TRUE(test::near_relative(part, alone.y, 1e-6));  // ten terms, some roundings of 6e-8
  }
}

TEST(ConvBlockBatch, TwoRunsAgreeBitForBit) {
  const ConvShape shape{.n = 9, .height = 24, .width = 16, .in = 32, .out = 48, .pool = true};
  const Values v(shape);
  BlockRun<float> first(shape, v.x, v.weight, v.bias), second(shape, v.x, v.weight, v.bias);
  first.backward(v.dy);
  second.backward(v.dy);
  EXPECT_EQ(first.y, second.y);
  EXPECT_EQ(first.d_weight, second.d_weight);
  EXPECT_EQ(first.d_bias, second.d_bias);
  EXPECT_EQ(first.dx, second.dx);
}

// What builds without oneDNN compute with, and shapes that it does not have.
TEST(ConvBlockProducts, AgreeWithTheBlockInFloat) {
  for (const ConvShape& s : {ConvShape{3, 6, 4, 5, 16, true}, ConvShape{2, 5, 7, 8, 3, false}}) {
    const Values v(s);
    BlockRun<float> run(s, v.x, v.weight, v.bias);
    run.backward(v.dy);
    Context ctx;
    auto y = poison<float>(run.y.size()), dx = poison<float>(run.x.size());
    std::vector<std::uint8_t> argmax(run.argmax.size(), 0xee);
    cpu::conv_products_forward<float, float>(ctx, {.shape = s,
                                                   .x = run.x.data(),
                                                   .weight = run.weight.data(),
                                                   .bias = run.bias.data(),
                                                   .y = y.data(),
                                                   .argmax = s.pool ? argmax.data() : nullptr});
    std::vector<float> d_weight(run.weight.size()), d_bias(run.bias.size());
    const auto dy = stored<float>(v.dy);
    cpu::conv_products_backward<float, float>(ctx, {.shape = s,
                                                    .x = run.x.data(),
                                                    .weight = run.weight.data(),
                                                    .y = y.data(),
                                                    .argmax = s.pool ? argmax.data() : nullptr,
                                                    .dy = dy.data(),
                                                    .d_weight = d_weight.data(),
                                                    .d_bias = d_bias.data(),
                                                    .dx = dx.data()});
    // Some 70 products, their roundings of either sign; no window of these values has two maxima so near.
    EXPECT_TRUE(test::near_relative(y, run.y, 3e-6));
    EXPECT_EQ(argmax, run.argmax);
    EXPECT_TRUE(test::near_relative(d_weight, run.d_weight, 3e-6));
    EXPECT_TRUE(test::near_relative(d_bias, run.d_bias, 3e-6));
    EXPECT_TRUE(test::near_relative(dx, run.dx, 3e-6));
  }
}

// From several threads at once, each with its context, and inside a parallel loop: the plans of all are shared.
TEST(ConvBlockThreads, ShareWhatIsKeptBetweenCalls) {
  const ConvShape shape{.n = 5, .height = 8, .width = 6, .in = 16, .out = 32, .pool = true};
  const Values v(shape);
  BlockRun<float> alone(shape, v.x, v.weight, v.bias);
  alone.backward(v.dy);
  const auto expect_same = [&](const BlockRun<float>& run) {
    EXPECT_TRUE(test::near_relative(run.y, alone.y, 1e-5));
    EXPECT_TRUE(test::near_relative(run.d_weight, alone.d_weight, 1e-5));
    EXPECT_TRUE(test::near_relative(run.dx, alone.dx, 1e-5));
  };
  std::vector<std::unique_ptr<BlockRun<float>>> runs(8);
  const auto one = [&](std::size_t k) {
    runs[k] = std::make_unique<BlockRun<float>>(shape, v.x, v.weight, v.bias);
    runs[k]->backward(v.dy);
  };
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < 4; ++k) threads.emplace_back(one, k);
  for (std::thread& thread : threads) thread.join();
  parallel_for(4, 1, [&](std::int64_t k, std::int64_t) { one(static_cast<std::size_t>(4 + k)); });
  for (const auto& run : runs) expect_same(*run);
}

TEST(PlanCache, GivesUpTheLongestUnused) {
  cpu::PlanCache<int, int> cache(2);
  int made = 0;
  const auto get = [&](int key) {
    return cache.get(key, [&] {
      ++made;
      return std::make_shared<const int>(10 * key);
    });
  };
  EXPECT_EQ(*get(1), 10);
  EXPECT_EQ(*get(2), 20);
  EXPECT_EQ(*get(1), 10);
  EXPECT_EQ(made, 2);
  const auto held = get(2);
  get(1);
  EXPECT_EQ(*get(3), 30);  // in 2's place
  EXPECT_EQ(cache.size(), 2u);
  get(1);
  EXPECT_EQ(made, 3);
  EXPECT_EQ(*get(2), 20);
  EXPECT_EQ(made, 4);
  EXPECT_EQ(*held, 20) << "who holds a plan keeps it";
  EXPECT_EQ(cache.get(9, [] { return std::shared_ptr<const int>(); }), nullptr);
}

TEST(ConvBlockRefuses, WhatItCannotMean) {
  const ConvShape odd{.n = 1, .height = 3, .width = 2, .in = 1, .out = 1, .pool = true};
  const std::vector<double> six(6, 1.0), nine(9, 1.0), one(1, 1.0);
  EXPECT_THROW((BlockRun<float>(odd, six, nine, one)), std::exception);
  Context ctx;
  EXPECT_THROW(
      conv_block_forward<float>(ctx, {.shape = {.n = 0, .height = 2, .width = 2, .in = 1, .out = 1}}),
      std::exception);
  EXPECT_THROW(
      conv_block_backward<float>(ctx, {.shape = {.n = 1, .height = 2, .width = 2, .in = 1, .out = 1}}),
      std::exception);
}

}  // namespace
}  // namespace emer
