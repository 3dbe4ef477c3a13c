// Published recordings, for machines that have them (tests/support/real_data.h): audio/ with clips in several encodings,
// emomusic/mp3_45s and emomusic/12.wav.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/file.h"
#include "engine/audio_features.h"
#include "engine/extract.h"
#include "kernels/log_mel.h"
#include "tests/support/real_data.h"

namespace emer {
namespace {

DecodedAudio decoded(const std::string& path) {
  return decode_audio(read_file(path), path);
}

std::vector<float> log_mel_of(std::span<const float> samples) {
  const auto count = static_cast<std::int64_t>(samples.size());
  const std::vector<std::int64_t> starts = log_mel_starts({0, count});
  std::vector<float> out(starts.size() * kLogMelPatchSize, NAN);
  Context ctx;
  log_mel(ctx, LogMel<float, float>{.patches = static_cast<std::int64_t>(starts.size()),
                                    .sample_count = count,
                                    .samples = samples.data(),
                                    .first_sample = starts.data(),
                                    .out = out.data()});
  return out;
}

double mean_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  const std::size_t n = std::min(a.size(), b.size());
  for (std::size_t i = 0; i < n; ++i) sum += std::abs(static_cast<double>(a[i]) - b[i]);
  return sum / static_cast<double>(n);
}

// Samples by which `late` lags behind `sound`, by their correlation.
std::size_t lag_of(const std::vector<float>& late, const std::vector<float>& sound) {
  std::size_t best = 0;
  double largest = -1.0;
  for (std::size_t lag = 0; lag < 1600; ++lag) {
    double sum = 0.0;
    for (std::size_t i = 16000; i < 48000; ++i) sum += static_cast<double>(late[i + lag]) * sound[i];
    if (sum > largest) {
      largest = sum;
      best = lag;
    }
  }
  return best;
}

TEST(RealAudio, EveryClipDecodesWhole) {
  std::string reason;
  const std::string folder = test::real_data("audio", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  std::vector<AudioClip> clips;
  for (const AudioSource& source : sound_files({folder})) clips.push_back({source, {}});
  EXPECT_GE(clips.size(), 17u);
  Context ctx;
  const AudioFeatures features = collect_audio_features(ctx, clips, {});
  for (std::size_t i = 0; i < clips.size(); ++i) {
    EXPECT_EQ(features.clips[i].failure, "");
    EXPECT_EQ(features.clips[i].warning, "") << clips[i].source.name;
    EXPECT_GT(features.clips[i].examples, 0);
  }
  for (const float x : features.values) ASSERT_TRUE(x >= -4.6052f && x < 10.0f);
}

TEST(RealAudio, FourEncodingsOfOneClipAgree) {
  std::string reason;
  const std::string folder = test::real_data("audio/essentia_audio", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  const DecodedAudio wav = decoded(folder + "/dubstep.wav");
  EXPECT_EQ(decoded(folder + "/dubstep.flac").samples, wav.samples);
  const std::vector<float> sound = waveform_16k(wav, {}, Resampler::kSoxr);
  const std::vector<float> want = log_mel_of(sound);
  // One hop of 10 ms is this far: the bound tells places apart.
  EXPECT_GT(mean_distance(log_mel_of(std::span(sound).subspan(160)), want), 0.4);
  struct Lossy {
    const char* name;
    std::size_t lag;  // at 16 kHz
  };
  // The mp3 has no LAME tag, so that the 576 + 529 samples of encoder and decoder delay stay, in every program.
  for (const Lossy& lossy : {Lossy{"/dubstep.ogg", 0}, Lossy{"/dubstep.mp3", 401}}) {
    SCOPED_TRACE(lossy.name);
    const std::vector<float> other = waveform_16k(decoded(folder + lossy.name), {}, Resampler::kSoxr);
    const std::size_t lag = lag_of(other, sound);
    EXPECT_EQ(lag, lossy.lag);
    // Coding noise 14 dB below the sound moves a band's magnitude by at most a fifth, its logarithm by .2 (.22 where
    // it takes away): codecs at these rates stay below that on average over bands and frames.
    EXPECT_LT(mean_distance(log_mel_of(std::span(other).subspan(lag)), want), 0.2);
  }
}

TEST(RealAudio, TheTenEmomusicClips) {
  std::string reason;
  const std::string folder = test::real_data("emomusic", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  std::vector<AudioClip> clips;
  const ClipRange half_minute = {.start_seconds = 15.0, .seconds = 30.0, .pad = true};
  for (const AudioSource& source : sound_files({folder + "/mp3_45s"})) clips.push_back({source, half_minute});
  ASSERT_EQ(clips.size(), 10u);
  Context ctx;
  const AudioFeatures features = collect_audio_features(ctx, clips, {.resampler = Resampler::kResampy022});
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(features.clips[i].failure, "");
    EXPECT_EQ(features.clips[i].examples, 31);
    EXPECT_EQ(features.clips[i].seconds, 30.0);
  }
}

// The wav is another decoder's output of the mp3: at most one step of rounding apart, in place.
TEST(RealAudio, AnMp3AndItsWav) {
  std::string reason;
  const std::string folder = test::real_data("emomusic", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  const DecodedAudio mp3 = decoded(folder + "/mp3_45s/12.mp3"), wav = decoded(folder + "/12.wav");
  ASSERT_EQ(mp3.samples.size(), wav.samples.size());
  EXPECT_EQ(mp3.rate, wav.rate);
  for (std::size_t i = 0; i < wav.samples.size(); ++i)
    ASSERT_LE(std::abs(mp3.samples[i] - wav.samples[i]), 1) << i;
}

}  // namespace
}  // namespace emer
