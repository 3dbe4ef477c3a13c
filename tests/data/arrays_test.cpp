#include "data/arrays.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/file.h"
#include "data/features.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

using Ids = std::vector<std::int64_t>;
using test::contains;
using test::error_of;
using test::TemporaryFolder;

NpyContent dense(std::vector<std::int64_t> shape, std::vector<double> values) {
  NpyContent content;
  content.dense = {std::move(shape), std::move(values), "<f8"};
  return content;
}

NpyContent ragged(std::vector<NpyArray> items) {
  NpyContent content;
  content.ragged = true;
  content.items = std::move(items);
  return content;
}

constexpr double kPad = 1e-5;

TEST(FeaturesFromArray, TurnsTrailingPaddingIntoLengths) {
  ImportReport report;
  // Song 1: the first step looks like padding but is followed by a real one; song 2: one step; song 3:
  // nothing.
  const FeatureTable table =
      features_from_array(dense({3, 3, 2}, {kPad, kPad, 1, 2, kPad, kPad, 3, kPad, kPad, kPad, kPad, kPad,
                                            kPad, kPad, kPad, kPad, kPad, kPad}),
                          {}, "f.npy", report);
  EXPECT_TRUE(table.sequence);
  EXPECT_EQ(table.songs.at(1), (std::vector<float>{1e-5f, 1e-5f, 1, 2}));
  EXPECT_EQ(table.songs.at(2), (std::vector<float>{3, 1e-5f}));
  EXPECT_EQ(table.songs.count(3), 0u);
  EXPECT_EQ(report.dropped.at(0).ids, Ids{3});

  const FeatureTable vectors = features_from_array(dense({2, 1}, {kPad, NAN}), {8, 6}, "f.npy", report);
  EXPECT_FALSE(vectors.sequence);
  EXPECT_EQ(vectors.songs.at(8), (std::vector<float>{1e-5f}));
  EXPECT_EQ(vectors.incomplete, Ids{6});
}

TEST(RatingsFromArray, ReadsDenseAndRagged) {
  ImportReport report;
  const RatingTable table =
      ratings_from_array(dense({2, 2, 2}, {.1, .2, .3, .4, .5, .6, kPad, kPad}), {}, 0, "e.npy", report);
  EXPECT_EQ(table.songs.at(1).size(), 2u);
  EXPECT_EQ(table.songs.at(1)[1].arousal, .4);
  EXPECT_EQ(table.songs.at(2).size(), 1u);
  const RatingTable uneven =
      ratings_from_array(ragged({{{1, 2}, {.1, .2}, "<f8"}, {{3, 2}, {.1, .2, NAN, .4, .5, .6}, "<f8"}}),
                         {4, 3}, 0, "e.npy", report);
  EXPECT_EQ(uneven.songs.at(4).size(), 1u);
  EXPECT_EQ(uneven.songs.at(3).size(), 1u);
  EXPECT_EQ(report.changed.at(0).ids, Ids{3});
}

TEST(Arrays, RefuseShapesThatAreNotSongs) {
  ImportReport report;
  const auto features = [&](const NpyContent& content, const Ids& ids = {}) {
    return error_of([&] { features_from_array(content, ids, "f.npy", report); });
  };
  EXPECT_TRUE(contains(features(dense({4}, {1, 2, 3, 4})), "[4]"));
  EXPECT_TRUE(contains(features(dense({}, {1})), "[]"));
  EXPECT_TRUE(contains(features(dense({0, 3}, {})), "no songs"));
  EXPECT_TRUE(contains(features(dense({3, 0}, {})), "without columns"));
  EXPECT_TRUE(contains(features(ragged({{{1, 2}, {1, 2}, "<f8"}, {{1, 3}, {1, 2, 3}, "<f8"}})),
                       "song 1 has shape [1, 3]"));
  EXPECT_TRUE(contains(features(ragged({{{}, {1}, "<f8"}})), "song 0 has shape []"));
  EXPECT_TRUE(contains(features(dense({2, 1}, {1, 2}), {5}), "2 songs, but 1 ids"));
  EXPECT_TRUE(contains(features(dense({2, 1}, {1, 2}), {5, 5}), "id 5 is given twice"));
  EXPECT_TRUE(contains(error_of([&] {
                         ratings_from_array(dense({1, 1, 3}, {1, 2, 3}), {}, 0, "e.npy", report);
                       }),
                       "3 columns"));
  EXPECT_NE(error_of([&] { ratings_from_array(dense({1, 2}, {1, 2}), {}, 0, "e.npy", report); }), "");
}

TEST(Ids, ComeFromTextOrArrays) {
  const TemporaryFolder folder;
  EXPECT_EQ(parse_ids("7\n3\n\n12\n", "ids.txt"), (Ids{7, 3, 12}));
  write_npy(folder / "ids.npy", {2}, {9, 4});
  EXPECT_EQ(parse_ids(read_file(folder / "ids.npy"), "ids.npy"), (Ids{9, 4}));
  EXPECT_TRUE(contains(error_of([] { parse_ids("7\nx\n", "ids.txt"); }), "line 2"));
  EXPECT_NE(error_of([] { parse_ids("", "ids.txt"); }), "");
  write_npy(folder / "bad.npy", {1}, {1.5});
  EXPECT_TRUE(contains(error_of([&] { parse_ids(read_file(folder / "bad.npy"), "bad.npy"); }), "1.5"));
}

class ReferencePair : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(DenseAndRagged, ReferencePair, ::testing::Bool());

TEST_P(ReferencePair, RoundTripsSequencesWithTheirLengths) {
  const TemporaryFolder folder;
  Dataset d;
  d.name = "pair";
  d.song_id = {3, 8, 9};
  d.music_steps = 3;
  d.music_width = 2;
  d.music = {1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0};
  d.music_length = {2, 3, 1};
  d.emotion_steps = 2;
  d.emotion = {.1f, .2f, .3f, .4f, .5f, .6f, 0, 0, .7f, .8f, .9f, 1};
  d.emotion_length = {2, 1, 2};
  validate(d, "pair");
  const std::string features = folder / "f.npy", emotion = folder / "e.npy", ids = folder / "ids.txt";
  write_reference_pair(d, features, emotion, ids, GetParam());
  const NpyContent written = read_npy(features);
  EXPECT_EQ(written.ragged, GetParam());
  if (!GetParam()) {
    EXPECT_EQ(written.dense.shape, (std::vector<std::int64_t>{3, 3, 2}));
    EXPECT_EQ(written.dense.values[4], static_cast<double>(1e-5f));
  }
  const Dataset back =
      prepare_features({.features = features, .ratings = emotion, .valence = {}, .arousal = {}, .ids = ids},
                       {})
          .dataset;
  EXPECT_EQ(back.song_id, d.song_id);
  EXPECT_EQ(back.music, d.music);
  EXPECT_EQ(back.music_length, d.music_length);
  EXPECT_EQ(back.emotion, d.emotion);
  EXPECT_EQ(back.emotion_length, d.emotion_length);

  write_reference_pair(d, features, emotion, "", GetParam());
  write_npy(emotion, {2, 1, 2}, {1, 2, 3, 4});
  const FeaturesPaths uneven = {
      .features = features, .ratings = emotion, .valence = {}, .arousal = {}, .ids = {}};
  EXPECT_TRUE(contains(error_of([&] { prepare_features(uneven, {}); }), "has 3 songs"));
}

TEST(ReferencePairs, VectorsStayVectors) {
  const TemporaryFolder folder;
  Dataset d;
  d.song_id = {1, 2};
  d.music_width = 2;
  d.music = {1, 2, 3, 4};
  d.emotion_steps = 1;
  d.emotion = {.1f, .2f, .3f, .4f};
  d.emotion_length = {1, 1};
  write_reference_pair(d, folder / "f.npy", folder / "e.npy", "", false);
  EXPECT_EQ(read_npy(folder / "f.npy").dense.shape, (std::vector<std::int64_t>{2, 2}));
  d.music.clear();
  d.music_width = 0;
  EXPECT_TRUE(contains(
      error_of([&] { write_reference_pair(d, folder / "f.npy", folder / "e.npy", "", false); }), "no music"));
}

}  // namespace
}  // namespace emer
