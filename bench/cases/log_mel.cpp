// The front end: 16-bit sound on the device to log-mel patches.
#include <fmt/core.h>

#include <array>
#include <cmath>
#include <span>

#include "bench/case.h"
#include "bench/values.h"
#include "core/tensor.h"
#include "kernels/log_mel.h"

namespace emer::bench {

namespace {

constexpr double kPi = 3.14159265358979323846;

// Noise and a tone, from whole numbers: cheap enough for hours of sound.
std::int16_t sample_at(std::int64_t i) {
  std::uint64_t x = static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  const auto noise = static_cast<int>(x >> 52) - 2048;
  const auto tone = static_cast<int>(i * (1200 + i / 480000 % 7 * 400) % 32768) - 16384;
  return static_cast<std::int16_t>(noise + tone / 2);
}

class LogMelCase final : public Prepared {
 public:
  LogMelCase(Context& ctx, std::int64_t clips, std::int64_t length) : ctx_(ctx), count_(clips * length) {
    std::vector<std::int64_t> offsets;
    for (std::int64_t clip = 0; clip <= clips; ++clip) offsets.push_back(clip * length);
    starts_ = log_mel_starts(offsets);
    patches_ = static_cast<std::int64_t>(starts_.size());
    samples_ = uploaded<std::int16_t>(ctx, {count_}, sample_at);
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
      const std::vector<double> want = loops(starts_[static_cast<std::size_t>(frame / kLogMelFrames)] +
                                             frame % kLogMelFrames * kLogMelHop);
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
  // A frame: window, a real transform of 512 points (2.5 n log2 n), 235 magnitudes, 461 weights.
  double flops() const override {
    return static_cast<double>(patches_ * kLogMelFrames) * (400.0 + 2.5 * 512 * 9 + 4 * 235 + 2 * 461);
  }
  double bytes() const override {
    return 2.0 * static_cast<double>(count_) + 4.0 * kLogMelPatchSize * static_cast<double>(patches_);
  }
  std::string note() const override { return fmt::format("{} patches of 0.96 s", patches_); }

 private:
  static std::vector<double> loops(std::int64_t first) {
    std::array<double, 512> cosine;
    for (std::size_t i = 0; i < 512; ++i) cosine[i] = std::cos(2.0 * kPi * static_cast<double>(i) / 512.0);
    const auto mel = [](double hertz) { return 1127.0 * std::log(1.0 + hertz / 700.0); };
    const double step = (mel(7500.0) - mel(125.0)) / 65.0;
    std::vector<double> bands(64, 0.0);
    for (std::size_t bin = 1; bin < 257; ++bin) {
      double re = 0.0, im = 0.0;
      for (std::size_t k = 0; k < 400; ++k) {
        const double x = sample_at(first + static_cast<std::int64_t>(k)) / 32768.0 *
                         (0.5 - 0.5 * std::cos(2.0 * kPi * static_cast<double>(k) / 400.0));
        re += x * cosine[bin * k % 512];
        im += x * cosine[(bin * k + 128) % 512];
      }
      const double place = (mel(31.25 * static_cast<double>(bin)) - mel(125.0)) / step;
      for (std::size_t band = 0; band < 64; ++band)
        bands[band] +=
            std::hypot(re, im) * std::max(0.0, 1.0 - std::abs(place - static_cast<double>(band) - 1.0));
    }
    for (double& value : bands) value = std::log(value + 0.01);
    return bands;
  }

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
