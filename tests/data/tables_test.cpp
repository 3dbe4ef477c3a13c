#include "data/tables.h"

#include <gtest/gtest.h>

#include <map>

#include "data/suspicions.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using Ids = std::vector<std::int64_t>;
using test::contains;
using test::error_of;

CsvTable csv(const std::string& text) {
  return parse_csv(text, "t.csv");
}

Ids dropped(const ImportReport& report, const std::string& reason) {
  for (const SongsWithReason& item : report.dropped)
    if (item.reason == reason) return item.ids;
  return {};
}

std::string warnings(const ImportReport& report) {
  std::string all;
  for (const std::string& warning : report.warnings) all += warning + "\n";
  return all;
}

TEST(WideRatings, ReadsSampleColumnsAndLeavesTrailingGapsOut) {
  const WideRatings r =
      read_wide_ratings(csv("WorkerId, song_id, sample_15000ms, sample_15500ms, sample_16000ms, note\n"
                            "A1, 7, .1, .2, .3, 9\n"
                            "A1, 3, .4, NaN, , 9\n"
                            "A1, 5, , .5\n"
                            "A1, 9, , ,\n"));
  EXPECT_EQ(r.steps, (std::vector<std::string>{"sample_15000ms", "sample_15500ms", "sample_16000ms"}));
  ASSERT_EQ(r.songs.size(), 4u);
  EXPECT_EQ(r.songs.at(7).size(), 3u);
  EXPECT_EQ(r.songs.at(3).size(), 1u);
  EXPECT_EQ(r.songs.at(5), (std::vector<std::optional<double>>{std::nullopt, 0.5}));
  EXPECT_TRUE(r.songs.at(9).empty());
}

TEST(WideRatings, RefusesSpoiltTables) {
  const std::map<std::string, std::string> refused = {
      {"song_id\n1\n", "no rating columns"},
      {"song_id,sample_1\n", "no songs under the header"},
      {"song_id,sample_1\n1,.5\n2,.5\n1,.5\n", "line 4: song 1 is already on line 2"},
      {"song_id,sample_1\n-4,.5\n", "line 2: song id -4 is negative"},
      {"song_id,sample_1\nfour,.5\n", "line 2"},
      {"song_id,sample_1\n1,high\n", "line 2, column 2"},
      {"song_id,sample_1\n1,.5,.6\n", "line 2 has 3 fields, the header has 2"},
      {"song_id,sample_1\n1,1e39\n", "single precision"},
  };
  for (const auto& [text, part] : refused)
    EXPECT_TRUE(contains(error_of([&] { read_wide_ratings(csv(text)); }), part));
}

TEST(PairRatings, DropsAndCutsWithReasons) {
  const std::string head = "id,a,b,c\n";
  const WideRatings valence =
      read_wide_ratings(csv(head + "1,.1,.2,.3\n2,.1,,.3\n3,,.2,.3\n4,.1,.2,\n5,,,\n6,.1,.1,.1\n"));
  const WideRatings arousal =
      read_wide_ratings(csv(head + "1,.4,.5,.6\n2,.4,.5,.6\n3,.4,.5,.6\n4,.4,.5,.6\n5,,,\n8,.1,.1,.1\n"));
  ImportReport report;
  const RatingTable table = pair_ratings(valence, arousal, 0, report);
  ASSERT_EQ(table.songs.size(), 2u);
  EXPECT_EQ(table.songs.at(1).size(), 3u);
  EXPECT_EQ(table.songs.at(1)[2].valence, 0.3);
  EXPECT_EQ(table.songs.at(1)[2].arousal, 0.6);
  EXPECT_EQ(table.songs.at(2).size(), 1u);
  EXPECT_EQ(dropped(report, "the first rating is missing"), Ids{3});
  EXPECT_EQ(dropped(report, "valence and arousal have different numbers of ratings"), Ids{4});
  EXPECT_EQ(dropped(report, "no rating"), Ids{5});
  EXPECT_EQ(dropped(report, "valence but no arousal"), Ids{6});
  EXPECT_EQ(dropped(report, "arousal but no valence"), Ids{8});
  ASSERT_EQ(report.changed.size(), 1u);
  EXPECT_EQ(report.changed[0].ids, Ids{2});
  EXPECT_EQ(report.dropped_songs(), 5);

  ImportReport shorter;
  EXPECT_EQ(pair_ratings(valence, arousal, 1, shorter).songs.at(1).size(), 1u);
  EXPECT_TRUE(shorter.changed.empty()) << "the missing rating lies behind the steps kept";

  ImportReport misaligned;
  pair_ratings(valence, read_wide_ratings(csv("id,b,c\n1,.1,.2\n")), 0, misaligned);
  EXPECT_TRUE(contains(warnings(misaligned), "may not be aligned"));
}

TEST(LongRatings, AreFoundByHeaderAndSortedByTime) {
  ImportReport report;
  const RatingTable table =
      read_long_ratings(csv("musicId,frameTime,Arousal(mean),Valence(mean)\n"
                            "4,16.0,.3,.4\n4,15.5,.1,.2\n2,15.5,.5,.6\n2,16,,.7\n2,16.5,.8,.9\n"),
                        0, report);
  ASSERT_EQ(table.songs.at(4).size(), 2u);
  EXPECT_EQ(table.songs.at(4)[0].valence, 0.2);
  EXPECT_EQ(table.songs.at(4)[0].arousal, 0.1);
  EXPECT_EQ(table.songs.at(4)[1].valence, 0.4);
  EXPECT_EQ(table.songs.at(2).size(), 1u);
  EXPECT_EQ(report.changed.at(0).ids, Ids{2});

  const std::map<std::string, std::string> refused = {
      {"id,time,valence\n1,0,.5\n", "'arousal'"},
      {"id,valence,arousal\n1,.5,.5\n", "'time'"},
      {"id,time,valence,arousal\n1,0,.5,.5\n1,0,.5,.5\n", "song 1 has two rows of time 0"},
      {"id,time,valence,arousal\n1,,.5,.5\n", "the time is missing"},
      {"id,time,valence,arousal\n", "no songs"},
  };
  for (const auto& [text, part] : refused)
    EXPECT_TRUE(contains(error_of([&] { read_long_ratings(csv(text), 0, report); }), part));
}

TEST(Features, ReadsVectorsAndSequences) {
  const FeatureTable vectors = read_features(csv(",musicId,f,g\n0,5,1,2\n1,3,3,\n2,4,5,6\n"));
  EXPECT_FALSE(vectors.sequence);
  EXPECT_EQ(vectors.names, (std::vector<std::string>{"f", "g"}));
  EXPECT_EQ(vectors.songs.at(5), (std::vector<float>{1, 2}));
  EXPECT_EQ(vectors.songs.size(), 2u);
  EXPECT_EQ(vectors.incomplete, Ids{3});
  ASSERT_EQ(vectors.warnings.size(), 1u);
  EXPECT_TRUE(contains(vectors.warnings[0], "without a name"));

  const FeatureTable sequences = read_features(csv("musicId,frameTime,f,g\n5,1,3,4\n5,0.5,1,2\n6,0.5,5,6\n"));
  EXPECT_TRUE(sequences.sequence);
  EXPECT_EQ(sequences.songs.at(5), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(sequences.songs.at(6), (std::vector<float>{5, 6}));
}

TEST(Features, RefusesSpoiltTables) {
  const std::map<std::string, std::string> refused = {
      {"song_id\n1\n", "no feature columns"},
      {"song_id,f\n", "no songs"},
      {"song_id,f,f\n1,2,3\n", "two columns are called 'f'"},
      {"song_id,f,g\n1,2\n", "line 2 has 2 fields"},
      {"song_id,f\n1,2\n1,3\n", "line 3: song 1 is already on line 2"},
      {"song_id,f\n1,x\n", "line 2, column 2"},
      {"song_id,f\n1.5,2\n", "1.5"},
      {"song_id,f\n1,inf\n", "inf"},
  };
  for (const auto& [text, part] : refused)
    EXPECT_TRUE(contains(error_of([&] { read_features(csv(text)); }), part));
}

TEST(Join, AccountsForEverySongOnce) {
  ImportReport report;
  RatingTable ratings = read_long_ratings(
      csv("id,time,valence,arousal\n1,0,.1,.2\n2,0,.3,.4\n2,1,.5,.6\n3,0,.7,.8\n4,0,.1,.1\n6,0,,\n"), 0,
      report);
  const FeatureTable features = read_features(csv("id,f\n2,5\n1,4\n3,\n6,9\n7,9\n8,\n"));
  const Dataset d = join(ratings, &features, report);
  validate(d, "joined");
  EXPECT_EQ(d.song_id, (Ids{1, 2}));
  EXPECT_EQ(d.music, (std::vector<float>{4, 5}));
  EXPECT_EQ(d.emotion, (std::vector<float>{.1f, .2f, 0, 0, .3f, .4f, .5f, .6f}));
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(dropped(report, "a feature is missing"), Ids{3});
  EXPECT_EQ(dropped(report, "ratings but no features"), Ids{4});
  EXPECT_EQ(dropped(report, "no rating"), Ids{6});
  EXPECT_EQ(dropped(report, "features but no ratings"), (Ids{7, 8}));
  EXPECT_EQ(report.kept, 2);
  EXPECT_EQ(report.dropped_songs(), 5);
  EXPECT_TRUE(contains(report.text(), "kept 2 songs, dropped 5\n"));
  EXPECT_TRUE(contains(report.text(), "dropped 2 songs: features but no ratings (ids 7, 8)\n"));
}

TEST(Join, SaysWhenNothingMatches) {
  ImportReport report;
  const RatingTable ratings = read_long_ratings(csv("id,time,valence,arousal\n1,0,.1,.2\n"), 0, report);
  const FeatureTable features = read_features(csv("id,f\n20,5\n21,5\n"));
  const std::string message = error_of([&] { join(ratings, &features, report); });
  EXPECT_TRUE(contains(message, "no song has both ratings and features"));
  EXPECT_TRUE(contains(message, "ids 20, 21"));
  EXPECT_TRUE(
      contains(error_of([&] { join(RatingTable{}, nullptr, report); }), "no song has usable ratings"));
}

TEST(Join, RatingsAloneMakeADatasetWithoutMusic) {
  ImportReport report;
  const RatingTable ratings = read_long_ratings(csv("id,time,valence,arousal\n1,0,.1,.2\n"), 0, report);
  const Dataset d = join(ratings, nullptr, report);
  validate(d, "ratings");
  EXPECT_EQ(d.music_width, 0);
  EXPECT_TRUE(contains(warnings(report), "ratings alone"));
}

// Twelve songs of one rating each. Column `sum` is a linear map of both ratings though neither alone explains
// it (their own correlation is -0.14), `fine` is unrelated.
TEST(Suspicions, FindsLeakedLabelsConstantAndNamedColumns) {
  std::string rating_rows = "id,time,valence,arousal\n", feature_rows = "id,sum,flat,fine,valence_mean\n";
  const double v[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
               a[12] = {7, 2, 11, 5, 12, 1, 9, 3, 10, 4, 6, 8};
  const double fine[12] = {1, -1, 1, -1, -1, 1, 1, -1, -1, 1, -1, 1};
  for (int i = 0; i < 12; ++i) {
    rating_rows += fmt::format("{},0,{},{}\n", i + 1, v[i], a[i]);
    feature_rows += fmt::format("{},{},3,{},{}\n", i + 1, 2 * v[i] - a[i], fine[i], fine[i] + 0.1 * i);
  }
  ImportReport report;
  const RatingTable ratings = read_long_ratings(csv(rating_rows), 0, report);
  const FeatureTable features = read_features(csv(feature_rows));
  join(ratings, &features, report);
  ASSERT_EQ(report.warnings.size(), 3u) << warnings(report);
  EXPECT_TRUE(contains(report.warnings[0], "1 feature columns are constant over all songs: 'flat'"));
  EXPECT_TRUE(contains(report.warnings[1], "named like ratings: 'valence_mean'"));
  EXPECT_TRUE(contains(report.warnings[2], "1 of 4 feature columns follow from the mean ratings"));
  EXPECT_TRUE(contains(report.warnings[2], "'sum'"));
}

TEST(Suspicions, CorrelationByHand) {
  // x - mean = -1 0 1, y - mean = -1 -1 2: 3 / sqrt(2 * 6).
  EXPECT_NEAR(correlation({1, 2, 3}, {1, 1, 4}), 3 / std::sqrt(12.0), 1e-15);
  EXPECT_EQ(correlation({1, 2, 3}, {5, 5, 5}), 0);
  EXPECT_EQ(correlation({1}, {1}), 0);
}

TEST(Suspicions, ComparesRatingsWithTheirScale) {
  Dataset d;
  d.song_id = {1};
  d.emotion_steps = 2;
  d.emotion_length = {1};
  const auto warned = [&](float valence, float arousal, double low, double high) {
    d.emotion = {valence, arousal, 0, 0};
    ImportReport report;
    warn_about_scale(d, low, high, report);
    return warnings(report);
  };
  EXPECT_TRUE(contains(warned(0.2f, 0.9f, -1, 1), "(x+1)/2"));
  EXPECT_TRUE(contains(warned(2, 5, 0, 1), "run from 2 to 5"));
  EXPECT_EQ(warned(-0.2f, 0.9f, -1, 1), "");
  EXPECT_EQ(warned(0.2f, 0.9f, 0, 1), "");
}

TEST(SongNames, SurviveTabsShiftsAndUnreadableRows) {
  ImportReport report;
  const SongNames names = read_song_names(csv("song_id,title,artist,album,Genre\n"
                                              "1,\"\tOne\t\",\"\tBand\t\",n/a,Rock\n"
                                              "2,Go,No, Really,n/a,folk\n"
                                              "x,Lost,Row,n/a,pop\n"
                                              "3,Short\n"
                                              "4,Four,n/a,n/a,pop\n"
                                              "1,Again,Band,n/a,pop\n"),
                                          2, 1, report);
  ASSERT_EQ(names.size(), 4u);
  EXPECT_EQ(names.at(1).title, "One");
  EXPECT_EQ(names.at(1).artist, "Band");
  EXPECT_EQ(names.at(2).artist, "No, Really");
  EXPECT_EQ(names.at(3).title, "Short");
  EXPECT_EQ(names.at(3).artist, "");
  EXPECT_EQ(names.at(4).artist, "");
  EXPECT_TRUE(contains(warnings(report), "1 rows without a readable song id (the first on line 4)"));

  Dataset d;
  d.song_id = {1, 2, 3, 9};
  set_names(d, names);
  EXPECT_EQ(d.titles, (std::vector<std::string>{"Band - One", "No, Really - Go", "Short", ""}));
  EXPECT_EQ(d.artists, (std::vector<std::string>{"Band", "No, Really", "", ""}));
}

// A table written with a space after every comma is not full of torn values.
TEST(SongNames, SpacesAfterEveryCommaAreNotShifts) {
  ImportReport report;
  const SongNames names =
      read_song_names(csv("Id, Artist, Album, Track\n1, A, B, C\n2, D, E, F\n"), 1, 3, report);
  EXPECT_EQ(names.at(1).artist, "A");
  EXPECT_EQ(names.at(2).title, "F");
}

}  // namespace
}  // namespace emer
