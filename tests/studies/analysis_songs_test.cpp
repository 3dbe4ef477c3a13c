#include "engine/studies/analysis_songs.h"

#include <gtest/gtest.h>

#include <numeric>

#include "data/deam.h"
#include "tests/support/real_data.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

// Song 7: 2 of 4 steps; song 9: all 4.
Dataset sequences() {
  Dataset d;
  d.name = "two";
  d.song_id = {7, 9};
  d.music_steps = 4;
  d.music_width = 1;
  d.music = {2, 4, 0, 0, 1, 2, 3, 6};
  d.music_length = {2, 4};
  d.emotion_steps = 2;
  d.emotion = {0.5f, 0.25f, 0, 0, 0.25f, 0.75f, 0.75f, 0.25f};
  d.emotion_length = {1, 2};
  return d;
}

TEST(AnalysisSongs, MeansSkipPaddingOrTakeItIn) {
  const Dataset d = sequences();
  EXPECT_EQ(mean_music(d, {1, 0}, false), (std::vector<double>{3.0, 3.0}));
  const std::vector<double> padded = mean_music(d, {1, 0}, true);
  EXPECT_EQ(padded[0], 3.0);
  EXPECT_DOUBLE_EQ(padded[1], (2.0 + 4.0 + 2 * 1e-5) / 4);
  EXPECT_EQ(mean_emotion(d, {0, 1}, false), (std::vector<double>{0.5, 0.25, 0.5, 0.5}));
  EXPECT_DOUBLE_EQ(mean_emotion(d, {0}, true)[1], (0.25 + 1e-5) / 2);
}

TEST(AnalysisSongs, SongVectorsAreTheirOwnMean) {
  Dataset d = sequences();
  d.music_steps = 0;
  d.music_width = 4;
  d.music_length.clear();
  for (const bool padding : {false, true})
    EXPECT_EQ(mean_music(d, {0}, padding), (std::vector<double>{2, 4, 0, 0}));
}

// (.25, .25) points to 45 degrees, word 5; laid around 0 it is (-.5, -.5): -135 degrees, word 25.
TEST(AnalysisSongs, RatingsFromZeroToOneAreLaidAroundTheMiddle) {
  Dataset d;
  d.song_id = {1};
  d.emotion_steps = 1;
  d.emotion_length = {1};
  d.emotion = {0.25f, 0.25f};
  d.metadata["emotion_range"] = "-1..1";
  EXPECT_EQ(emotion_categories(d, {0}, {}), std::vector<int>{5 / 8});
  d.metadata["emotion_range"] = "0..1";
  EXPECT_EQ(emotion_categories(d, {0}, {}), std::vector<int>{25 / 8});
  d.metadata["emotion_range"] = "0.25..0.25 (observed)";
  EXPECT_EQ(emotion_categories(d, {0}, {}), std::vector<int>{25 / 8});
  d.metadata.clear();
  d.emotion = {-0.25f, 0.25f};  // 135 degrees: a negative rating shows the scale
  EXPECT_EQ(emotion_categories(d, {0}, {}), std::vector<int>{35 / 8});
  d.emotion = {2.0f, 7.0f};
  EXPECT_TRUE(
      test::refuses(ErrorKind::kUsage, {"-1 to 1", "2 to 7"}, [&] { emotion_categories(d, {0}, {}); }));
}

TEST(AnalysisSongs, EachSideHasItsOwnFeaturesAndTheSameCategories) {
  const Dataset d = sequences();
  const AnalysisSongs music = songs_by_music(d, {1, 0}, {}), emotion = songs_by_emotion(d, {1, 0}, {});
  EXPECT_EQ(music.song_id, (std::vector<std::int64_t>{9, 7}));
  EXPECT_EQ(music.width, 1);
  EXPECT_EQ(emotion.width, 2);
  EXPECT_EQ(emotion.features, (std::vector<double>{0.5, 0.5, 0.5, 0.25}));
  EXPECT_EQ(music.category, emotion.category);
}

// Half of song 7 is padding, which would pull its mean to the origin and, laid around the middle, past it.
TEST(AnalysisSongs, PaddingNeverMovesACategory) {
  Dataset d = sequences();
  d.metadata["emotion_range"] = "0..1";
  d.emotion[0] = 0.75f;
  d.emotion[1] = 0.75f;
  AnalysisOptions padded;
  padded.average_padding = true;
  EXPECT_EQ(emotion_categories(d, {0}, padded), std::vector<int>{5 / 8});
  EXPECT_NE(songs_by_emotion(d, {0}, padded).features, songs_by_emotion(d, {0}, {}).features);
}

TEST(AnalysisSongs, SaysWhereThereAreNoFeatures) {
  Dataset d = sequences();
  d.music.clear();
  d.music_width = 0;
  EXPECT_TRUE(
      test::refuses(ErrorKind::kUsage, {"two", "no song features"}, [&] { mean_music(d, {0}, false); }));
}

// The 1,802 songs by their averaged ratings. Counts: NumPy and math.atan2 over tables of the 40 angles, nearest by distance
// on the circle, released by the text of reference_defects.md.
TEST(AnalysisSongs, CategoriesOfTheRealSongs) {
  std::string reason;
  const std::string deam = test::real_data("deam", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  const DeamPaths paths = {deam, deam + "/opensmile_song_features.csv", deam, deam};
  const Dataset d = prepare_deam(paths, {}).dataset;
  ASSERT_EQ(d.size(), 1802);
  std::vector<std::int64_t> rows(1802);
  std::iota(rows.begin(), rows.end(), 0);
  using Circumplex = AnalysisOptions::Circumplex;
  const auto categories = [&](Circumplex mapping) {
    AnalysisOptions o;
    o.circumplex = mapping;
    return emotion_categories(d, rows, o);
  };
  const auto counts = [](const std::vector<int>& list) {
    std::vector<int> count(5);
    for (const int category : list) ++count[category];
    return count;
  };
  const std::vector<int> nearest = categories(Circumplex::kNearest), cut = categories(Circumplex::kFloor),
                         released = categories(Circumplex::kReleased);
  EXPECT_EQ(counts(nearest), (std::vector<int>{893, 217, 261, 256, 175}));
  EXPECT_EQ(counts(cut), (std::vector<int>{889, 238, 237, 279, 159}));
  EXPECT_EQ(counts(released), (std::vector<int>{837, 336, 212, 271, 146}));
  int moved = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) moved += nearest[i] != released[i];
  EXPECT_EQ(moved, 306);
}

}  // namespace
}  // namespace emer
