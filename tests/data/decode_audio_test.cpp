#include "data/decode_audio.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "bench/sound_files.h"
#include "tests/support/refusal.h"
#include "tests/support/wav_bytes.h"

namespace emer {
namespace {

using bench::SoundFormat;
using test::contains;
using test::refuses_input;
using test::wav_of;
using test::wav_of_floats;
using test::wav_of_integers;
using Samples = std::vector<std::int16_t>;

// Two tones, a different one a channel.
Samples tones(int rate, int channels, double seconds) {
  Samples samples;
  const int frames = static_cast<int>(seconds * rate);
  for (int i = 0; i < frames; ++i)
    for (int c = 0; c < channels; ++c)
      samples.push_back(static_cast<std::int16_t>(
          std::lrint(9000.0 * std::sin(2.0 * std::numbers::pi * (300.0 + 170.0 * c) * i / rate))));
  return samples;
}

TEST(DecodeAudio, SixteenBitWavIsKeptSampleForSample) {
  for (const int rate : {8000, 11025, 16000, 22050, 44100, 48000, 96000})
    for (const int channels : {1, 2, 6}) {
      const Samples want = tones(rate, channels, 0.3);
      const DecodedAudio got = decode_audio(wav_of(rate, channels, want), "a.wav");
      EXPECT_EQ(got.rate, rate);
      EXPECT_EQ(got.channels, channels);
      EXPECT_EQ(got.samples, want) << rate << " Hz, " << channels << " channels";
      EXPECT_EQ(got.warning, "");
    }
}

TEST(DecodeAudio, EightBitsAreShiftedLeft) {
  const DecodedAudio got = decode_audio(wav_of_integers(16000, 1, 8, {-128, -1, 0, 1, 127}), "a.wav");
  EXPECT_EQ(got.samples, (Samples{-32768, -256, 0, 256, 32512}));
}

TEST(DecodeAudio, WiderIntegersAreRoundedDown) {
  const DecodedAudio wide =
      decode_audio(wav_of_integers(16000, 1, 24, {-8388608, -257, -256, -1, 0, 255, 256, 8388607}), "a.wav");
  EXPECT_EQ(wide.samples, (Samples{-32768, -2, -1, -1, 0, 0, 1, 32767}));
  const DecodedAudio wider = decode_audio(
      wav_of_integers(48000, 2, 32, {-2147483648LL, 2147483647LL, -1, 65535, 65536, -65537}), "a.wav");
  EXPECT_EQ(wider.samples, (Samples{-32768, 32767, -1, 0, 1, -2}));
}

TEST(DecodeAudio, FloatsAreRoundedToEvenAndClipped) {
  constexpr float kStep = 1.0f / 32768.0f, kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInfinity = std::numeric_limits<float>::infinity();
  const Samples want = {0, 0, 1, 2, 2, -2, -2, 16384, 32767, 32767, -32768, -32768, 32767, -32768, 0};
  const std::vector<float> values = {0.0f,          0.5f * kStep,  0.75f * kStep, 1.5f * kStep, 2.5f * kStep,
                                     -1.5f * kStep, -2.5f * kStep, 0.5f,          1.0f,         7.0f,
                                     -1.0f,         -3.0f,         kInfinity,     -kInfinity,   kNan};
  EXPECT_EQ(decode_audio(wav_of_floats(44100, 1, values), "a.wav").samples, want);
  EXPECT_EQ(decode_audio(wav_of_floats(44100, 1, std::vector<double>(values.begin(), values.end())), "a.wav")
                .samples,
            want);
}

class DecodeEncoded : public testing::TestWithParam<SoundFormat> {};

// How far `got` is from `want` shifted by `lag` frames, at the best gain: LAME makes everything softer by a twentieth.
// As a share of what `want` is, over frames that both have.
double distance(const Samples& got, const Samples& want, int channels, int lag) {
  double both = 0.0, own = 0.0, other = 0.0;
  const auto size = static_cast<std::ptrdiff_t>(want.size());
  constexpr std::ptrdiff_t kEdge = 100;
  for (std::ptrdiff_t i = kEdge; i < size - kEdge; ++i) {
    const double g = got[static_cast<std::size_t>(i + lag * channels)], w = want[static_cast<std::size_t>(i)];
    both += g * w;
    own += g * g;
    other += w * w;
  }
  return std::sqrt(std::max(0.0, 1.0 - both * both / (own * other)));
}

// 64 kbit/s a channel keep two tones to 6 % in their place, and no other place is nearer: encoder delay is cut.
TEST_P(DecodeEncoded, GivesTheSoundBackInPlace) {
  for (const int rate : {22050, 44100, 48000})
    for (const int channels : {1, 2}) {
      SCOPED_TRACE(std::to_string(rate) + " Hz, " + std::to_string(channels) + " channels");
      const Samples want = tones(rate, channels, 1.5);
      std::string why_not;
      const std::string file = bench::encode_sound(GetParam(), rate, channels, want, why_not);
      if (file.empty()) GTEST_SKIP() << why_not;
      const DecodedAudio got = decode_audio(file, "a");
      EXPECT_EQ(got.rate, rate);
      ASSERT_EQ(got.channels, channels);
      const bool lossless = GetParam() == SoundFormat::kWav || GetParam() == SoundFormat::kFlac;
      if (lossless) {
        EXPECT_EQ(got.samples, want);
        continue;
      }
      // aac's last frame may be padded; delay at the front is cut in every format.
      ASSERT_GE(got.samples.size(), want.size());
      EXPECT_LE(got.samples.size(), want.size() + 2048u * static_cast<unsigned>(channels));
      const double in_place = distance(got.samples, want, channels, 0);
      EXPECT_LT(in_place, 0.06);
      for (int lag = -30; lag <= 30; ++lag)
        EXPECT_GE(distance(got.samples, want, channels, lag), in_place) << lag;
      EXPECT_EQ(got.warning, "");
    }
}

INSTANTIATE_TEST_SUITE_P(Formats, DecodeEncoded,
                         testing::Values(SoundFormat::kWav, SoundFormat::kFlac, SoundFormat::kMp3,
                                         SoundFormat::kOgg, SoundFormat::kM4a),
                         [](const auto& one) { return bench::name_of(one.param); });

TEST(DecodeAudio, SaysWhatIsWrong) {
  const std::string good = wav_of(16000, 1, tones(16000, 1, 0.2));
  EXPECT_TRUE(refuses_input({"none.wav: the file is empty"}, [] { decode_audio("", "none.wav"); }));
  EXPECT_TRUE(refuses_input({"zero.wav: there is no sound in this wav file (0 samples)"},
                            [] { decode_audio(wav_of(16000, 1, {}), "zero.wav"); }));
  std::string text = "What a song this is.\n";
  for (int i = 0; i < 8; ++i) text += text;
  EXPECT_TRUE(refuses_input({"song.mp3: not a sound file in a format that FFmpeg's libraries know"},
                            [&] { decode_audio(text, "song.mp3"); }));
  EXPECT_TRUE(refuses_input({"long.wav: more than 3000 samples of sound"},
                            [&] { decode_audio(good, "long.wav", 3000); }));
  EXPECT_TRUE(refuses_input({"slow.wav: a rate of 10 samples a second"},
                            [] { decode_audio(wav_of(10, 1, Samples(100, 5)), "slow.wav"); }));
}

// Names other files or addresses: must not be followed, whatever the library could do.
TEST(DecodeAudio, OpensNothingElse) {
  for (const std::string list :
       {"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/hostname\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '/etc/hostname'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n"})
    EXPECT_TRUE(refuses_input({"list: not a sound file"}, [&] { decode_audio(list, "list"); }));
}

TEST(DecodeAudio, OfATruncatedFileTheBeginningRemains) {
  const Samples want = tones(44100, 2, 3.0);
  for (const SoundFormat format : {SoundFormat::kMp3, SoundFormat::kFlac, SoundFormat::kWav}) {
    std::string why_not;
    const std::string file = bench::encode_sound(format, 44100, 2, want, why_not);
    if (file.empty()) continue;
    SCOPED_TRACE(bench::name_of(format));
    const DecodedAudio whole = decode_audio(file, "whole");
    const DecodedAudio half = decode_audio(std::string_view(file).substr(0, file.size() / 2), "half");
    EXPECT_TRUE(contains(half.warning, "the sound ends after 1."));
    EXPECT_TRUE(contains(half.warning, "header"));
    ASSERT_GT(half.samples.size(), whole.samples.size() / 3);
    ASSERT_LT(half.samples.size(), whole.samples.size());
    // The last frames before the cut may have lost the bits that they borrow from each other.
    const auto safe = static_cast<std::ptrdiff_t>(half.samples.size()) - 8192;
    EXPECT_TRUE(std::equal(half.samples.begin(), half.samples.begin() + safe, whole.samples.begin()));
  }
}

// Vorbis streams may follow one another in one file, each with a rate of its own.
TEST(DecodeAudio, AStreamThatChangesItsRateIsRefused) {
  std::string why_not;
  const std::string first = bench::encode_sound(SoundFormat::kOgg, 44100, 2, tones(44100, 2, 1.0), why_not);
  if (first.empty()) GTEST_SKIP() << why_not;
  const std::string second = bench::encode_sound(SoundFormat::kOgg, 22050, 1, tones(22050, 1, 1.0), why_not);
  EXPECT_TRUE(
      refuses_input({"chain.ogg: after", "it changes from 44100 Hz, 2 channels to 22050 Hz, 1 channels"},
                    [&] { decode_audio(first + second, "chain.ogg"); }));
}

}  // namespace
}  // namespace emer
