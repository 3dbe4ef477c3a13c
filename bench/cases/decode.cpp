// Sound files to waveforms at 16 kHz: decoding, mono, resampling. What a song costs before the first kernel.
#include <fmt/core.h>

#include <cmath>
#include <utility>

#include "bench/case.h"
#include "bench/sound_files.h"
#include "bench/values.h"
#include "core/check.h"
#include "core/parallel.h"
#include "engine/clip_waveforms.h"

namespace emer::bench {

namespace {

constexpr int kRate = 44100, kChannels = 2;

// Tones that come and go, a different mix a channel, over some noise: neither silence nor hiss is typical of music.
std::int16_t sound_at(std::int64_t frame, int channel) {
  const double t = static_cast<double>(frame) / kRate;
  double sum = 0.02 * normal_at(300 + static_cast<std::uint64_t>(channel), static_cast<std::uint64_t>(frame));
  for (int k = 0; k < 6; ++k)
    sum += 0.08 * std::sin(6.283185307179586 * 110.0 * (k + 1) * (1.0 + 0.003 * channel) * t) *
           (1.0 + std::sin(2.0 * t * (k + 1)));
  return static_cast<std::int16_t>(std::lrint(32767.0 * std::fmin(std::fmax(sum, -1.0), 1.0)));
}

class DecodeCase final : public Prepared {
 public:
  DecodeCase(SoundFormat format, Resampler resampler, bool all_threads, std::int64_t files, double seconds)
      : resampler_(resampler), threads_(all_threads ? thread_count() : 1), seconds_(seconds) {
    const auto frames = static_cast<std::int64_t>(seconds * kRate);
    samples_.resize(static_cast<std::size_t>(frames * kChannels));
    parallel_for(frames, 4096, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        for (int c = 0; c < kChannels; ++c)
          samples_[static_cast<std::size_t>(i * kChannels + c)] = sound_at(i, c);
    });
    std::string why_not;
    file_ = encode_sound(format, kRate, kChannels, samples_, why_not);
    if (file_.empty()) fail(ErrorKind::kRunFailed, "{}", why_not);
    clips_.assign(static_cast<std::size_t>(files), {{"sound", [this] { return file_; }}, {}});
  }

  // The waveform against the sound before it was encoded, through nothing but the resampler: the same to 6 per cent
  // (what 64 kbit/s a channel keep), the same number of samples but for a codec's last frame.
  Verdict verify() override {
    Verdict verdict;
    verdict.how = "the first and last waveform against the sound before encoding";
    const std::vector<float> want =
        waveform_16k({.rate = kRate, .channels = kChannels, .samples = samples_}, {}, resampler_);
    run();
    for (const std::vector<float>& got : {first_, last_}) {
      double both = 0.0, own = 0.0, other = 0.0;
      const std::size_t count = std::min(got.size(), want.size());
      for (std::size_t i = 0; i < count; ++i) {
        both += static_cast<double>(got[i]) * want[i];
        own += static_cast<double>(got[i]) * got[i];
        other += static_cast<double>(want[i]) * want[i];
      }
      verdict.compare("distance at the best gain",
                      std::sqrt(1.0 - std::fmin(1.0, both * both / (own * other))), 0.06);
      verdict.compare("samples too many or too few",
                      std::abs(static_cast<double>(got.size()) - static_cast<double>(want.size())), 2048.0);
    }
    return verdict;
  }

  void run() override {
    ClipWaveforms waveforms(clips_, {.resampler = resampler_, .threads = threads_});
    for (std::size_t i = 0; i < clips_.size(); ++i) {
      ClipWaveform waveform = waveforms.next();
      if (!waveform.failure.empty()) fail(ErrorKind::kRunFailed, "{}", waveform.failure);
      if (i == 0) first_ = waveform.samples;
      if (i + 1 == clips_.size()) last_ = std::move(waveform.samples);
    }
  }
  double flops() const override { return 0.0; }
  double audio_hours() const override { return seconds_ * static_cast<double>(clips_.size()) / 3600.0; }
  bool recordable() const override { return false; }

 private:
  Resampler resampler_;
  int threads_;
  double seconds_;
  std::vector<std::int16_t> samples_;
  std::string file_;
  std::vector<AudioClip> clips_;
  std::vector<float> first_, last_;
};

Case decode(Size size, SoundFormat format, Resampler resampler, bool all_threads, std::int64_t files,
            double seconds) {
  return {
      fmt::format("decode_{}{}{}{}", name_of(format), resampler == Resampler::kSoxr ? "" : "_resampy",
                  all_threads ? "_all" : "", size == Size::kTiny ? "_tiny" : ""),
      "decode",
      fmt::format("{} {} files of {} s, 44.1 kHz stereo, to mono at 16 kHz by {}, {}", files, name_of(format),
                  seconds, emer::name_of(resampler), all_threads ? "all threads" : "one thread"),
      size,
      {{"files", files}, {"seconds", static_cast<std::int64_t>(seconds)}},
      {"fp32"},
      [=](Context&, const std::string&) {
        return std::make_unique<DecodeCase>(format, resampler, all_threads, files, seconds);
      }};
}

}  // namespace

std::vector<Case> decode_cases() {
  std::vector<Case> cases;
  const auto add = [&](Size size, SoundFormat format, Resampler resampler, bool all_threads,
                       std::int64_t files, double seconds) {
    if (can_encode(format)) cases.push_back(decode(size, format, resampler, all_threads, files, seconds));
  };
  add(Size::kTiny, SoundFormat::kWav, Resampler::kSoxr, false, 2, 1.0);
  add(Size::kTiny, SoundFormat::kFlac, Resampler::kResampy022, true, 3, 1.0);
  for (const SoundFormat format : {SoundFormat::kWav, SoundFormat::kFlac, SoundFormat::kMp3})
    for (const bool all_threads : {false, true})
      add(Size::kPaper, format, Resampler::kSoxr, all_threads, all_threads ? 32 : 4, 45.0);
  add(Size::kPaper, SoundFormat::kMp3, Resampler::kResampy022, true, 32, 45.0);
  return cases;
}

}  // namespace emer::bench
