// The dense layer on CUDA against plain loops in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/work_graph.h"
#include "kernels/linear.h"
#include "tests/reference/dense_reference.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using Doubles = std::vector<double>;
using Floats = std::vector<float>;

Doubles to_doubles(const Floats& values) {
  return {values.begin(), values.end()};
}

// Values that bfloat16 holds: multiples of 1/64 in [-1, 1]. Products of them are exact in any precision.
Floats coarse(std::size_t count, std::uint64_t seed) {
  Floats values = test::uniform<float>(count, -64, 64, seed);
  for (float& v : values) v = std::round(v) / 64;
  return values;
}

double largest(const Doubles& values) {
  double result = 0;
  for (const double v : values) result = std::max(result, std::abs(v));
  return result;
}

::testing::AssertionResult within(const Floats& got, const Doubles& want, double bound) {
  if (got.size() != want.size()) return ::testing::AssertionFailure() << got.size() << " elements";
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - want[i]) <= bound))
      return ::testing::AssertionFailure()
             << "element " << i << " is " << got[i] << ", expected " << want[i] << " to " << bound;
  return ::testing::AssertionSuccess();
}

struct Layer {
  int n, in, out;
  Activation activation;
  Floats x, w, b, dy;

  Layer(std::array<int, 3> sizes, Activation act)
      : n(sizes[0]),
        in(sizes[1]),
        out(sizes[2]),
        activation(act),
        x(coarse(size(n) * size(in), 1)),
        w(coarse(size(out) * size(in), 2)),
        b(test::uniform<float>(size(out), -1, 1, 3)),
        dy(coarse(size(n) * size(out), 4)) {}
  static std::size_t size(int extent) { return static_cast<std::size_t>(extent); }
};

struct Result {
  Floats y, dx, dw, db;
  bool operator==(const Result&) const = default;
};

struct How {
  Precision precision = Precision::kFp32;
  bool recorded = false;
  bool accumulate_dx = false;
  std::size_t shift = 0;  // of y and dy, in elements: not divisible by 16 bytes
  float start = 0.5f;     // of gradients that accumulate
};

Result run(Context& ctx, const Layer& l, const How& how) {
  ctx.set_precision(how.precision);
  test::DeviceArray<float> x(ctx, l.x), w(ctx, l.w), b(ctx, l.b);
  Floats shifted(how.shift);
  shifted.insert(shifted.end(), l.dy.begin(), l.dy.end());
  test::DeviceArray<float> dy(ctx, shifted);
  auto y = test::DeviceArray<float>::poisoned(ctx, shifted.size());
  auto dx = how.accumulate_dx ? test::DeviceArray<float>(ctx, Floats(l.x.size(), how.start))
                              : test::DeviceArray<float>::poisoned(ctx, l.x.size());
  test::DeviceArray<float> dw(ctx, Floats(l.w.size(), how.start)), db(ctx, Floats(l.b.size(), how.start));
  const auto work = [&] {
    linear_forward<float>(ctx, {.n = l.n,
                                .in = l.in,
                                .out = l.out,
                                .x = x.data(),
                                .weight = w.data(),
                                .bias = b.data(),
                                .activation = l.activation,
                                .y = y.data() + how.shift});
    linear_backward<float>(ctx, {.n = l.n,
                                 .in = l.in,
                                 .out = l.out,
                                 .x = x.data(),
                                 .weight = w.data(),
                                 .activation = l.activation,
                                 .y = y.data() + how.shift,
                                 .dy = dy.data() + how.shift,
                                 .d_weight = dw.data(),
                                 .d_bias = db.data(),
                                 .dx = dx.data(),
                                 .accumulate_dx = how.accumulate_dx});
  };
  if (how.recorded) {
    work();  // gives the arena its size
    dw = test::DeviceArray<float>(ctx, Floats(l.w.size(), how.start));
    db = test::DeviceArray<float>(ctx, Floats(l.b.size(), how.start));
    WorkGraph graph(ctx, work);
    graph.launch(ctx);
    ctx.synchronize();
  } else {
    work();
  }
  const Floats all = y.read();
  return {{all.begin() + static_cast<std::ptrdiff_t>(how.shift), all.end()}, dx.read(), dw.read(), db.read()};
}

// Bounds, with u = 2^-24: a float sum of k terms of size at most 1 whose factors are exact errs by at most
// (k + 1) k u, whatever the order; an activation adds 4 ulp of its result, or of g. x, W and dy are exact in every
// precision; g of a softplus is not: rounded to bfloat16 it errs by 2^-9 of itself, and by 2^-10 where TF32 drops the
// bits behind its 10.
void expect_close(Context& ctx, const Layer& l, const How& how) {
  SCOPED_TRACE(::testing::Message() << "activation " << static_cast<int>(l.activation) << ", precision "
                                    << static_cast<int>(how.precision));
  const Result got = run(ctx, l, how);
  const Doubles x = to_doubles(l.x), w = to_doubles(l.w), b = to_doubles(l.b), dy = to_doubles(l.dy);
  const auto n = Layer::size(l.n), in = Layer::size(l.in), out = Layer::size(l.out);
  const Doubles y = reference::dense(x, w, b, n, in, out, l.activation);
  auto want = reference::dense_gradients(x, w, b, dy, n, in, out, l.activation);
  for (double& v : want.w) v += how.start;
  for (double& v : want.b) v += how.start;
  if (how.accumulate_dx)
    for (double& v : want.x) v += how.start;
  const double u = std::ldexp(1.0, -24), k = l.in + 1.0;
  const double forward = (k + 1) * k * u + 8 * u * largest(y);
  // g inherits the error of y through a slope that is 1-Lipschitz in it.
  double of_g = 0;
  if (l.activation == Activation::kSoftplus) {
    of_g = forward + 8 * u;
    if (how.precision == Precision::kBf16) of_g += std::ldexp(1.0, -9);
    if (how.precision == Precision::kTf32) of_g += std::ldexp(1.0, -10);
  }
  const auto sum_bound = [&](double terms) { return terms * of_g + (terms + 2) * (terms + 1) * u; };
  EXPECT_TRUE(within(got.y, y, forward));
  EXPECT_TRUE(within(got.dw, want.w, sum_bound(l.n)));
  EXPECT_TRUE(within(got.dx, want.x, sum_bound(l.out)));
  // Sums of db are in double, of g before any rounding to bfloat16; only the last step rounds.
  const double exact_g = l.activation == Activation::kSoftplus ? forward + 8 * u : 0.0;
  EXPECT_TRUE(within(got.db, want.b, l.n * exact_g + 2 * u * largest(want.b)));
}

constexpr std::array<Activation, 3> kActivations{Activation::kNone, Activation::kSoftplus, Activation::kRelu};

class LinearTwin : public test::TwinTest, public ::testing::WithParamInterface<std::array<int, 3>> {};

TEST_P(LinearTwin, MatchesPlainLoopsInEveryPrecision) {
  Context ctx(DeviceKind::kCuda);
  for (const Activation activation : kActivations)
    for (const Precision precision : {Precision::kFp32, Precision::kTf32, Precision::kBf16})
      expect_close(ctx, Layer(GetParam(), activation), {.precision = precision});
}

TEST_P(LinearTwin, SameBitsAgainAndFromARecording) {
  Context ctx(DeviceKind::kCuda);
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const Layer layer(GetParam(), Activation::kSoftplus);
    const Result once = run(ctx, layer, {.precision = precision});
    EXPECT_EQ(run(ctx, layer, {.precision = precision}), once);
    EXPECT_EQ(run(ctx, layer, {.precision = precision, .recorded = true}), once);
  }
}

// Widths around groups of 4 and tiles of 8 columns; rows around passes of 128 and of spans of 2048 and 1024.
INSTANTIATE_TEST_SUITE_P(Edges, LinearTwin,
                         ::testing::Values(std::array<int, 3>{1, 1, 1}, std::array<int, 3>{2, 33, 1},
                                           std::array<int, 3>{1, 5, 3}, std::array<int, 3>{7, 1, 9},
                                           std::array<int, 3>{31, 32, 33}, std::array<int, 3>{33, 65, 127},
                                           std::array<int, 3>{129, 3, 8}, std::array<int, 3>{2048, 2, 4},
                                           std::array<int, 3>{2049, 2, 36}, std::array<int, 3>{3073, 1, 5}));

using LinearTwinOther = test::TwinTest;

TEST_F(LinearTwinOther, MisalignedGradientsAndAccumulatedInputGradient) {
  Context ctx(DeviceKind::kCuda);
  for (const Activation activation : kActivations) {
    expect_close(ctx, Layer({37, 6, 12}, activation), {.shift = 1});
    expect_close(ctx, Layer({37, 6, 12}, activation), {.accumulate_dx = true});
    expect_close(ctx, Layer({37, 6, 12}, activation), {.precision = Precision::kBf16, .accumulate_dx = true});
  }
}

TEST_F(LinearTwinOther, WithoutGradientOfTheInput) {
  Context ctx(DeviceKind::kCuda);
  test::DeviceArray<float> x(ctx, Floats{2}), dy(ctx, Floats{3}), dw(ctx, Floats{1}), db(ctx, Floats{1});
  linear_backward<float>(ctx, {.n = 1,
                               .in = 1,
                               .out = 1,
                               .x = x.data(),
                               .dy = dy.data(),
                               .d_weight = dw.data(),
                               .d_bias = db.data()});
  EXPECT_EQ(dw.read(), Floats{7});
  EXPECT_EQ(db.read(), Floats{4});
}

TEST_F(LinearTwinOther, KeepsNaNWhereItIs) {
  Context ctx(DeviceKind::kCuda);
  for (const Activation activation : kActivations) {
    Layer layer({3, 2, 5}, activation);
    layer.x[2] = std::numeric_limits<float>::quiet_NaN();  // row 1
    const Result got = run(ctx, layer, {});
    for (std::size_t j = 0; j < 5; ++j) {
      EXPECT_FALSE(std::isnan(got.y[j]));
      EXPECT_TRUE(std::isnan(got.y[5 + j]));
      EXPECT_FALSE(std::isnan(got.y[10 + j]));
    }
  }
}

TEST_F(LinearTwinOther, SoftplusAndItsSlopeFarFromZero) {
  Context ctx(DeviceKind::kCuda);
  // z = w: far above, y = z and the slope is 1; far below, both are e^z, which 1 + e^z and 1 - e^-y would lose.
  const Floats z{-80, -30, -1, 0, 1, 30, 88, 1000};
  Layer layer({1, 1, 8}, Activation::kSoftplus);
  layer.x = {1};
  layer.w = z;
  layer.b = Floats(8, 0.0f);
  layer.dy = Floats(8, 1.0f);
  const Result got = run(ctx, layer, {.start = 0.0f});
  for (std::size_t j = 0; j < 8; ++j) {
    const double want = z[j] > 0 ? z[j] + std::log1p(std::exp(-double{z[j]})) : std::log1p(std::exp(z[j]));
    const double slope = 1 / (1 + std::exp(-double{z[j]}));
    // 8 ulp: 2 each of exp, log1p and expm1, and the roundings between them.
    EXPECT_NEAR(got.y[j] / want, 1.0, 8 * 1.2e-7) << z[j];
    EXPECT_NEAR(got.db[j] / slope, 1.0, 8 * 1.2e-7) << z[j];
  }
}

}  // namespace
}  // namespace emer
