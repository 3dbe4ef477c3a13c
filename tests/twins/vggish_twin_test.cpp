// VGGish on CUDA, float and with bfloat16 between the convolutions, against the CPU in float. Weights are few and 1 or
// -1, so that every value and gradient is a small integer, which bfloat16 holds: all must agree to the bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "layers/vggish.h"
#include "tests/layers/vggish_run.h"
#include "tests/support/device_run.h"

namespace emer {
namespace {

using VggishTwin = test::TwinTest;

// Two taps of each convolution's unit, one feature of each unit of the first dense layer, one neighbour behind it; biases
// of 1, so that most units are on and gradients come through all layers.
void fill_sparse(test::VggishRun<float>& run) {
  std::uint64_t seed = 20;
  const auto draw = [&](double high) { return test::uniform<double>(1, 0, high, ++seed)[0]; };
  for (std::size_t k = 0; k < run.list.size(); ++k) {
    Tensor<float>& value = run.list[k]->parameter.value;
    std::vector<float> values(value.size(), k % 2 == 1 ? 1.0f : 0.0f);
    const auto units = static_cast<std::size_t>(value.extent(0)), width = value.size() / units;
    for (std::size_t unit = 0; unit < units && k % 2 == 0; ++unit)
      for (int tap = 0; tap < (k < 12 ? 2 : 1); ++tap) {
        const auto drawn = static_cast<std::size_t>(draw(static_cast<double>(width)));
        values[unit * width + (k <= 12 ? drawn : unit % width)] = draw(1) < 0.2 ? -1.0f : 1.0f;
      }
    value.from_host(run.ctx, values);
  }
}

struct Step {
  std::vector<float> y, gradients;
  std::size_t kept = 0;
};

Step step(DeviceKind kind, Precision precision, const VggishConfig& config, int n, int steps,
          const std::vector<std::int32_t>& lengths) {
  Context ctx(kind);
  ctx.set_precision(precision);
  test::VggishRun<float> run(ctx, config);
  fill_sparse(run);
  const auto rows = static_cast<std::size_t>(n * steps);
  auto x = test::uniform<float>(rows * test::kPatch, -2.5, 3.5, 3);
  auto dy = test::uniform<float>(rows * static_cast<std::size_t>(config.dense[2]), -1.5, 1.5, 4);
  for (auto* values : {&x, &dy})
    for (float& v : *values) v = std::nearbyint(v);
  test::DeviceArray<float> of_x(ctx, x), of_dy(ctx, dy);
  test::DeviceArray<std::int32_t> of_lengths(ctx, lengths);
  const float* y =
      run.network.forward(ctx, n, steps, of_x.data(), lengths.empty() ? nullptr : of_lengths.data(), true);
  Step result;
  result.y.resize(dy.size());
  copy_to_host(ctx, result.y.data(), y, dy.size() * sizeof(float));
  result.kept = run.network.kept_bytes();
  run.network.backward(ctx, of_dy.data());
  result.gradients = run.all(true);
  return result;
}

// The comparisons are of something: gradients have come through all blocks.
void expect_reaches_the_first_block(const Step& step, const VggishConfig& config) {
  const auto first = std::ptrdiff_t{9} * config.channels[0];
  const auto not_zero = std::count_if(step.gradients.begin(), step.gradients.begin() + first,
                                      [](float v) { return v != 0.0f; });
  ASSERT_GE(not_zero, 9);
}

TEST_F(VggishTwin, EqualsTheCpuAlsoWithBf16BetweenTheConvolutions) {
  const test::UncheckedAccesses unchecked;
  VggishConfig whole = test::narrow_vggish();
  whole.dense = {40, 40, 40};
  const std::vector<std::int32_t> lengths{2, 1};
  const Step want = step(DeviceKind::kCpu, Precision::kFp32, whole, 2, 2, lengths);
  expect_reaches_the_first_block(want, whole);
  for (const Precision precision : {Precision::kFp32, Precision::kTf32, Precision::kBf16})
    for (const int piece : {0, 3}) {
      VggishConfig pieces = whole;
      pieces.piece = piece;
      const Step got = step(DeviceKind::kCuda, precision, pieces, 2, 2, lengths);
      EXPECT_EQ(got.y, want.y) << static_cast<int>(precision) << " " << piece;
      EXPECT_EQ(got.gradients, want.gradients) << static_cast<int>(precision) << " " << piece;
      const bool narrow = precision == Precision::kBf16;
      const VggishMemory memory = vggish_memory(whole, 4, narrow ? 2 : 4);
      const std::size_t kept = piece == 0 ? 4 : 1;  // patches of the last piece
      EXPECT_EQ(got.kept, 4 * static_cast<std::size_t>(memory.of_batch) +
                              kept * static_cast<std::size_t>(memory.of_piece));
    }
}

TEST_F(VggishTwin, EqualsTheCpuOnTensorCores) {
  const test::UncheckedAccesses unchecked;
  VggishConfig config;
  config.channels = {16, 16, 16, 16, 16, 16};
  config.dense = {40, 40, 40};
  const Step want = step(DeviceKind::kCpu, Precision::kFp32, config, 1, 1, {});
  expect_reaches_the_first_block(want, config);
  config.kernels.fill(ConvKernel::kMma);
  for (const Precision precision : {Precision::kTf32, Precision::kBf16}) {
    const Step got = step(DeviceKind::kCuda, precision, config, 1, 1, {});
    EXPECT_EQ(got.y, want.y);
    EXPECT_EQ(got.gradients, want.gradients);
  }
}

}  // namespace
}  // namespace emer
