// Convolution blocks of every kernel that the device has, against the formula; every size that is no multiple of
// anything.
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/refusal.h"
#include "tests/twins/conv_run.h"

namespace emer {
namespace {

using ConvBlockTwin = test::TwinTest;
using test::ConvCase;
using test::Floats;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// n, height, width, in, out, pool
const std::vector<ConvShape> kShapes = {
    {1, 1, 2, 1, 1, false},   {2, 1, 2, 3, 5, false},   {1, 2, 2, 1, 1, true},   {3, 6, 4, 16, 64, true},
    {5, 6, 4, 20, 72, false}, {2, 6, 4, 3, 5, true},    {2, 9, 7, 4, 68, false}, {1, 6, 4, 64, 132, true},
    {1, 96, 64, 3, 4, true},  {1, 18, 64, 1, 72, true},
};

TEST_F(ConvBlockTwin, PlainIsTheFormula) {
  std::uint64_t seed = 10;
  for (const ConvShape& shape : kShapes) {
    test::expect_conv<float>({.shape = shape}, seed += 10);
    if (HasFatalFailure()) return;
    test::expect_conv<BFloat16>({.shape = shape}, seed += 10);
    if (HasFatalFailure()) return;
  }
}

// One input channel has kernels of its own where the input needs no gradient.
TEST_F(ConvBlockTwin, OneChannelIsTheFormula) {
  const std::vector<ConvShape> shapes = {{1, 2, 2, 1, 1, true},
                                         {2, 6, 4, 1, 5, true},
                                         {3, 10, 34, 1, 64, true},
                                         {1, 96, 64, 1, 8, true},
                                         {2, 4, 6, 1, 72, true}};
  for (const ConvShape& shape : shapes) {
    test::expect_conv<float>({.shape = shape, .needs_dx = false}, 1);
    if (HasFatalFailure()) return;
    test::expect_conv<BFloat16>({.shape = shape, .needs_dx = false}, 2);
    if (HasFatalFailure()) return;
  }
}

// Arrays that begin at no multiple of four elements are taken element by element.
TEST_F(ConvBlockTwin, TakesArraysThatLieBadly) {
  for (const int in : {1, 8}) {
    const ConvCase c{.shape = {2, 4, 6, in, 12, true}, .needs_dx = in != 1, .shift = 1};
    test::expect_conv<float>(c, 3);
    if (HasFatalFailure()) return;
    test::expect_conv<BFloat16>(c, 4);
    if (HasFatalFailure()) return;
  }
}

// What the tests ask of a kernel that not every device or build has: an empty refusal, or to be left out with it.
std::string refusal_of(const ConvCase& c, bool stored_bf16) {
  Context ctx(DeviceKind::kCuda);
  ctx.set_precision(c.precision);
  return conv_kernel_refusal(ctx, c.shape, c.kernel, stored_bf16);
}

TEST_F(ConvBlockTwin, CudnnIsTheFormula) {
  if (const std::string missing = refusal_of({.shape = kShapes[3], .kernel = ConvKernel::kCudnn}, false);
      !missing.empty()) {
#ifdef EMER_SIMT
    FAIL() << "the harness has cuDNN, but: " << missing;
#endif
    GTEST_SKIP() << missing;
  }
  std::uint64_t seed = 500;
  for (const ConvShape& shape : kShapes)
    for (const Precision precision : {Precision::kFp32, Precision::kTf32, Precision::kBf16}) {
      const ConvCase c{.shape = shape, .kernel = ConvKernel::kCudnn, .precision = precision};
      if (refusal_of(c, false).empty()) test::expect_conv<float>(c, seed += 10);
      if (HasFatalFailure()) return;
      if (precision == Precision::kBf16 && refusal_of(c, true).empty())
        test::expect_conv<BFloat16>(c, seed += 10);
      if (HasFatalFailure()) return;
    }
}

TEST_F(ConvBlockTwin, CudnnRecordedIsCudnn) {
  const ConvShape shape{2, 8, 6, 16, 16, true};
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    ConvCase c{.shape = shape, .kernel = ConvKernel::kCudnn, .precision = precision};
    if (const std::string missing = refusal_of(c, false); !missing.empty()) GTEST_SKIP() << missing;
    const auto in = test::conv_inputs<float>(shape, 5);
    const auto first = test::run_conv<float>(DeviceKind::kCuda, c, in);
    c.recorded = true;
    EXPECT_EQ(test::run_conv<float>(DeviceKind::kCuda, c, in), first);
  }
}

TEST_F(ConvBlockTwin, TwoRunsAndARecordedOneHaveTheSameBits) {
  for (const ConvShape& shape : {ConvShape{2, 32, 20, 8, 12, true}, ConvShape{2, 20, 18, 1, 8, true}}) {
    ConvCase c{.shape = shape, .needs_dx = shape.in != 1};
    const auto in = test::conv_inputs<float>(shape, 5);
    const auto first = test::run_conv<float>(DeviceKind::kCuda, c, in);
    EXPECT_EQ(test::run_conv<float>(DeviceKind::kCuda, c, in), first);
    c.recorded = true;
    EXPECT_EQ(test::run_conv<float>(DeviceKind::kCuda, c, in), first);
  }
}

// Weights of zero: every place of a window is a maximum, the first one counts, also where all are cut off by ReLU.
TEST_F(ConvBlockTwin, TiesGoToTheFirstPlace) {
  for (const int in : {1, 4}) {
    const ConvShape shape{1, 4, 4, in, 4, true};
    auto inputs = test::conv_inputs<float>(shape, 6);
    std::fill(inputs.weight.begin(), inputs.weight.end(), 0.0f);
    inputs.bias = {1, -1, 0, 2};
    const auto got = test::run_conv<float>(DeviceKind::kCuda, {.shape = shape, .needs_dx = in != 1}, inputs);
    EXPECT_EQ(got.argmax, test::Bytes(16, 0));
    for (std::size_t i = 0; i < got.y.size(); ++i) EXPECT_EQ(got.y[i], std::max(0.0f, inputs.bias[i % 4]));
  }
}

// A NaN reaches the outputs whose window sees it, and no other.
TEST_F(ConvBlockTwin, KeepsNaN) {
  for (const int in : {1, 4})
    for (const bool pool : {false, true}) {
      const ConvShape shape{1, 6, 8, in, 4, pool};
      auto inputs = test::conv_inputs<float>(shape, 7);
      inputs.x[static_cast<std::size_t>((0 * 8 + 7) * in)] =
          kNaN;  // the upper right corner: seen by 2 x 2 pixels
      const auto got =
          test::run_conv<float>(DeviceKind::kCuda, {.shape = shape, .needs_dx = in != 1}, inputs);
      const int reach = pool ? 1 : 2;
      for (int i = 0; i < shape.out_height(); ++i)
        for (int j = 0; j < shape.out_width(); ++j)
          for (int o = 0; o < 4; ++o)
            EXPECT_EQ(std::isnan(got.y[static_cast<std::size_t>((i * shape.out_width() + j) * 4 + o)]),
                      i < reach && j >= shape.out_width() - reach)
                << i << " " << j << " pool " << pool;
    }
}

TEST_F(ConvBlockTwin, ForwardAloneNeedsNoPlaces) {
  for (const int in : {1, 4}) {
    const ConvShape shape{1, 4, 4, in, 4, true};
    const auto inputs = test::conv_inputs<float>(shape, 8);
    const auto want = test::run_conv<float>(DeviceKind::kCuda, {.shape = shape}, inputs);
    Context ctx(DeviceKind::kCuda);
    test::DeviceArray<float> x(ctx, inputs.x), weight(ctx, inputs.weight), bias(ctx, inputs.bias);
    auto y = test::DeviceArray<float>::poisoned(ctx, want.y.size());
    conv_block_forward<float>(
        ctx, {.shape = shape, .x = x.data(), .weight = weight.data(), .bias = bias.data(), .y = y.data()});
    EXPECT_EQ(y.read(), want.y);
  }
}

}  // namespace
}  // namespace emer
