// VGGish on a batch of patches: forward alone, and forward with backward.
#include <fmt/core.h>

#include <cmath>

#include "bench/case.h"
#include "bench/cases/vggish_fill.h"
#include "bench/cases/vggish_loops.h"
#include "bench/values.h"
#include "core/tensor.h"
#include "engine/conv_tuner.h"
#include "layers/vggish.h"

namespace emer::bench {

namespace {

constexpr std::int64_t kPatch = std::int64_t{VggishConfig::kFrames} * VggishConfig::kBands;

class VggishCase final : public Prepared {
 public:
  // `kernels`: what the reader is told of the convolutions' kernels.
  VggishCase(Context& ctx, const std::string& precision, int n, const VggishConfig& config, bool train,
             std::string kernels = {})
      : ctx_(ctx),
        precision_(precision),
        n_(n),
        train_(train),
        kernels_(std::move(kernels)),
        network_(ctx, config) {
    network_.append_parameters(list_);
    fill_vggish(ctx, list_);
    x_ = uploaded<float>(ctx, {n, kPatch}, input_at);
    dy_ = Tensor<float>(ctx, {n, config.dense[2]});
    fill_dy(true);
  }

  // The last patch all the way; then all gradients, with a gradient of the result that is zero but in that patch.
  Verdict verify() override {
    Verdict verdict;
    verdict.how = train_ ? "the last patch and the gradients it alone gives, against double loops"
                         : "the last patch against double loops";
    fill_dy(false);
    run();
    VggishArrays arrays;
    for (const auto* p : list_) arrays.push_back(p->parameter.value.to_host(ctx_));
    VggishLoops loops(network_.config(), arrays);
    std::vector<float> patch;
    for (std::int64_t i = 0; i < kPatch; ++i)
      patch.push_back(static_cast<float>(input_at((n_ - 1) * kPatch + i)));
    const std::vector<double> want = loops.forward(patch);
    const auto width = static_cast<std::int64_t>(want.size());
    // Nine layers; what is stored between them is rounded as operands are.
    verdict.array<float>("y", read_back(ctx_, y_ + (n_ - 1) * width, width), want,
                         32.0 * operand_rounding(precision_) + 1e-5);
    if (train_) {
      std::vector<double> dy;
      for (std::int64_t j = 0; j < width; ++j)
        dy.push_back(static_cast<float>(hashed_at(kGradient, (n_ - 1) * width + j)));
      const auto gradients = loops.backward(dy);
      // Also moved: near maxima, whose places change with the last bit and carry whole gradients to other places. About
      // one window in 1/rounding has such a pair; five layers of windows.
      const double bound = 6.0 * std::sqrt(operand_rounding(precision_));
      for (std::size_t k = 0; k < list_.size(); ++k)
        verdict.array<float>(list_[k]->parameter.name, list_[k]->parameter.gradient.to_host(ctx_),
                             gradients[k], bound);
    }
    fill_dy(true);
    return verdict;
  }

  void run() override {
    if (train_)
      for (auto* p : list_) p->parameter.gradient.zero(ctx_);  // these accumulate
    y_ = network_.forward(ctx_, n_, 1, x_.data(), nullptr, train_);
    if (train_) network_.backward(ctx_, dy_.data());
  }

  double flops() const override { return vggish_flops(network_.config(), static_cast<double>(n_), train_); }
  std::string note() const override {
    return fmt::format("{} patches of 0.96 s; times are of all{}{}", n_, kernels_.empty() ? "" : "; ",
                       kernels_);
  }

 private:
  static constexpr std::uint64_t kInput = 100, kGradient = 101;
  static double input_at(std::int64_t i) { return -1.0 + 3.0 * hashed_at(kInput, i); }
  void fill_dy(bool all) {
    const std::int64_t width = dy_.extent(1), from = all ? 0 : (n_ - 1) * width;
    upload(ctx_, dy_.data(), n_ * width,
           [=](std::int64_t i) { return i < from ? 0.0 : hashed_at(kGradient, i); });
  }

  Context& ctx_;
  std::string precision_;
  std::int64_t n_;
  bool train_;
  std::string kernels_;
  Vggish<float> network_;
  std::vector<InitialisedParameter<float>*> list_;
  Tensor<float> x_, dy_;
  const float* y_ = nullptr;
};

Case vggish(Size size, int n, bool train, const VggishConfig& config = {}) {
  Extents extents{{"n", n}};
  for (std::size_t k = 0; k < 6; ++k) extents.emplace_back(fmt::format("channels{}", k), config.channels[k]);
  for (std::size_t k = 0; k < 3; ++k) extents.emplace_back(fmt::format("dense{}", k), config.dense[k]);
  const char* name = train ? "vggish_step" : "vggish_forward";
  return {fmt::format("{}_{}", name, n),
          name,
          fmt::format("VGGish of {}..{} channels on {} patches, forward{}", config.channels[0],
                      config.channels[5], n, train ? " and backward" : ""),
          size,
          extents,
          {"bf16", "tf32", "fp32"},
          [=](Context& ctx, const std::string& precision) {
            return std::make_unique<VggishCase>(ctx, precision, n, config, train);
          }};
}

// The same by a kernel of the convolutions that is not the default. The CPU has one, so these are rows of tensor-core
// precisions.
Case vggish_by(ConvKernel kernel, Size size, int n, bool train, VggishConfig config = {}) {
  Case one = vggish(size, n, train, config);
  config.kernels = vggish_kernels(kernel);
  one.name = fmt::format("{}_{}_{}", one.group, name_of(kernel), n);
  one.group = "vggish_kernels";
  one.description += fmt::format(", kernel {}", name_of(kernel));
  one.precisions = {"bf16"};
  if (kernel != ConvKernel::kHopper) one.precisions.push_back("tf32");
  one.prepare = [=](Context& ctx, const std::string& precision) {
    return std::make_unique<VggishCase>(ctx, precision, n, config, train);
  };
  return one;
}

// The same by what is found fastest on the device.
Case vggish_tuned(Size size, int n, bool train, const VggishConfig& config = {}) {
  Case one = vggish(size, n, train, config);
  one.name = fmt::format("{}_tune_{}", one.group, n);
  one.group = "vggish_kernels";
  one.description += ", each block's fastest kernel";
  one.precisions = {"bf16", "tf32"};
  one.prepare = [=](Context& ctx, const std::string& precision) {
    VggishConfig tuned = config;
    std::string found;
    tuned.kernels = tune_conv_kernels(ctx, config,
                                      {.patches = n, .backward = train, .note = [&](const std::string& line) {
                                         found += (found.empty() ? "" : "; ") + line;
                                       }});
    return std::make_unique<VggishCase>(ctx, precision, n, tuned, train, found);
  };
  return one;
}

}  // namespace

std::vector<Case> vggish_cases() {
  VggishConfig tiny;
  tiny.channels = {2, 3, 2, 4, 3, 2};
  tiny.dense = {6, 5, 3};
  std::vector<Case> all{vggish(Size::kTiny, 2, false, tiny), vggish(Size::kTiny, 2, true, tiny),
                        vggish(Size::kPaper, 31, false),     vggish(Size::kPaper, 31, true),
                        vggish(Size::kScale, 512, false),    vggish(Size::kScale, 512, true)};
  VggishConfig eights = tiny;  // as many channels as mma takes
  eights.channels = {16, 16, 16, 24, 16, 16};
  all.push_back(vggish_by(ConvKernel::kMma, Size::kTiny, 1, true, eights));
  for (const ConvKernel kernel : {ConvKernel::kMma, ConvKernel::kHopper})
    for (const bool train : {false, true}) {
      all.push_back(vggish_by(kernel, Size::kPaper, 31, train));
      all.push_back(vggish_by(kernel, Size::kScale, 512, train));
    }
  for (const bool train : {false, true}) {
    all.push_back(vggish_by(ConvKernel::kCudnn, Size::kScale, 512, train));
    all.push_back(vggish_tuned(Size::kScale, 512, train));
  }
  return all;
}

}  // namespace emer::bench
