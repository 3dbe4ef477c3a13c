#include "engine/audio_features.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numbers>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/safetensors.h"
#include "core/sha256.h"
#include "engine/model.h"
#include "engine/patch_vectors.h"
#include "kernels/log_mel.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/wav_bytes.h"

namespace emer {
namespace {

using test::contains;
using test::refuses;

AudioClip clip_of(const std::string& name, std::string bytes, ClipRange range = {}) {
  return {{name, [bytes = std::move(bytes)] { return bytes; }}, range};
}

std::string tone_wav(double frequency, double seconds, int rate = 16000, int channels = 1) {
  std::vector<std::int16_t> samples;
  for (int i = 0; i < static_cast<int>(seconds * rate); ++i)
    for (int c = 0; c < channels; ++c)
      samples.push_back(static_cast<std::int16_t>(
          std::lrint(20000.0 * std::sin(2.0 * std::numbers::pi * frequency * i / rate))));
  return test::wav_of(rate, channels, samples);
}

std::vector<AudioClip> some_clips() {
  std::vector<AudioClip> clips;
  for (int i = 0; i < 12; ++i)
    clips.push_back(clip_of("song" + std::to_string(i),
                            tone_wav(200.0 + 60.0 * i, 1.0 + 0.35 * i, i % 2 ? 16000 : 22050)));
  clips[3] = clip_of("text.mp3", std::string(5000, 'a'));
  clips[5] = {{"gone.wav", []() -> std::string { fail_input("cannot read gone.wav: no such file"); }}, {}};
  clips[7] = clip_of("short.wav", tone_wav(300, 0.97));
  clips[8] = clip_of("late.wav", tone_wav(300, 2.0), {.start_seconds = 3.0, .seconds = 1.0, .pad = false});
  return clips;
}

TEST(AudioFeatures, OneClipIsItsLogMel) {
  const std::string wav = tone_wav(1000, 3.0, 16000, 2);
  Context ctx;
  const AudioFeatures got = collect_audio_features(ctx, {clip_of("a.wav", wav)}, {});
  const DecodedAudio audio = decode_audio(wav, "a.wav");
  const std::vector<float> samples = waveform_16k(audio, {}, Resampler::kSoxr);
  const std::vector<std::int64_t> starts = {0, kLogMelPatchHop, 2 * kLogMelPatchHop};
  std::vector<float> want(3 * kLogMelPatchSize, NAN);
  log_mel(ctx, LogMel<float, float>{.patches = 3,
                                    .sample_count = 48000,
                                    .samples = samples.data(),
                                    .first_sample = starts.data(),
                                    .out = want.data()});
  EXPECT_EQ(got.values, want);
  EXPECT_EQ(got.offset, (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(got.width, 6144);
  EXPECT_EQ(got.clips[0].checksum, sha256_hex(wav));
  EXPECT_EQ(got.clips[0].seconds, 3.0);
  EXPECT_EQ(got.clips[0].failure, "");
}

TEST(AudioFeatures, KeepsTheOrderAndNamesWhatFails) {
  const std::vector<AudioClip> clips = some_clips();
  Context ctx;
  std::vector<std::size_t> steps;
  const AudioFeatures one =
      collect_audio_features(ctx, clips, {.threads = 1}, [&](std::size_t n) { steps.push_back(n); });
  ASSERT_EQ(one.clips.size(), 12u);
  EXPECT_EQ(steps.size(), 12u);
  EXPECT_EQ(steps.back(), 12u);
  for (std::size_t i = 0; i < 12; ++i) {
    const bool bad = i == 3 || i == 5 || i == 7 || i == 8;
    EXPECT_EQ(one.clips[i].failed(), bad) << i << one.clips[i].failure;
    EXPECT_EQ(one.offset[i + 1] - one.offset[i],
              bad ? 0 : 1 + static_cast<std::int64_t>((0.35 * static_cast<double>(i) + 0.025) / 0.96));
    EXPECT_EQ(one.clips[i].failure.find('\n'), std::string::npos);
  }
  EXPECT_TRUE(contains(one.clips[3].failure, "text.mp3: not a sound file"));
  EXPECT_TRUE(contains(one.clips[5].failure, "cannot read gone.wav"));
  EXPECT_EQ(one.clips[5].checksum, "");
  EXPECT_TRUE(
      contains(one.clips[7].failure,
               "short.wav: 0.970 s of sound (15520 samples at 16 kHz), but 0.975 s (15600) are needed"));
  EXPECT_TRUE(
      contains(one.clips[8].failure, "late.wav: the clip starts at 3 s, but the sound ends at 2.000 s"));
  const AudioFeatures many = collect_audio_features(ctx, clips, {.threads = 5});
  EXPECT_EQ(many.values, one.values);
  EXPECT_EQ(many.offset, one.offset);
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(many.clips[i].failure, one.clips[i].failure);
}

TEST(AudioFeatures, TheSinkStopsAndSkipsAreHandedOut) {
  const std::vector<AudioClip> clips = some_clips();
  const std::string known = sha256_hex(clips[1].source.read());
  Context ctx;
  std::size_t seen = 0;
  const AudioRun run = audio_features(
      ctx, clips, {.threads = 3, .skip = [&](const std::string& checksum) { return checksum == known; }},
      [&](std::size_t i, ClipFeatures&& features) {
        EXPECT_EQ(i, seen);
        EXPECT_EQ(features.skipped, i == 1);
        EXPECT_EQ(features.values.empty(), i == 1);
        return ++seen < 3;
      });
  EXPECT_FALSE(run.complete);
  EXPECT_EQ(seen, 3u);
}

TEST(AudioFeatures, AWrongRangeIsNoClipsFault) {
  Context ctx;
  const std::vector<AudioClip> clips = {
      clip_of("a.wav", tone_wav(300, 2.0), {.start_seconds = -1, .seconds = 1, .pad = false})};
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"start of -1"}, [&] { collect_audio_features(ctx, clips, {}); }));
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"VGGish vectors need its weights"},
                      [&] { collect_audio_features(ctx, clips, {.output = AudioOutput::kVggish}); }));
}

// A network of VGGish's form with narrow layers.
constexpr std::array<int, 6> kChannels = {2, 3, 4, 3, 2, 3};
constexpr std::array<int, 3> kDense = {5, 6, 4};

void write_weights(const std::string& path) {
  SafetensorsWriter writer;
  const char* const names[] = {"conv1",   "conv2", "conv3_1", "conv3_2", "conv4_1",
                               "conv4_2", "fc1",   "fc2",     "fc3"};
  int in = 1;
  for (std::size_t k = 0; k < 9; ++k) {
    const int out = k < 6 ? kChannels[k] : kDense[k - 6];
    if (k == 6) in *= 6 * 4;
    const std::int64_t taps = k < 6 ? 9 : 1;
    std::vector<float> weight, bias;
    for (std::int64_t i = 0; i < out * taps * in; ++i)
      weight.push_back(
          static_cast<float>(std::sin(0.7 * static_cast<double>(i) + static_cast<double>(k)) * 0.5));
    for (int i = 0; i < out; ++i) bias.push_back(0.1f * static_cast<float>(i));
    const std::string name = std::string("vggish.") + names[k];
    writer.add(name + ".weight",
               k < 6 ? std::vector<std::int64_t>{out, 3, 3, in} : std::vector<std::int64_t>{out, in}, weight);
    writer.add(name + ".bias", {out}, bias);
    in = out;
  }
  writer.add("unrelated", {1}, std::vector<float>{1.0f});
  writer.write(path);
}

TEST(AudioFeatures, VectorsAndBytes) {
  const test::TemporaryFolder folder;
  const std::string weights = folder / "weights.safetensors", pca = folder / "pca.safetensors";
  write_weights(weights);
  std::vector<float> matrix(16), mean(4);
  for (std::size_t i = 0; i < 16; ++i) matrix[i] = static_cast<float>(std::cos(static_cast<double>(i)));
  for (std::size_t i = 0; i < 4; ++i) mean[i] = static_cast<float>(i) * 0.2f;
  SafetensorsWriter writer;
  writer.add("pca_eigen_vectors", {4, 4}, matrix);
  writer.add("pca_means", {4}, mean);
  writer.write(pca);

  Context ctx;
  const std::vector<AudioClip> clips = {clip_of("a", tone_wav(440, 3.0)), clip_of("b", tone_wav(660, 1.0))};
  const AudioFeatures mel = collect_audio_features(ctx, clips, {});
  const AudioFeatures vectors =
      collect_audio_features(ctx, clips, {.output = AudioOutput::kVggish, .weights = weights});
  EXPECT_EQ(vectors.width, 4);
  EXPECT_EQ(vectors.offset, (std::vector<std::int64_t>{0, 3, 4}));
  Vggish<float> network(ctx, {.channels = kChannels, .dense = kDense});
  std::vector<InitialisedParameter<float>*> list;
  network.append_parameters(list);
  ParameterList<float> parameters;
  for (auto* one : list) parameters.push_back(&one->parameter);
  load_weights(ctx, parameters, weights, ExtraTensors::kIgnore);
  const float* want = network.forward(ctx, 4, 1, mel.values.data(), nullptr, false);
  ASSERT_EQ(vectors.values.size(), 16u);
  // Batches of 3 and 1 instead of 4: sums of at most 72 terms may be taken in another order.
  for (std::size_t i = 0; i < 16; ++i)
    EXPECT_NEAR(vectors.values[i], want[i], 1e-4 * (1.0 + std::abs(want[i])));

  const AudioFeatures bytes = collect_audio_features(
      ctx, clips,
      {.output = AudioOutput::kPca, .weights = weights, .pca = pca, .rounding = PcaRounding::kNearest});
  std::vector<std::uint8_t> levels(16);
  pca_quantise(ctx, {.rows = 4,
                     .width = 4,
                     .e = vectors.values.data(),
                     .matrix = matrix.data(),
                     .mean = mean.data(),
                     .rounding = PcaRounding::kNearest,
                     .out = levels.data()});
  EXPECT_EQ(bytes.bytes, levels);
  EXPECT_TRUE(bytes.values.empty());
}

TEST(AudioFeatures, WeightsThatDoNotFit) {
  const test::TemporaryFolder folder;
  const std::string weights = folder / "weights.safetensors", pca = folder / "pca.safetensors";
  write_weights(weights);
  SafetensorsWriter writer;
  writer.add("vggish.conv1.weight", {2, 9}, std::vector<float>(18));
  writer.write(folder / "odd.safetensors");
  SafetensorsWriter small;
  small.add("pca_eigen_vectors", {2, 2}, std::vector<float>(4));
  small.add("pca_means", {2}, std::vector<float>(2));
  small.write(pca);
  Context ctx;
  const auto run = [&](const AudioFeatureOptions& options) { collect_audio_features(ctx, {}, options); };
  EXPECT_TRUE(refuses(ErrorKind::kInput, {"odd.safetensors", "vggish.conv1.weight", "4 axes"},
                      [&] { run({.output = AudioOutput::kVggish, .weights = folder / "odd.safetensors"}); }));
  EXPECT_TRUE(refuses(ErrorKind::kInput, {"pca.safetensors", "pca_eigen_vectors"},
                      [&] { run({.output = AudioOutput::kPca, .weights = weights, .pca = pca}); }));
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"PCA's parameters"},
                      [&] { run({.output = AudioOutput::kPca, .weights = weights}); }));
}

TEST(AudioFeatures, ResultsDoNotDependOnTheCache) {
  const test::TemporaryFolder folder;
  // A Sun/NeXT file, so that the cache takes part: wav is not kept.
  std::string au = ".snd";
  const auto big_endian = [&](std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) au += static_cast<char>(value >> shift & 0xFF);
  };
  for (const std::uint32_t value : {24u, 2u * 30000u, 3u, 22050u, 1u}) big_endian(value);
  for (int i = 0; i < 30000; ++i) {
    const auto sample = static_cast<unsigned>(std::lrint(9000.0 * std::sin(0.05 * i)));
    au += static_cast<char>(sample >> 8 & 0xFF);
    au += static_cast<char>(sample & 0xFF);
  }
  Context ctx;
  const std::vector<AudioClip> clips = {clip_of("a.au", au)};
  const AudioFeatures without = collect_audio_features(ctx, clips, {});
  ASSERT_EQ(without.clips[0].failure, "");
  for (int i = 0; i < 2; ++i) {
    const AudioFeatures with = collect_audio_features(ctx, clips, {.cache_folder = folder.path()});
    EXPECT_EQ(with.values, without.values);
    EXPECT_EQ(with.cache_problem, "");
    EXPECT_TRUE(std::filesystem::exists(folder / "pcm/" + sha256_hex(au) + ".pcm"));
  }
}

}  // namespace
}  // namespace emer
