// The search for the fastest convolution kernels: what it says, keeps and takes back, on a small network.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "core/file.h"
#include "engine/conv_choices.h"
#include "engine/conv_tuner.h"
#include "layers/conv_stack.h"
#include "tests/support/device_run.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"
#ifdef EMER_SIMT
#include <simt_cudnn.h>
#endif

namespace emer {
namespace {

VggishConfig small_network() {
  VggishConfig config;
  config.channels = {8, 16, 16, 8, 8, 8};
  return config;
}

struct Tuned {
  std::array<ConvKernel, 6> kernels;
  std::vector<std::string> lines;
};

Tuned tune(Context& ctx, const std::string& cache_file, bool backward = true) {
  const test::UncheckedAccesses quick;
  Tuned tuned;
  tuned.kernels = tune_conv_kernels(ctx, small_network(),
                                    {.patches = 1,
                                     .backward = backward,
                                     .runs = 1,
                                     .cache_file = cache_file,
                                     .note = [&](const std::string& line) { tuned.lines.push_back(line); }});
  return tuned;
}

class ConvTunerTwin : public test::TwinTest {
 protected:
  test::TemporaryFolder folder_;
};

TEST_F(ConvTunerTwin, TriesEveryKernelOnceAndKeepsTheChoice) {
  Context ctx(DeviceKind::kCuda);
  ctx.set_precision(Precision::kBf16);
  const std::string file = folder_ / "kept/conv_kernels.json";
  const Tuned first = tune(ctx, file);
  ASSERT_EQ(first.lines.size(), 6u);
  const auto shapes = vggish_shapes(small_network());
  for (std::size_t k = 0; k < 6; ++k) {
    const std::string& line = first.lines[k];
    EXPECT_TRUE(test::contains(line, "1 patches: ")) << line;
    EXPECT_TRUE(test::contains(line, "plain ")) << line;
    EXPECT_TRUE(test::contains(line, std::string(" -> ") + name_of(first.kernels[k]))) << line;
    EXPECT_EQ(line.find("left out"), std::string::npos) << line;
    const bool mma = conv_kernel_refusal(ctx, shapes[k], ConvKernel::kMma, true).empty();
    EXPECT_EQ(line.find("mma ") != std::string::npos, mma) << line;
  }
  EXPECT_TRUE(test::contains(first.lines[1], "conv2 8x16 at 48x32, "));

  const Tuned second = tune(ctx, file);
  EXPECT_EQ(second.kernels, first.kernels);
  ASSERT_EQ(second.lines.size(), 6u);
  for (const std::string& line : second.lines) EXPECT_TRUE(test::contains(line, "as found before")) << line;
}

TEST_F(ConvTunerTwin, AnotherPrecisionOrDirectionIsAnotherChoice) {
  Context ctx(DeviceKind::kCuda);
  const std::string file = folder_ / "conv_kernels.json";
  tune(ctx, file, false);
  std::string problem;
  const std::size_t kept = load_conv_choices(file, problem).size();
  EXPECT_EQ(kept, 6u);
  ctx.set_precision(Precision::kTf32);
  for (const std::string& line : tune(ctx, file, false).lines)
    EXPECT_EQ(line.find("as found before"), std::string::npos) << line;
  EXPECT_EQ(load_conv_choices(file, problem).size(), 2 * kept);
}

TEST_F(ConvTunerTwin, DamageIsNoChoiceAndOneLine) {
  Context ctx(DeviceKind::kCuda);
  const std::string file = folder_.write("conv_kernels.json", "{\"schema\":");
  const Tuned tuned = tune(ctx, file, false);
  ASSERT_EQ(tuned.lines.size(), 7u);
  EXPECT_TRUE(test::contains(tuned.lines[0], "is damaged and is made anew"));
  std::string problem;
  EXPECT_EQ(load_conv_choices(file, problem).size(), 6u);
  EXPECT_EQ(problem, "");
}

#ifdef EMER_SIMT
TEST_F(ConvTunerTwin, AKernelThatErrsIsLeftOutAndNamed) {
  Context ctx(DeviceKind::kCuda);
  ctx.set_precision(Precision::kBf16);
  simt::set_cudnn_faulty(true);
  const Tuned tuned = tune(ctx, "");
  simt::set_cudnn_faulty(false);
  ASSERT_EQ(tuned.lines.size(), 6u);
  for (std::size_t k = 0; k < 6; ++k) {
    EXPECT_NE(tuned.kernels[k], ConvKernel::kCudnn);
    EXPECT_TRUE(test::contains(tuned.lines[k], "; cudnn left out: ")) << tuned.lines[k];
    EXPECT_TRUE(test::contains(tuned.lines[k], " differs")) << tuned.lines[k];
  }
}
#endif

}  // namespace
}  // namespace emer
