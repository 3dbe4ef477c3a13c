// The front end: 16-bit sound on the device to log-mel patches.
#include <fmt/core.h>

#include <cmath>

#include "bench/case.h"
#include "bench/cases/log_mel_loops.h"
#include "bench/values.h"
#include "core/tensor.h"
#include "kernels/log_mel.h"

namespace emer::bench {

namespace {

class LogMelCase final : public Prepared {
 public:
  LogMelCase(Context& ctx, std::int64_t clips, std::int64_t length) : ctx_(ctx), count_(clips * length) {
    std::vector<std::int64_t> offsets;
    for (std::int64_t clip = 0; clip <= clips; ++clip) offsets.push_back(clip * length);
    starts_ = log_mel_starts(offsets);
    patches_ = static_cast<std::int64_t>(starts_.size());
    samples_ = uploaded<std::int16_t>(ctx, {count_}, pcm_sample_at);
    first_sample_.resize(ctx, {patches_});
    first_sample_.from_host(ctx, starts_);
    out_.resize(ctx, {patches_, kLogMelFrames, kLogMelBands});
  }

  Verdict verify() override {
    Verdict verdict;
    verdict.how =
        "frames of patches from first to last against a DFT by its sum in double; every value a number";
    poison(ctx_, out_);
    run();
    const std::int64_t frames = patches_ * kLogMelFrames, checked = std::min<std::int64_t>(frames, 48);
    for (std::int64_t c = 0; c < checked; ++c) {
      const std::int64_t frame = checked == 1 ? 0 : c * (frames - 1) / (checked - 1);
      const std::vector<double> want = log_mel_frame_loops(
          starts_[static_cast<std::size_t>(frame / kLogMelFrames)] + frame % kLogMelFrames * kLogMelHop);
      const auto got = read_back(ctx_, out_.data() + frame * kLogMelBands, kLogMelBands);
      double worst = 0.0;
      for (std::size_t i = 0; i < want.size(); ++i) {
        const double gap = std::abs(got[i] - want[i]);
        worst = gap <= worst ? worst : gap;
      }
      verdict.compare(fmt::format("frame {}", frame), worst, 1e-4);
    }
    std::int64_t not_finite = 0;
    for (std::int64_t p = 0; p < patches_; ++p)
      for (const float v : read_back(ctx_, out_.data() + p * kLogMelPatchSize, kLogMelPatchSize))
        not_finite += std::isfinite(v) ? 0 : 1;
    verdict.compare("values that are no number", static_cast<double>(not_finite), 0.0);
    return verdict;
  }

  void run() override {
    log_mel<float, std::int16_t>(ctx_, {.patches = patches_,
                                        .sample_count = count_,
                                        .samples = samples_.data(),
                                        .first_sample = first_sample_.data(),
                                        .out = out_.data()});
  }
  double flops() const override { return log_mel_flops(patches_); }
  double bytes() const override {
    return 2.0 * static_cast<double>(count_) + 4.0 * kLogMelPatchSize * static_cast<double>(patches_);
  }
  std::string note() const override { return fmt::format("{} patches of 0.96 s", patches_); }

 private:
  Context& ctx_;
  std::int64_t count_, patches_ = 0;
  std::vector<std::int64_t> starts_;
  Tensor<std::int16_t> samples_;
  Tensor<std::int64_t> first_sample_;
  Tensor<float> out_;
};

Case log_mel_case(Size size, std::int64_t clips, std::int64_t samples) {
  return {
      fmt::format("log_mel_{}", log_mel_patches(samples) * clips),
      "log_mel",
      fmt::format("{} clips of {} samples, 16 bits, to log-mel patches", clips, samples),
      size,
      {{"clips", clips}, {"samples", samples}},
      {"fp32"},
      [=](Context& ctx, const std::string&) { return std::make_unique<LogMelCase>(ctx, clips, samples); }};
}

}  // namespace

std::vector<Case> log_mel_cases() {
  return {log_mel_case(Size::kTiny, 2, 16000), log_mel_case(Size::kPaper, 32, 480000),
          log_mel_case(Size::kScale, 512, 480000)};
}

}  // namespace emer::bench
