// Convolutions on tensor cores against plain loops in double. With small integers every product and every sum is exact
// in whatever order it is taken, in bfloat16 and in TF32, so that results and places of maxima (with many ties) are the
// same bits; rounding of operands has a test of its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "core/device.h"
#include "kernels/conv_block.h"
#include "kernels/cuda/conv_tensor.h"
#include "tests/reference/conv_reference.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"
#include "tests/twins/conv_run.h"

namespace emer {
namespace {

using cuda::Bf16Bits;

std::vector<double> integers(std::size_t count, int low, int high, std::uint64_t seed) {
  std::vector<double> values = test::uniform(count, low, high + 1, seed);
  for (double& v : values) v = std::floor(v);
  return values;
}

template <class T>
std::vector<T> stored(const std::vector<double>& values) {
  std::vector<T> result;
  for (const double v : values) {
    if constexpr (std::is_same_v<T, Bf16Bits>)
      result.push_back(to_bfloat16(static_cast<float>(v)).bits);
    else
      result.push_back(static_cast<T>(v));
  }
  return result;
}

struct Case {
  ConvShape shape;
  std::vector<double> x, weight, bias;
  explicit Case(const ConvShape& s)
      : shape(s),
        x(integers(pixels() * channels(s.in), -3, 3, 1)),
        weight(integers(9 * channels(s.in) * channels(s.out), -2, 2, 2)),
        bias(integers(channels(s.out), -9, 9, 3)) {}
  std::size_t pixels() const {
    return static_cast<std::size_t>(shape.n) * static_cast<std::size_t>(shape.height) *
           static_cast<std::size_t>(shape.width);
  }
  std::size_t results() const { return pixels() / (shape.pool ? 4 : 1) * channels(shape.out); }
  static std::size_t channels(int count) { return static_cast<std::size_t>(count); }
};

std::string name_of(const ConvShape& s) {
  return std::to_string(s.n) + "x" + std::to_string(s.height) + "x" + std::to_string(s.width) + "x" +
         std::to_string(s.in) + " to " + std::to_string(s.out) + (s.pool ? " with pool" : "");
}

template <class Result>
struct Output {
  std::vector<Result> y;
  std::vector<std::uint8_t> argmax;
  bool operator==(const Output&) const = default;
};

template <class Operand, class Result>
using Product = void (*)(Context&, const cuda::ConvProduct&);

template <class Operand, class Result>
Output<Result> run(Product<Operand, Result> product, const Case& c, bool with_bias = true) {
  Context ctx(DeviceKind::kCuda);
  test::DeviceArray<Operand> x(ctx, stored<Operand>(c.x)), weight(ctx, stored<Operand>(c.weight));
  test::DeviceArray<float> bias(ctx, stored<float>(c.bias));
  auto y = test::DeviceArray<Result>::poisoned(ctx, c.results());
  auto argmax = test::DeviceArray<std::uint8_t>::poisoned(ctx, c.shape.pool ? c.results() : 0);
  product(ctx, {.n = c.shape.n,
                .height = c.shape.height,
                .width = c.shape.width,
                .depth = c.shape.in,
                .columns = c.shape.out,
                .pool = c.shape.pool,
                .source = x.data(),
                .weight = weight.data(),
                .bias = with_bias ? bias.data() : nullptr,
                .result = y.data(),
                .argmax = c.shape.pool ? argmax.data() : nullptr});
  return {y.read(), argmax.read()};
}

template <class Operand, class Result>
void expect_exact(Product<Operand, Result> product, const ConvShape& shape) {
  SCOPED_TRACE(name_of(shape) + ", operands of " + std::to_string(sizeof(Operand)) + " bytes, results of " +
               std::to_string(sizeof(Result)));
  const Case c(shape);
  const auto want = reference::conv_block(shape, c.x, c.weight, c.bias);
  const auto got = run<Operand, Result>(product, c);
  EXPECT_TRUE(got.y == stored<Result>(want.y));
  EXPECT_EQ(got.argmax, want.argmax);
  if (shape.pool) return;
  // Without a bias: no ReLU either.
  Case plain = c;
  std::fill(plain.bias.begin(), plain.bias.end(), 0.0);
  const auto bare = reference::conv_block(shape, c.x, c.weight, plain.bias);
  EXPECT_TRUE((run<Operand, Result>(product, c, false).y == stored<Result>(bare.z)));
}

template <class Operand>
using WeightGradient = void (*)(Context&, const ConvShape&, const Operand*, const Operand*, float*);

template <class Operand>
void expect_weight_gradient(WeightGradient<Operand> gradient_of, const ConvShape& shape) {
  SCOPED_TRACE(name_of(shape) + ", operands of " + std::to_string(sizeof(Operand)) + " bytes");
  const Case c(shape);
  const auto dz = integers(c.pixels() * Case::channels(shape.out), -2, 2, 4);
  const auto before = integers(c.weight.size(), -100, 100, 5);
  std::vector<double> want = before;
  reference::for_each_product(
      shape, [&](std::size_t z, std::size_t w, std::size_t from) { want[w] += dz[z] * c.x[from]; });
  Context ctx(DeviceKind::kCuda);
  test::DeviceArray<Operand> x(ctx, stored<Operand>(c.x)), gradient(ctx, stored<Operand>(dz));
  auto d_weight = test::DeviceArray<float>::poisoned(ctx, want.size());
  const auto start = stored<float>(before);
  copy_to_device(ctx, d_weight.data(), start.data(), start.size() * sizeof(float));
  gradient_of(ctx, shape, x.data(), gradient.data(), d_weight.data());
  EXPECT_TRUE(d_weight.read() == stored<float>(want));
}

// wgmma and TMA are those of compute capability 9.0 alone; the harness has them. By what the device says, not by whether
// the kernels refuse it: that is what is tested.
bool has_wgmma() {
  const DeviceReport report = report_devices();
  return !report.cuda_devices.empty() && report.cuda_devices[0].find("capability 9.0") != std::string::npos;
}
std::vector<ConvKernel> kernels() {
  return has_wgmma() ? std::vector{ConvKernel::kMma, ConvKernel::kHopper} : std::vector{ConvKernel::kMma};
}

class ConvTensorTwin : public test::TwinTest {
 protected:
#ifdef EMER_SIMT
  void SetUp() override {
    simt::set_multiprocessors(1);  // one block works all tiles of a wgmma kernel
    test::TwinTest::SetUp();
  }
  void TearDown() override {
    simt::set_multiprocessors(132);
  }
#endif
};

// Smaller and larger than tiles of 128 pixels and 64 or 128 columns; channels that are no multiple of a stage.
const ConvShape kShapes[] = {
    {.n = 1, .height = 2, .width = 2, .in = 16, .out = 8, .pool = true},
    {.n = 3, .height = 2, .width = 2, .in = 16, .out = 24},
    {.n = 2, .height = 6, .width = 4, .in = 16, .out = 136, .pool = true},
    {.n = 1, .height = 12, .width = 8, .in = 40, .out = 64, .pool = true},
    {.n = 4, .height = 5, .width = 7, .in = 24, .out = 72},
    {.n = 1, .height = 1, .width = 3, .in = 32, .out = 16},
    {.n = 1, .height = 24, .width = 16, .in = 16, .out = 16},
};

TEST_F(ConvTensorTwin, ProductsOfIntegersAreExact) {
  for (const ConvShape& shape : kShapes) {
    expect_exact<Bf16Bits, Bf16Bits>(cuda::conv_mma_product<Bf16Bits, Bf16Bits>, shape);
    expect_exact<Bf16Bits, float>(cuda::conv_mma_product<Bf16Bits, float>, shape);
    expect_exact<float, float>(cuda::conv_mma_product<float, float>, shape);
  }
}

// Widths with and without a pool in registers; the image map's places run over lines and images within a tile, and over
// the last image. Of more than 128 channels, tiles are shared by the blocks of a cluster.
TEST_F(ConvTensorTwin, ProductsOfIntegersByWgmmaAreExact) {
  if (!has_wgmma()) GTEST_SKIP() << "needs compute capability 9.0";
  for (const ConvShape& shape :
       {ConvShape{.n = 3, .height = 2, .width = 8, .in = 64, .out = 16, .pool = true},
        ConvShape{.n = 1, .height = 2, .width = 16, .in = 64, .out = 8, .pool = true},
        ConvShape{.n = 1, .height = 10, .width = 32, .in = 64, .out = 136, .pool = true},
        ConvShape{.n = 3, .height = 2, .width = 64, .in = 64, .out = 8, .pool = true},
        ConvShape{.n = 8, .height = 5, .width = 7, .in = 64, .out = 200},
        ConvShape{.n = 3, .height = 1, .width = 1, .in = 128, .out = 24},
        ConvShape{.n = 2, .height = 6, .width = 4, .in = 64, .out = 64}}) {
    expect_exact<Bf16Bits, Bf16Bits>(cuda::conv_hopper_product<Bf16Bits>, shape);
    if (shape.n == 3) expect_exact<Bf16Bits, float>(cuda::conv_hopper_product<float>, shape);
  }
}

TEST_F(ConvTensorTwin, WeightGradientsOfIntegersAreExact) {
  for (const ConvShape& shape : kShapes) {
    expect_weight_gradient<Bf16Bits>(cuda::conv_mma_weight_gradient, shape);
    expect_weight_gradient<float>(cuda::conv_mma_weight_gradient, shape);
  }
}

// Stages that begin within lines and images, a last one cut off; the last tile of columns has fewer than four boxes.
TEST_F(ConvTensorTwin, WeightGradientsOfIntegersByWgmmaAreExact) {
  if (!has_wgmma()) GTEST_SKIP() << "needs compute capability 9.0";
  for (const ConvShape& shape : {ConvShape{.n = 3, .height = 5, .width = 7, .in = 64, .out = 64},
                                 ConvShape{.n = 9, .height = 12, .width = 8, .in = 64, .out = 192}})
    expect_weight_gradient<Bf16Bits>(cuda::conv_hopper_weight_gradient, shape);
}

// Deep sums and many tiles; the kernels' single accesses have been looked at above.
TEST_F(ConvTensorTwin, LargeImagesAndManyChannelsAreExact) {
  const test::UncheckedAccesses unchecked;
  for (const ConvShape& shape :
       {ConvShape{.n = 1, .height = 96, .width = 64, .in = 16, .out = 8, .pool = true},
        ConvShape{.n = 2, .height = 2, .width = 2, .in = 512, .out = 16, .pool = true},
        ConvShape{.n = 1, .height = 6, .width = 4, .in = 16, .out = 512}}) {
    expect_exact<Bf16Bits, Bf16Bits>(cuda::conv_mma_product<Bf16Bits, Bf16Bits>, shape);
    expect_weight_gradient<Bf16Bits>(cuda::conv_mma_weight_gradient, shape);
  }
}

// Of 1 x 1 images only the middle of the kernel meets anything: 16 products a sum, so that the bound is far below what
// operands without rounding, or cut off instead of rounded, would be off by.
TEST_F(ConvTensorTwin, FloatOperandsAreRoundedToTf32) {
  const auto rounded = [](std::vector<double> values) {
    for (double& v : values) {
      int exponent = 0;
      const double fraction = std::frexp(v, &exponent);
      v = std::ldexp(std::round(std::ldexp(fraction, 11)), exponent - 11);
    }
    return values;
  };
  const ConvShape shape{.n = 7, .height = 1, .width = 1, .in = 16, .out = 16};
  Case c(shape);
  c.x = test::normal(c.x.size(), 0, 1, 6);
  c.weight = test::normal(c.weight.size(), 0, 1, 7);
  c.bias.assign(c.bias.size(), 0.0);
  // What the device is given are floats.
  for (auto* values : {&c.x, &c.weight})
    for (double& v : *values) v = static_cast<double>(static_cast<float>(v));
  // A sum of k products: k roundings, and as many where the tensor cores cut off instead.
  constexpr double kEach = 0x1p-23;
  const auto expect_near = [](const std::vector<float>& got, const std::vector<double>& want,
                              const std::vector<double>& sizes, double bound) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i)
      EXPECT_TRUE(std::abs(static_cast<double>(got[i]) - want[i]) <= bound * sizes[i])
          << i << ": " << got[i] << ", expected " << want[i] << ", sum of sizes " << sizes[i];
  };
  const auto x = rounded(c.x), weight = rounded(c.weight);
  std::vector<double> want(c.results()), sizes(c.results());
  reference::for_each_product(shape, [&](std::size_t z, std::size_t w, std::size_t from) {
    want[z] += weight[w] * x[from];
    sizes[z] += std::abs(weight[w] * x[from]);
  });
  expect_near(run<float, float>(cuda::conv_mma_product<float, float>, c, false).y, want, sizes, 16 * kEach);

  const auto dz = test::normal(c.results(), 0, 1, 8), gradient = rounded(dz);
  std::vector<double> d_want(c.weight.size()), d_sizes(c.weight.size());
  reference::for_each_product(shape, [&](std::size_t z, std::size_t w, std::size_t from) {
    d_want[w] += gradient[z] * x[from];
    d_sizes[w] += std::abs(gradient[z] * x[from]);
  });
  Context ctx(DeviceKind::kCuda);
  test::DeviceArray<float> of_x(ctx, stored<float>(c.x)), of_dz(ctx, stored<float>(dz)),
      d_weight(ctx, std::vector<float>(c.weight.size()));
  cuda::conv_mma_weight_gradient(ctx, shape, of_x.data(), of_dz.data(), d_weight.data());
  expect_near(d_weight.read(), d_want, d_sizes, 7 * kEach);
}

// The whole op: dz, dbias and flipped weights are the plain kernels'.
TEST_F(ConvTensorTwin, BlocksAreTheFormula) {
  const ConvShape pooled{2, 6, 8, 64, 64, true}, even{3, 5, 6, 24, 16, false};
  std::uint64_t seed = 100;
  for (const Precision precision : {Precision::kTf32, Precision::kBf16}) {
    test::expect_conv<float>({.shape = even, .kernel = ConvKernel::kMma, .precision = precision}, seed += 10);
    if (HasFatalFailure()) return;
  }
  test::expect_conv<BFloat16>({.shape = even, .kernel = ConvKernel::kMma, .precision = Precision::kBf16},
                              130);
  if (HasFatalFailure()) return;
  for (const ConvKernel kernel : kernels()) {
    const test::ConvCase c{.shape = pooled, .kernel = kernel, .precision = Precision::kBf16};
    test::expect_conv<float>(c, seed += 10);
    if (HasFatalFailure()) return;
    test::expect_conv<BFloat16>(c, seed += 10);
    if (HasFatalFailure()) return;
  }
}

TEST_F(ConvTensorTwin, TwoRunsAndARecordedOneHaveTheSameBits) {
  for (const ConvKernel kernel : kernels()) {
    const ConvShape two_ranges{6, 12, 8, 16, 16, true}, two_tiles{3, 12, 8, 64, 64, true};
    test::ConvCase c{.shape = kernel == ConvKernel::kMma ? two_ranges : two_tiles,
                     .kernel = kernel,
                     .precision = Precision::kBf16};
    const test::UncheckedAccesses unchecked;
    const auto in = test::conv_inputs<BFloat16>(c.shape, 5);
    const auto first = test::run_conv<BFloat16>(DeviceKind::kCuda, c, in);
    EXPECT_EQ(test::run_conv<BFloat16>(DeviceKind::kCuda, c, in), first);
    c.recorded = true;
    EXPECT_EQ(test::run_conv<BFloat16>(DeviceKind::kCuda, c, in), first);
  }
}

TEST_F(ConvTensorTwin, KernelsSayWhatTheyCannotTake) {
  if (!has_wgmma()) GTEST_SKIP() << "needs compute capability 9.0";
  Context ctx(DeviceKind::kCuda);
  const ConvShape wide{2, 6, 8, 64, 64, true}, narrow{2, 6, 8, 1, 64, true}, odd{2, 6, 8, 64, 60, true};
  const auto refuses = [&](const ConvShape& shape, ConvKernel kernel, Precision precision, bool stored_bf16) {
    ctx.set_precision(precision);
    return !conv_kernel_refusal(ctx, shape, kernel, stored_bf16).empty();
  };
  for (const Precision precision : {Precision::kFp32, Precision::kTf32, Precision::kBf16}) {
    EXPECT_EQ(refuses(wide, ConvKernel::kMma, precision, false), precision == Precision::kFp32);
    EXPECT_EQ(refuses(wide, ConvKernel::kHopper, precision, false), precision != Precision::kBf16);
    for (const ConvKernel kernel : {ConvKernel::kMma, ConvKernel::kHopper}) {
      EXPECT_FALSE(refuses(wide, kernel, precision, true));
      EXPECT_TRUE(refuses(narrow, kernel, precision, true));
      EXPECT_TRUE(refuses(odd, kernel, precision, true));
    }
  }
  EXPECT_TRUE(refuses({2, 6, 10, 64, 64, true}, ConvKernel::kHopper, Precision::kBf16, true));
  EXPECT_FALSE(refuses({2, 6, 10, 64, 64, false}, ConvKernel::kHopper, Precision::kBf16, true));
}

TEST_F(ConvTensorTwin, KeepsNaNThroughReluAndPool) {
  Case c({.n = 1, .height = 4, .width = 4, .in = 16, .out = 8, .pool = true});
  c.x[5] =
      std::numeric_limits<double>::quiet_NaN();  // pixel (0, 0): reaches the four pixels of the first window
  const auto got = run<Bf16Bits, float>(cuda::conv_mma_product<Bf16Bits, float>, c);
  for (std::size_t i = 0; i < got.y.size(); ++i) EXPECT_EQ(std::isnan(got.y[i]), i < 8) << i;
}

}  // namespace
}  // namespace emer
