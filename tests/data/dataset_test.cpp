#include "data/dataset.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "core/safetensors.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

// Seven songs with ids 2, 4, ..., lengths 1 to 4, values that name their place; music as vectors or as
// sequences.
Dataset example(bool sequence) {
  Dataset d;
  d.name = "example";
  d.music_width = 3;
  d.music_steps = sequence ? 5 : 0;
  d.emotion_steps = 4;
  d.metadata = {{"music_kind", "made up"}};
  for (int i = 0; i < 7; ++i) {
    d.song_id.push_back(2 * (i + 1));
    const int music = sequence ? 1 + i % 5 : 1, emotion = 1 + i % 4;
    if (sequence) d.music_length.push_back(music);
    d.emotion_length.push_back(emotion);
    for (int k = 0; k < (sequence ? 15 : 3); ++k)
      d.music.push_back(k < 3 * music ? static_cast<float>(100 * i + k + 1) : 0.0f);
    for (int k = 0; k < 8; ++k)
      d.emotion.push_back(k < 2 * emotion ? -0.125f * static_cast<float>(i + k + 1) : 0.0f);
    d.titles.push_back("Ä \"title\" " + std::to_string(i));
    d.artists.push_back(i % 2 ? "artist" : "");
  }
  return d;
}

void expect_equal(const Dataset& got, const Dataset& want) {
  EXPECT_EQ(got.name, want.name);
  EXPECT_EQ(got.song_id, want.song_id);
  EXPECT_EQ(got.music_steps, want.music_steps);
  EXPECT_EQ(got.music_width, want.music_width);
  EXPECT_EQ(got.emotion_steps, want.emotion_steps);
  EXPECT_EQ(got.music, want.music);
  EXPECT_EQ(got.music_length, want.music_length);
  EXPECT_EQ(got.emotion, want.emotion);
  EXPECT_EQ(got.emotion_length, want.emotion_length);
  EXPECT_EQ(got.titles, want.titles);
  EXPECT_EQ(got.artists, want.artists);
  EXPECT_EQ(got.patch_offset, want.patch_offset);
  EXPECT_TRUE(got.patches == want.patches);  // too many to print
}

class DatasetFile : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(VectorsAndSequences, DatasetFile, ::testing::Bool());

TEST_P(DatasetFile, RoundTrips) {
  const test::TemporaryFolder folder;
  const Dataset d = example(GetParam());
  save_dataset(d, folder / "d.safetensors");
  const Dataset loaded = load_dataset(folder / "d.safetensors");
  expect_equal(loaded, d);
  EXPECT_EQ(loaded.metadata.at("format"), "emer-dataset-1");
  EXPECT_EQ(loaded.metadata.at("music_kind"), "made up");
  EXPECT_EQ(loaded.index_of(6), 2);
  EXPECT_EQ(loaded.index_of(5), -1);
  EXPECT_EQ(loaded.index_of(99), -1);
}

TEST_P(DatasetFile, RoundTripsThroughShards) {
  const test::TemporaryFolder folder;
  const Dataset d = example(GetParam());
  save_dataset(d, folder / "d.safetensors", 3);
  EXPECT_FALSE(std::filesystem::exists(folder / "d.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder / "d-00003-of-00003.safetensors"));
  expect_equal(load_dataset(folder / "d.safetensors"), d);
  expect_equal(load_dataset(folder / "d-00002-of-00003.safetensors"), d);

  // A writer that counts from 0.
  for (int i = 0; i < 3; ++i)
    std::filesystem::rename(folder / "d-0000" + std::to_string(i + 1) + "-of-00003.safetensors",
                            folder / "d-0000" + std::to_string(i) + "-of-00003.safetensors");
  expect_equal(load_dataset(folder / "d.safetensors"), d);

  std::filesystem::remove(folder / "d-00001-of-00003.safetensors");
  EXPECT_NE(test::error_of([&] { load_dataset(folder / "d.safetensors"); }).find("d-00001-of-00003"),
            std::string::npos);
  save_dataset(d, folder / "d.safetensors", 2);
  EXPECT_NE(test::error_of([&] { load_dataset(folder / "d.safetensors"); }).find("side by side"),
            std::string::npos);
}

TEST(DatasetFiles, RatingsAloneLoadWithoutMusic) {
  const test::TemporaryFolder folder;
  Dataset d = example(false);
  d.music.clear();
  d.music_width = 0;
  save_dataset(d, folder / "d.safetensors");
  const Dataset loaded = load_dataset(folder / "d.safetensors");
  expect_equal(loaded, d);
  EXPECT_FALSE(loaded.music_is_sequence());
}

TEST(DatasetFiles, GoldenFilesOfAnotherWriterLoad) {
  const Dataset vectors = load_dataset(test::golden("model_vector.data.safetensors"));
  EXPECT_EQ(vectors.size(), 20);
  EXPECT_EQ(vectors.music_width, 12);
  EXPECT_EQ(vectors.emotion_steps, 9);
  EXPECT_FALSE(vectors.music_is_sequence());
  const Dataset sequences = load_dataset(test::golden("model_sequence.data.safetensors"));
  EXPECT_EQ(sequences.music_steps, 7);
  EXPECT_EQ(sequences.music_length.size(), 20u);
}

TEST(DatasetFiles, TensorsWithoutMetadataAreEnough) {
  SafetensorsWriter writer;
  writer.add("song_id", {1}, std::vector<std::int64_t>{5});
  writer.add("emotion", {1, 1, 2}, std::vector<float>{3, 4});
  writer.add("emotion_length", {1}, std::vector<std::int32_t>{1});
  EXPECT_EQ(parse_dataset(writer.serialise(), "x").emotion, (std::vector<float>{3, 4}));
  writer.set_metadata("format", "emer-weights-1");
  EXPECT_NE(test::error_of([&] { parse_dataset(writer.serialise(), "x"); }).find("emer-weights-1"),
            std::string::npos);
}

TEST(DatasetFiles, RefusesWhatIsNotADataset) {
  SafetensorsWriter plain;
  plain.add("song_id", {1}, std::vector<std::int64_t>{1});
  EXPECT_NE(test::error_of([&] { parse_dataset(plain.serialise(), "x"); }).find("emer-dataset-1"),
            std::string::npos);
  EXPECT_NE(test::error_of([] { parse_dataset("short", "x"); }), "");
  EXPECT_NE(
      test::error_of([] { load_dataset("/nonexistent/d.safetensors"); }).find("/nonexistent/d.safetensors"),
      std::string::npos);

  SafetensorsWriter titles;
  titles.set_metadata("format", "emer-dataset-1");
  titles.set_metadata("titles", "[\"one\", \"two\"]");
  titles.add("song_id", {1}, std::vector<std::int64_t>{1});
  titles.add("emotion", {1, 1, 2}, std::vector<float>{0, 0});
  titles.add("emotion_length", {1}, std::vector<std::int32_t>{1});
  EXPECT_NE(test::error_of([&] { parse_dataset(titles.serialise(), "x"); }).find("`titles`"),
            std::string::npos);
}

TEST(Validate, NamesTheFault) {
  const std::vector<std::pair<std::function<void(Dataset&)>, std::string>> faults = {
      {[](Dataset& d) { d.song_id[3] = d.song_id[2]; }, "song_id row 3"},
      {[](Dataset& d) { std::swap(d.song_id[0], d.song_id[1]); }, "ascending"},
      {[](Dataset& d) { d.emotion_length[2] = 0; }, "emotion_length of song 6 (row 2) is 0"},
      {[](Dataset& d) { d.emotion_length[2] = 5; }, "must be 1 to 4"},
      {[](Dataset& d) { d.music_length[1] = 6; }, "music_length of song 4"},
      {[](Dataset& d) { d.music_length.pop_back(); }, "6 entries for 7"},
      {[](Dataset& d) { d.music[15 + 2] = NAN; }, "music of song 4 (row 1, step 0, column 2)"},
      {[](Dataset& d) { d.emotion[8 * 3 + 1] = INFINITY; }, "emotion of song 8 (row 3, step 0, column 1)"},
      {[](Dataset& d) { d.music[14] = 1; }, "padding must be 0"},
      {[](Dataset& d) { d.music.pop_back(); }, "music has 104 values"},
      {[](Dataset& d) { d.emotion.push_back(0); }, "emotion has 57 values"},
      {[](Dataset& d) { d.titles.pop_back(); }, "6 titles"},
      {[](Dataset& d) { d.artists.pop_back(); }, "6 artists"},
      {[](Dataset& d) { d = Dataset(); }, "no songs"},
  };
  validate(example(true), "good");
  validate(example(false), "good");
  for (const auto& [spoil, part] : faults) {
    Dataset d = example(true);
    spoil(d);
    const std::string message = test::error_of([&] { validate(d, "bad"); });
    EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
  }
}

// Two songs of lengths 2 and 1: columns by hand. Music column 0 holds 1, 3, 8: mean 4, deviation sqrt(26/3).
TEST(Standardisation, CountsValidStepsOfGivenRowsOnly) {
  Dataset d;
  d.song_id = {1, 2, 3};
  d.music_steps = 2;
  d.music_width = 2;
  d.music = {1, 7, 3, 7, 8, 7, 0, 0, 1000, 1000, 1000, 1000};
  d.music_length = {2, 1, 2};
  d.emotion_steps = 2;
  d.emotion = {0.5f, 1, -0.5f, 1, 0, 4, 0, 0, 9, 9, 9, 9};
  d.emotion_length = {2, 1, 2};
  const Standardisation music = fit_music_standardisation(d, {0, 1});
  EXPECT_TRUE(test::near_relative(music.mean, std::vector<double>{4, 7}, 1e-15));
  EXPECT_TRUE(test::near_relative(music.deviation, std::vector<double>{std::sqrt(26.0 / 3), 1}, 1e-15));
  const Standardisation emotion = fit_emotion_standardisation(d, {0, 1});
  EXPECT_TRUE(test::near_relative(emotion.mean, std::vector<double>{0, 2}, 1e-15));
  EXPECT_TRUE(
      test::near_relative(emotion.deviation, std::vector<double>{std::sqrt(1.0 / 6), std::sqrt(2.0)}, 1e-15));

  apply_music(d, music);
  const double s = std::sqrt(26.0 / 3);
  EXPECT_TRUE(test::near_relative(
      d.music, std::vector<double>{-3 / s, 0, -1 / s, 0, 4 / s, 0, 0, 0, 996 / s, 993, 996 / s, 993}, 1e-7));
  apply_emotion(d, emotion);
  EXPECT_EQ(d.emotion[6], 0.0f);  // padding
  EXPECT_EQ(d.emotion[7], 0.0f);
  validate(d, "standardised");
}

// .1f has no exact mean over three songs; the column must still count as constant.
TEST(Standardisation, ConstantColumnsKeepTheirScale) {
  Dataset d;
  d.song_id = {1, 2, 3};
  d.music_width = 1;
  d.music = {0.1f, 0.1f, 0.1f};
  const Standardisation by = fit_music_standardisation(d, {0, 1, 2});
  EXPECT_EQ(by.deviation[0], 1.0);
  apply_music(d, by);
  EXPECT_EQ(d.music, (std::vector<float>{0, 0, 0}));
  const std::vector<float> before = d.music;
  apply_music(d, {});
  EXPECT_EQ(d.music, before);
  EXPECT_THROW(fit_music_standardisation(d, {}), Error);
  EXPECT_THROW(apply_music(d, {{1, 2}, {1, 1}}), Error);
}

TEST(AverageEmotionSteps, AveragesValidRunsOnly) {
  Dataset d;
  d.song_id = {1, 2, 3};
  d.emotion_steps = 5;
  d.emotion = {1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60, 0, 0, 0,
               0, 0,  0, 0,  0, 1,  2, 3,  4, 8,  9, 0,  0, 0, 0};
  d.emotion_length = {5, 1, 3};
  Dataset same = d;
  average_emotion_steps(same, 1);
  EXPECT_EQ(same.emotion, d.emotion);
  average_emotion_steps(d, 2);
  EXPECT_EQ(d.emotion_steps, 3);
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{3, 1, 2}));
  EXPECT_EQ(d.emotion, (std::vector<float>{1.5f, 15, 3.5f, 35, 5, 50, 6, 60, 0, 0, 0, 0, 2, 3, 8, 9, 0, 0}));
  validate(d, "averaged");
  EXPECT_THROW(average_emotion_steps(d, 0), Error);
}

}  // namespace
}  // namespace emer
