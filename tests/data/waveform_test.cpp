#include "data/waveform.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "core/safetensors.h"
#include "data/resample.h"
#include "tests/support/golden.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using test::refuses;

DecodedAudio mono(int rate, std::vector<std::int16_t> samples) {
  return {.rate = rate, .channels = 1, .samples = std::move(samples), .warning = {}};
}

ClipRange clip(double start, std::optional<double> seconds, bool pad = false) {
  return {.start_seconds = start, .seconds = seconds, .pad = pad};
}

struct Cut {
  std::int64_t first, last, silence;
};
void expect_cut(const CutFrames& got, const Cut& want) {
  EXPECT_EQ(got.first, want.first);
  EXPECT_EQ(got.last, want.last);
  EXPECT_EQ(got.silence, want.silence);
}

TEST(Waveform, CutsByWholeMilliseconds) {
  constexpr std::int64_t kFrames = 44100 * 45 + 13;
  expect_cut(cut_frames(kFrames, 44100, {}), {0, kFrames, 0});
  expect_cut(cut_frames(kFrames, 44100, clip(15, 30)), {661500, 1984500, 0});
  expect_cut(cut_frames(kFrames, 44100, clip(0.0019, 0.0021)), {44, 132, 0});   // 1 ms, 2 ms
  expect_cut(cut_frames(kFrames, 44100, clip(1.001, 0.5)), {44144, 66194, 0});  // 1001 ms, 1501 ms
  expect_cut(cut_frames(kFrames, 44100, clip(15, {})),
             {661500, 44100 * 45, 0});  // 13 frames are no millisecond
  expect_cut(cut_frames(kFrames, 44100, clip(15, 40)), {661500, 44100 * 45, 0});  // beyond the end: dropped …
  expect_cut(cut_frames(kFrames, 44100, clip(15, 40, true)), {661500, 44100 * 45, 441000});  // … or silence
  // 45.0005 s are 45,001 ms (halves to even would be 45,000 of 45,000.5): the last one is not whole.
  expect_cut(cut_frames(44100 * 45 + 30, 44100, clip(15, {})), {661500, 44100 * 45 + 30, 14});
  expect_cut(cut_frames(16000, 16000, clip(0.999, 1, true)), {15984, 16000, 15984});
}

TEST(Waveform, RefusesRangesThatAreNone) {
  EXPECT_TRUE(refuses(ErrorKind::kInput, {"starts at 2 s, but the sound ends at 1.000 s"},
                      [] { cut_frames(16000, 16000, clip(2, 1)); }));
  EXPECT_TRUE(refuses(ErrorKind::kInput, {"starts at 1 s, but the sound ends at 1.000 s"},
                      [] { cut_frames(16000, 16000, clip(1, 30, true)); }));  // not a patch of silence
  EXPECT_TRUE(refuses(ErrorKind::kInput, {"no sound"}, [] { cut_frames(0, 16000, {}); }));
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"start of -1"}, [] { cut_frames(16000, 16000, clip(-1, 1)); }));
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"start of nan"}, [] { cut_frames(16000, 16000, clip(NAN, 1)); }));
  EXPECT_TRUE(
      refuses(ErrorKind::kUsage, {"length of inf"}, [] { cut_frames(16000, 16000, clip(0, INFINITY)); }));
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"length of 0"}, [] { cut_frames(16000, 16000, clip(0, 0.0)); }));
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"to pad to"}, [] { cut_frames(16000, 16000, clip(0, {}, true)); }));
}

TEST(Waveform, AtSixteenKilohertzIsTheMeanOverChannels) {
  const DecodedAudio audio = {.rate = 16000,
                              .channels = 3,
                              .samples = {1, 2, 4, -32768, -32768, -32768, 32767, 0, -1},
                              .warning = {}};
  const std::vector<float> got = waveform_16k(audio, {}, Resampler::kSoxr);
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0], static_cast<float>(7.0 / 3.0 / 32768.0));
  EXPECT_EQ(got[1], -1.0f);
  EXPECT_EQ(got[2], static_cast<float>(32766.0 / 3.0 / 32768.0));
}

TEST(Waveform, PaddingIsSilence) {
  const DecodedAudio audio = mono(16000, std::vector<std::int16_t>(16000, 3000));
  const std::vector<float> got = waveform_16k(audio, clip(0.5, 1.0, true), Resampler::kSoxr);
  ASSERT_EQ(got.size(), 16000u);
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], i < 8000 ? 3000.0f / 32768.0f : 0.0f) << i;
}

// The sound of tests/goldens/resample_resampy.py.
SoundReader pseudo_random(int rate) {
  return [rate](std::int64_t first, std::int64_t count, double* to) {
    for (std::int64_t i = first; i < first + count; ++i)
      *to++ = static_cast<double>((i * i * 7919 + i * 104729 + rate) % 65536 - 32768) / 32768.0;
  };
}

// Results of size about 1 are rounded to float once: 2^-24; before that double sums of some hundred terms.
constexpr double kRounding = 1e-7;

void expect_equal(std::span<const float> got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], kRounding) << i;
}

TEST(Resample, Resampy022IsReproduced) {
  const SafetensorsFile golden = SafetensorsFile::open(test::golden("resample_resampy.safetensors"));
  for (const int rate : {8000, 11025, 22050, 44100, 48000}) {
    SCOPED_TRACE(rate);
    expect_equal(resample_resampy_0_2_2(pseudo_random(rate), 1500, rate, 16000),
                 golden.read<double>(std::to_string(rate) + ".whole"));
  }
  const std::vector<float> got = resample_resampy_0_2_2(pseudo_random(44100), 400000, 44100, 16000);
  ASSERT_EQ(static_cast<double>(got.size()), golden.read<double>("44100.long.length")[0]);
  expect_equal(std::span(got).first(100), golden.read<double>("44100.long.first"));
  expect_equal(std::span(got).last(100), golden.read<double>("44100.long.last"));
}

// A tone below both Nyquist frequencies comes out as the same tone, except where the filter reaches over the ends.
// soxr's very high quality keeps 28 bits (1e-8); kaiser_best's steps of int(512 ratio) stretch the filter by up to half a
// per cent, its gain likewise: of amplitude 0.5, 2.5e-3, twice that is allowed.
TEST(Resample, KeepsATone) {
  for (const int rate : {8000, 22050, 32000, 44100, 48000, 96000}) {
    const auto tone = [](int at, double i) {
      return 0.5 * std::sin(2.0 * std::numbers::pi * 1000.0 * i / at);
    };
    const SoundReader read = [&](std::int64_t first, std::int64_t count, double* to) {
      for (std::int64_t i = first; i < first + count; ++i) *to++ = tone(rate, static_cast<double>(i));
    };
    const auto check = [&](const std::vector<float>& got, double bound, std::int64_t length) {
      ASSERT_EQ(static_cast<std::int64_t>(got.size()), length);
      for (std::size_t i = 4000; i + 4000 < got.size(); ++i)
        ASSERT_NEAR(got[i], tone(16000, static_cast<double>(i)), bound) << rate << " Hz, sample " << i;
    };
    const std::int64_t n = rate;  // a second
    check(resample_soxr(read, n, rate, 16000), 1e-7, 16000);
    check(resample_resampy_0_2_2(read, n, rate, 16000), 5e-3, 16000);
  }
}

TEST(Resample, NumbersOfSamples) {
  const SoundReader silence = [](std::int64_t, std::int64_t count, double* to) {
    std::fill(to, to + count, 0.0);
  };
  for (const std::int64_t n : {1, 2, 7, 1000, 65536, 65537, 132300}) {
    EXPECT_EQ(static_cast<std::int64_t>(resample_soxr(silence, n, 44100, 16000).size()),
              std::llround(static_cast<double>(n) * 16000 / 44100));
    EXPECT_EQ(static_cast<std::int64_t>(resample_resampy_0_2_2(silence, n, 44100, 16000).size()),
              n * 160 / 441);
  }
}

}  // namespace
}  // namespace emer
