// 16-bit sound on the device to VGGish's vectors: front end and network, one behind the other.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "bench/case.h"
#include "bench/cases/log_mel_loops.h"
#include "bench/cases/vggish_fill.h"
#include "bench/cases/vggish_loops.h"
#include "bench/values.h"
#include "core/tensor.h"
#include "kernels/log_mel.h"
#include "layers/vggish.h"

namespace emer::bench {

namespace {

class VggishPcmCase final : public Prepared {
 public:
  VggishPcmCase(Context& ctx, const std::string& precision, std::int64_t clips, std::int64_t length,
                const VggishConfig& config)
      : ctx_(ctx), precision_(precision), network_(ctx, config) {
    std::vector<std::int64_t> offsets;
    for (std::int64_t clip = 0; clip <= clips; ++clip) offsets.push_back(clip * length);
    starts_ = log_mel_starts(offsets);
    samples_ = uploaded<std::int16_t>(ctx, {clips * length}, pcm_sample_at);
    first_sample_.resize(ctx, {patches()});
    first_sample_.from_host(ctx, starts_);
    log_mel_.resize(ctx, {patches(), kLogMelFrames, kLogMelBands});
    network_.append_parameters(list_);
    fill_vggish(ctx, list_);
  }

  Verdict verify() override {
    Verdict verdict;
    verdict.how =
        "the last patch against a DFT by its sum and double loops; every vector a number, and its own";
    poison(ctx_, log_mel_);
    run();
    VggishArrays arrays;
    for (const auto* p : list_) arrays.push_back(p->parameter.value.to_host(ctx_));
    VggishLoops loops(network_.config(), arrays);
    std::vector<float> patch;
    for (std::int64_t frame = 0; frame < kLogMelFrames; ++frame)
      for (const double band : log_mel_frame_loops(starts_.back() + frame * kLogMelHop))
        patch.push_back(static_cast<float>(band));
    const std::vector<double> want = loops.forward(patch);
    const auto width = static_cast<std::int64_t>(want.size());
    const std::vector<float> got = read_back(ctx_, y_, patches() * width);
    // Nine layers, and what goes into the first is itself computed.
    verdict.array<float>("y", {got.end() - width, got.end()}, want,
                         32.0 * operand_rounding(precision_) + 2e-5);
    std::int64_t wrong = 0;
    for (std::int64_t p = 0; p < patches(); ++p) {
      const auto row = got.begin() + p * width;
      wrong += !std::all_of(row, row + width, [](float value) { return std::isfinite(value); }) ||
               (p > 0 && std::equal(row, row + width, row - width));
    }
    verdict.compare("vectors that are no numbers or the one before", static_cast<double>(wrong), 0.0);
    return verdict;
  }

  void run() override {
    log_mel<float, std::int16_t>(ctx_, {.patches = patches(),
                                        .sample_count = static_cast<std::int64_t>(samples_.size()),
                                        .samples = samples_.data(),
                                        .first_sample = first_sample_.data(),
                                        .out = log_mel_.data()});
    y_ = network_.forward(ctx_, static_cast<int>(patches()), 1, log_mel_.data(), nullptr, false);
  }

  double flops() const override {
    return log_mel_flops(patches()) + vggish_flops(network_.config(), static_cast<double>(patches()), false);
  }
  double audio_hours() const override { return static_cast<double>(samples_.size()) / kLogMelRate / 3600.0; }
  std::string note() const override {
    return fmt::format("{} patches of 0.96 s; times are of all", patches());
  }

 private:
  std::int64_t patches() const { return static_cast<std::int64_t>(starts_.size()); }

  Context& ctx_;
  std::string precision_;
  Vggish<float> network_;
  std::vector<InitialisedParameter<float>*> list_;
  std::vector<std::int64_t> starts_;
  Tensor<std::int16_t> samples_;
  Tensor<std::int64_t> first_sample_;
  Tensor<float> log_mel_;
  const float* y_ = nullptr;
};

Case vggish_pcm(Size size, std::int64_t clips, std::int64_t samples, const VggishConfig& config = {}) {
  const std::int64_t n = clips * log_mel_patches(samples);
  Extents extents{{"n", n}, {"clips", clips}, {"samples", samples}};
  for (std::size_t k = 0; k < 6; ++k) extents.emplace_back(fmt::format("channels{}", k), config.channels[k]);
  for (std::size_t k = 0; k < 3; ++k) extents.emplace_back(fmt::format("dense{}", k), config.dense[k]);
  return {fmt::format("vggish_pcm_{}", n),
          "vggish_pcm",
          fmt::format("{} clips of {} samples, 16 bits, to {} vectors of VGGish of {}..{} channels", clips,
                      samples, n, config.channels[0], config.channels[5]),
          size,
          extents,
          {"bf16", "tf32", "fp32"},
          [=](Context& ctx, const std::string& precision) {
            return std::make_unique<VggishPcmCase>(ctx, precision, clips, samples, config);
          }};
}

}  // namespace

std::vector<Case> vggish_pcm_cases() {
  VggishConfig tiny;
  tiny.channels = {2, 3, 2, 4, 3, 2};
  tiny.dense = {6, 5, 3};
  constexpr std::int64_t kOf32Patches = 31 * kLogMelPatchHop + kLogMelPatchSamples;
  return {vggish_pcm(Size::kTiny, 2, 32000, tiny), vggish_pcm(Size::kPaper, 1, 480000),
          vggish_pcm(Size::kScale, 16, kOf32Patches)};
}

}  // namespace emer::bench
