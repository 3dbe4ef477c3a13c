// The GRU's CUDA twin against plain loops (y) and against the CPU twin in double, whose gradients
// tests/kernels/gru_test.cpp checks by central differences.
#include <gtest/gtest.h>

#include <limits>
#include <tuple>
#include <vector>

#include "core/check.h"
#include "core/work_graph.h"
#include "kernels/cuda/gru_parts.h"
#include "kernels/cuda/gru_persistent.h"
#include "tests/support/compare.h"
#include "tests/support/gru_run.h"

namespace emer {
namespace {

using test::GruCase;

std::vector<std::int32_t> ragged(int n, int steps) {
  std::vector<std::int32_t> lengths;
  for (int i = 0; i < n; ++i) lengths.push_back(1 + (i * 5 + 3) % steps);
  return lengths;
}

// y of a step adds at most in + H + 8 roundings of numbers below (in + H) * .5 in size, as in
// tests/kernels/gru_test.cpp; the way back through a step adds 3H + 8 more, and parameters are sums over rows and
// steps of what all these left. Twice that, for the device's exp and tanh. Relative to the largest entry.
double bound(const GruCase& c, double epsilon) {
  return static_cast<double>(c.steps() * (c.in() + 4 * c.hidden() + 16)) * 2 * epsilon;
}

// Relative to the largest entry of each array, so that a small one is not hidden by a large one.
void expect_near(const GruCase& c, const test::GruResult<float>& got, const test::GruResult<double>& want,
                 double tolerance) {
  EXPECT_TRUE(test::near_relative(got.y, want.y, tolerance));
  ASSERT_EQ(got.gradient.size(), want.gradient.size());
  std::size_t at = 0;
  const auto part = [&](std::size_t count, const char* name) {
    const auto begin = static_cast<std::ptrdiff_t>(at), end = static_cast<std::ptrdiff_t>(at + count);
    at += count;
    EXPECT_TRUE(test::near_relative(
        std::vector<float>(got.gradient.begin() + begin, got.gradient.begin() + end),
        std::vector<double>(want.gradient.begin() + begin, want.gradient.begin() + end), tolerance))
        << name;
  };
  part(c.inputs(), "dx");
  for (int d = 0; d < 2; ++d) {
    part(c.parts()[0], "input_weight");
    part(c.parts()[1], "recurrent_weight");
    part(c.parts()[2], "bias");
    part(c.parts()[3], "recurrent_bias");
  }
}

class GruTwin : public test::TwinTest,
                public ::testing::WithParamInterface<std::tuple<GruReset, GateActivation, GruKernel>> {
 protected:
  GruCase of(int steps, int in, int hidden, std::vector<std::int32_t> lengths) const {
    GruCase c = test::gru_case(std::get<0>(GetParam()), std::get<1>(GetParam()), steps, in, hidden,
                               std::move(lengths));
    c.sizes.kernel = std::get<2>(GetParam());
    return c;
  }
  static test::GruResult<float> on_cuda(const GruCase& c, const std::vector<double>& p,
                                        const std::vector<double>& dy, float start = 0,
                                        Precision precision = Precision::kFp32) {
    Context ctx(DeviceKind::kCuda);
    ctx.set_precision(precision);
    return test::run_gru<float>(ctx, c, p, dy, start);
  }
  static test::GruResult<double> on_cpu(const GruCase& c, const std::vector<double>& p,
                                        const std::vector<double>& dy) {
    Context ctx;
    return test::run_gru<double>(ctx, c, p, dy);
  }
};

TEST_P(GruTwin, EqualsTheCpu) {
  // More than 256 rows and steps: two parts of the sums over them.
  for (const GruCase& c :
       {of(1, 1, 1, {1}), of(1, 2, 2, {1, 1}), of(2, 5, 1, ragged(31, 2)), of(5, 1, 33, ragged(2, 5)),
        of(5, 2, 31, ragged(33, 5)), of(2, 5, 64, ragged(1, 2)), of(5, 5, 33, {1, 1, 1}), of(5, 4, 2, {5}),
        of(9, 2, 3, ragged(33, 9)), of(1, 5, 257, {1, 1}), of(5, 3, 64, ragged(31, 5))}) {
    SCOPED_TRACE(::testing::Message()
                 << "n " << c.rows() << ", T " << c.steps() << ", in " << c.in() << ", H " << c.hidden());
    const auto p = test::gru_point(c, 31), dy = test::uniform<double>(c.outputs(), -1, 1, 32);
    const auto got = on_cuda(c, p, dy);
    EXPECT_TRUE(test::near_relative(got.y, test::gru_by_loops(c, p), bound(c, 6.0e-8)));
    expect_near(c, got, on_cpu(c, p, dy), bound(c, 6.0e-8));
  }
}

TEST_P(GruTwin, InferenceEqualsTrainingBitForBit) {
  // 18 steps: wide inputs are projected 16 steps at a time where nothing is kept.
  for (const GruCase& c : {of(18, 5, 3, ragged(3, 18)), of(18, 2, 33, ragged(2, 18))}) {
    const auto p = test::gru_point(c, 33);
    const std::vector<double> dy(c.outputs(), 1.0);
    EXPECT_EQ(on_cuda(c, p, {}).y, on_cuda(c, p, dy).y);
  }
}

TEST_P(GruTwin, RunsAreBitIdentical) {
  const GruCase c = of(5, 5, 33, ragged(31, 5));
  const auto p = test::gru_point(c, 34), dy = test::uniform<double>(c.outputs(), -1, 1, 35);
  const auto first = on_cuda(c, p, dy), second = on_cuda(c, p, dy);
  EXPECT_EQ(first.y, second.y);
  EXPECT_EQ(first.gradient, second.gradient);
}

TEST_P(GruTwin, ParameterGradientsAccumulate) {
  for (const int in : {3, 5}) {
    const GruCase c = of(4, in, 5, {2, 4, 1, 4, 3});
    const auto p = test::gru_point(c, 36), dy = test::uniform<double>(c.outputs(), -1, 1, 37);
    const auto from_zero = on_cuda(c, p, dy).gradient, from_ten = on_cuda(c, p, dy, 10.0f).gradient;
    // One rounding of a number below 32.
    for (std::size_t k = 0; k < c.size(); ++k)
      EXPECT_NEAR(from_ten[k] - (k < c.inputs() ? 0.0f : 10.0f), from_zero[k], 4e-6);
  }
}

TEST_P(GruTwin, StepsPastTheLengthChangeNothing) {
  for (const int in : {2, 12}) {
    const GruCase c = of(5, in, 20, {3, 5, 1, 5, 2, 4});
    auto p = test::gru_point(c, 38);
    const auto dy = test::uniform<double>(c.outputs(), -1, 1, 39);
    const auto clean = on_cuda(c, p, dy);
    for (std::size_t k = 0; k < c.inputs(); ++k)
      if (!c.valid_input(k)) p[k] = std::numeric_limits<double>::quiet_NaN();
    const auto poisoned = on_cuda(c, p, dy);
    EXPECT_EQ(poisoned.y, clean.y);
    EXPECT_EQ(poisoned.gradient, clean.gradient);
    for (std::size_t k = 0; k < c.inputs(); ++k)
      if (!c.valid_input(k)) {
        ASSERT_EQ(clean.gradient[k], 0.0f);
      }
    EXPECT_EQ(on_cuda(c, p, {}).y, clean.y);
  }
}

TEST_P(GruTwin, NanInAValidStepReachesItsRowOnly) {
  for (const int in : {2, 5}) {
    const GruCase c = of(5, in, 6, {5, 3, 4});
    auto p = test::gru_point(c, 40);
    p[c.steps() * c.in()] = std::numeric_limits<double>::quiet_NaN();  // row 1, step 0
    const auto y = on_cuda(c, p, {}).y;
    for (std::size_t k = 0; k < y.size(); ++k) EXPECT_EQ(std::isnan(y[k]), k / 12 == 1) << k;
  }
}

TEST_P(GruTwin, RecordedWorkTakesTheLengthsOfItsLaunch) {
  for (const int in : {2, 5}) {
    const GruCase c = of(6, in, 7, ragged(5, 6)), other = of(6, in, 7, {6, 1, 2, 6, 1});
    const auto p = test::gru_point(c, 41), dy = test::uniform<double>(c.outputs(), -1, 1, 42);
    Context ctx(DeviceKind::kCuda);
    Tensor<std::int32_t> lengths(ctx, {5}, c.lengths);
    test::GruRun<float> warm(ctx, c, p, dy);
    warm.run(ctx, lengths.data());
    test::GruRun<float> recorded(ctx, c, p, dy);
    WorkGraph graph(ctx, [&] { recorded.run(ctx, lengths.data()); });
    lengths.from_host(ctx, other.lengths);
    graph.launch(ctx);
    const auto got = recorded.read(), want = on_cuda(other, p, dy);
    EXPECT_EQ(got.y, want.y);
    EXPECT_EQ(got.gradient, want.gradient);
  }
}

TEST_P(GruTwin, RoundedPrecisionsAreNearDouble) {
  const GruCase c = of(5, 5, 33, ragged(31, 5));
  const auto p = test::gru_point(c, 43), dy = test::uniform<double>(c.outputs(), -1, 1, 44);
  const auto want = on_cpu(c, p, dy);
  // Operands are rounded by 2^-9 (bf16) or 2^-11 (tf32) of their size. Sums of some 40 such products, of both
  // signs, err by some sqrt(40) roundings of numbers below .7, gates contract that by 4, and 2 * 5 steps there and
  // back each add theirs: about 20 roundings.
  expect_near(c, on_cuda(c, p, dy, 0, Precision::kBf16), want, 20.0 / 512);
  expect_near(c, on_cuda(c, p, dy, 0, Precision::kTf32), want, 20.0 / 2048);
}

TEST_P(GruTwin, LengthsOutsideTheArraysStayInside) {
  const GruCase c = of(3, 5, 4, {3, 3}), other = of(3, 5, 4, {3, 3});
  const auto p = test::gru_point(c, 45), dy = test::uniform<double>(c.outputs(), -1, 1, 46);
  Context ctx(DeviceKind::kCuda);
  Tensor<std::int32_t> lengths(ctx, {2}, std::vector<std::int32_t>{99, 0});
  test::GruRun<float> run(ctx, c, p, dy);
  run.run(ctx, lengths.data());
  const auto got = run.read(), whole = on_cuda(other, p, dy);
  for (std::size_t k = 0; k < 8; ++k) {
    EXPECT_EQ(got.y[k], whole.y[k]);
    EXPECT_EQ(got.y[8 + k], 0.0f);
  }
  for (const float g : got.gradient) EXPECT_TRUE(std::isfinite(g));
}

// The persistent kernel takes gates and activations from the same functions: one activation is enough.
INSTANTIATE_TEST_SUITE_P(
    Forms, GruTwin,
    ::testing::Values(std::tuple{GruReset::kBefore, GateActivation::kSigmoid, GruKernel::kSteps},
                      std::tuple{GruReset::kBefore, GateActivation::kHardSigmoid, GruKernel::kSteps},
                      std::tuple{GruReset::kAfter, GateActivation::kSigmoid, GruKernel::kSteps},
                      std::tuple{GruReset::kAfter, GateActivation::kHardSigmoid, GruKernel::kSteps},
                      std::tuple{GruReset::kBefore, GateActivation::kHardSigmoid, GruKernel::kPersistent},
                      std::tuple{GruReset::kAfter, GateActivation::kSigmoid, GruKernel::kPersistent}));

class GruTiles : public test::TwinTest,
                 public ::testing::WithParamInterface<std::tuple<GruReset, Precision, int>> {};

TEST_P(GruTiles, EveryShapeEqualsTheCpu) {
  const auto [reset, precision, shape] = GetParam();
  // 130 rows and 33 units: a tile or slice more than whole ones for every shape. One group: its blocks take several
  // tiles in turn; that does not depend on the precision.
  for (const int most_groups : {0, 1}) {
    if (precision == Precision::kBf16 && most_groups == 0) continue;
    const GruCase c = test::gru_case(reset, GateActivation::kSigmoid, 3, 2, 33, ragged(130, 3));
    const auto p = test::gru_point(c, 47), dy = test::uniform<double>(c.outputs(), -1, 1, 48);
    Context ctx(DeviceKind::kCuda), cpu;
    ctx.set_precision(precision);
    test::GruRun<float> run(ctx, c, p, dy);
    const cuda::GruTiling tiling{.shape = shape, .most_groups = most_groups};
    run.forward = [&](Context& on, const GruForward<float>& a) {
      cuda::gru_forward_persistent(on, a, tiling);
    };
    run.backward = [&](Context& on, const GruBackward<float>& a) {
      cuda::gru_backward_persistent(on, a, tiling);
      cuda::gru_parameter_gradients(on, a);
    };
    run.run(ctx);
    // bf16: as RoundedPrecisionsAreNearDouble, with 2 * 3 steps there and back.
    expect_near(c, run.read(), test::run_gru<double>(cpu, c, p, dy),
                precision == Precision::kBf16 ? 12.0 / 512 : bound(c, 6.0e-8));
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, GruTiles,
                         ::testing::Combine(::testing::Values(GruReset::kBefore, GruReset::kAfter),
                                            ::testing::Values(Precision::kFp32, Precision::kBf16),
                                            ::testing::Range(0, cuda::kGruTileShapes)));

using GruPersistent = test::TwinTest;

TEST_F(GruPersistent, SaysThatTheStateIsTooWide) {
  Context ctx(DeviceKind::kCuda);
  for (const GruReset reset : {GruReset::kBefore, GruReset::kAfter}) {
    GruForward<float> a;
    a.n = 1;
    a.sizes = {.max_steps = 1, .in = 1, .hidden = 65536, .reset = reset};
    try {
      cuda::gru_forward_persistent(ctx, a);
      FAIL() << "65536 units cannot fit";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kDevice);
      EXPECT_NE(std::string(error.what()).find("65536 hidden units"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace emer
