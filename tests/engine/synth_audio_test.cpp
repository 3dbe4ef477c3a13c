// Sound files, ratings and patches of `emer synth --audio` against each other, through the readers of all three.
#include "engine/synth_audio.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/check.h"
#include "core/file.h"
#include "data/decode_audio.h"
#include "data/features.h"
#include "data/waveform.h"
#include "kernels/log_mel.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

constexpr SyntheticAudioConfig kThree{.songs = 3, .seed = 4, .seconds = 2.2};

TEST(SynthAudio, IsAPreparedDataSet) {
  test::TemporaryFolder folder;
  Context ctx;
  const Dataset d = write_synthetic_audio(ctx, kThree, folder / "audio");
  validate(d, "synthetic audio");
  EXPECT_EQ(d.song_id, (std::vector<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(d.emotion_steps, 4);
  EXPECT_EQ(d.patch_offset, (std::vector<std::int64_t>{0, 2, 4, 6}));  // of 2.2 s, two examples
  EXPECT_EQ(d.patches.size(), 6u * kLogMelPatchSize);
  save_dataset(d, folder / "songs.safetensors");
  const Dataset back = load_dataset(folder / "songs.safetensors");
  EXPECT_EQ(back.patches, d.patches);
  EXPECT_EQ(back.emotion, d.emotion);
  EXPECT_EQ(back.titles, d.titles);
}

TEST(SynthAudio, WritesTheSameBytesEveryTime) {
  test::TemporaryFolder folder;
  Context ctx;
  const Dataset one = write_synthetic_audio(ctx, kThree, folder / "one");
  const Dataset two = write_synthetic_audio(ctx, kThree, folder / "two");
  EXPECT_EQ(one.patches, two.patches);
  EXPECT_EQ(one.metadata, two.metadata);
  for (const char* name : {"1.wav", "2.wav", "3.wav", "ratings.csv"})
    EXPECT_EQ(read_file(folder / "one/" + name), read_file(folder / "two/" + name)) << name;
}

#ifdef EMER_WITH_AUDIO
TEST(SynthAudio, PatchesAreThoseOfTheFiles) {
  test::TemporaryFolder folder;
  Context ctx;
  const Dataset d = write_synthetic_audio(ctx, kThree, folder / "audio");
  for (std::int64_t song = 1; song <= 3; ++song) {
    const std::string path = folder / ("audio/" + std::to_string(song) + ".wav");
    const DecodedAudio decoded = decode_audio(read_file(path), path);
    EXPECT_EQ(decoded.rate, 16000);
    EXPECT_EQ(decoded.channels, 1);
    EXPECT_EQ(decoded.samples, make_synthetic_song(kThree, song).samples);
    EXPECT_EQ(decoded.warning, "");
    const std::vector<float> samples = waveform_16k(decoded, {}, Resampler::kSoxr);
    const std::vector<std::int64_t> starts = log_mel_starts({0, static_cast<std::int64_t>(samples.size())});
    std::vector<float> patches(starts.size() * kLogMelPatchSize);
    log_mel<float, float>(ctx, {.patches = static_cast<std::int64_t>(starts.size()),
                                .sample_count = static_cast<std::int64_t>(samples.size()),
                                .samples = samples.data(),
                                .first_sample = starts.data(),
                                .out = patches.data()});
    const auto from =
        d.patches.begin() + d.patch_offset[static_cast<std::size_t>(song - 1)] * kLogMelPatchSize;
    EXPECT_TRUE(std::equal(patches.begin(), patches.end(), from)) << song;
  }
}
#endif

TEST(SynthAudio, RatingsAreReadByTheImporter) {
  test::TemporaryFolder folder;
  Context ctx;
  const Dataset d = write_synthetic_audio(ctx, kThree, folder / "audio");
  std::string features = "song_id,f\n";
  for (int song = 1; song <= 3; ++song)
    features += std::to_string(song) + ",0." + std::to_string(song) + "\n";
  write_file_atomically(folder / "features.csv", features);
  FeaturesPaths paths;
  paths.features = folder / "features.csv";
  paths.ratings = folder / "audio/ratings.csv";
  const ImportResult read = prepare_features(paths, {});
  EXPECT_EQ(read.dataset.emotion, d.emotion);
  EXPECT_EQ(read.dataset.emotion_length, d.emotion_length);
}

TEST(SynthAudio, RefusesBeforeItWrites) {
  test::TemporaryFolder folder;
  Context ctx;
  EXPECT_THROW(write_synthetic_audio(ctx, {.songs = 0}, folder / "audio"), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "audio"));
}

}  // namespace
}  // namespace emer
