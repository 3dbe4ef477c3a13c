// The data sets as downloaded: every kind of annotation, folders and archives alike.
#include <gtest/gtest.h>

#include "data/deam.h"
#include "data/emomusic.h"
#include "data/pmemo.h"
#include "data/song_files.h"
#include "tests/support/raw_sets.h"
#include "tests/support/refusal.h"
#include "tests/support/zip_file.h"

namespace emer {
namespace {

using Ids = std::vector<std::int64_t>;
using test::contains;
using test::refuses_input;
using test::TemporaryFolder;

constexpr std::size_t kSong3 = 1;  // its row

DeamPaths write_deam(const TemporaryFolder& folder, const std::string& level) {
  test::write_deam_annotations(folder, "deam", level.empty() ? "" : level + "DEAM_Annotations/");
  test::write_deam_metadata(folder, "meta", level);
  return {.annotations = folder / "deam", .features = {}, .metadata = folder / "meta", .statics = {}};
}

float valence_of(const Dataset& d, std::size_t row, int step) {
  return d.emotion[(row * static_cast<std::size_t>(d.emotion_steps) + static_cast<std::size_t>(step)) * 2];
}

TEST(RawDeam, SingleRatersAreAveraged) {
  const TemporaryFolder folder;
  const DeamPaths paths = write_deam(folder, "");
  const ImportResult averaged = prepare_deam(paths, {.sound_follows = true});
  const ImportResult rated = prepare_deam(paths, {.per_rater = true, .sound_follows = true});
  EXPECT_EQ(rated.dataset.song_id, (Ids{2, 3, 4, 1001, 1002, 1003, 2001, 2002, 2003}));
  EXPECT_EQ(rated.dataset.emotion_length, averaged.dataset.emotion_length);
  ASSERT_EQ(rated.dataset.emotion.size(), averaged.dataset.emotion.size());
  for (std::size_t i = 0; i < rated.dataset.emotion.size(); ++i) {
    const bool hole = i == (kSong3 * 60 + 41) * 2;
    // Two raters are left there, 0.25 below the mean and on it.
    EXPECT_NEAR(rated.dataset.emotion[i], averaged.dataset.emotion[i] - (hole ? 0.125f : 0.0f), 1e-6f) << i;
  }
  EXPECT_TRUE(contains(rated.report.text(), "note: valence: 9 songs, each rated by 3 to 3\n"));
  EXPECT_TRUE(rated.report.warnings.empty()) << rated.report.text();
  EXPECT_EQ(rated.dataset.metadata.at("ratings"), "per_rater");
  EXPECT_EQ(rated.dataset.metadata.at("rater_mean"), "skip_missing");
  EXPECT_EQ(averaged.dataset.metadata.count("rater_mean"), 0u);
  EXPECT_NE(rated.dataset.metadata.at("checksum"), averaged.dataset.metadata.at("checksum"));
}

TEST(RawDeam, PlainMeanLosesAStepWhereOneRatingIsMissing) {
  const TemporaryFolder folder;
  const ImportResult plain = prepare_deam(
      write_deam(folder, ""), {.per_rater = true, .rater_mean = RaterMean::kPlain, .sound_follows = true});
  EXPECT_EQ(plain.dataset.emotion_length, (std::vector<std::int32_t>{60, 41, 60, 60, 60, 60, 60, 60, 60}));
  EXPECT_NEAR(valence_of(plain.dataset, kSong3, 40), test::deam_valence(3, 40), 1e-6);
  EXPECT_TRUE(
      contains(plain.report.text(), "changed 1 song: ratings cut before the first missing one (ids 3)"));
  EXPECT_EQ(plain.dataset.metadata.at("rater_mean"), "plain");
}

TEST(RawDeam, StepsZeroKeepsWhatTheRatersGave) {
  const TemporaryFolder folder;
  const Dataset d =
      prepare_deam(write_deam(folder, ""), {.steps = 0, .per_rater = true, .sound_follows = true}).dataset;
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{60, 60, 61, 60, 60, 60, 240, 240, 240}));
}

TEST(RaterTables, TakeTheStepsByName) {
  const RaterTable table = read_rater_table(
      parse_csv("WorkerId, sample_15000ms, sample_15500ms,sample_16000ms\nA,1,,\nB,2,0.5\nC,,,\n", "t"),
      RaterMean::kSkipMissing);
  EXPECT_EQ(table.steps, (std::vector<std::string>{"sample_15000ms", "sample_15500ms", "sample_16000ms"}));
  EXPECT_EQ(table.values, (std::vector<std::optional<double>>{1.5, 0.5}));
  EXPECT_EQ(table.raters, 2);
  EXPECT_TRUE(refuses_input({"t", "sample_"}, [] {
    read_rater_table(parse_csv("WorkerId,1,2\nA,1,2\n", "t"), RaterMean::kPlain);
  }));
  EXPECT_TRUE(refuses_input(
      {"line 2"}, [] { read_rater_table(parse_csv("sample_1,sample_2\n1,2,3\n", "t"), RaterMean::kPlain); }));
}

TEST(RaterFiles, MustBeThereOnce) {
  const TemporaryFolder folder;
  const DeamPaths paths = write_deam(folder, "");
  const DeamOptions options = {.per_rater = true, .sound_follows = true};
  folder.write("deam/again/annotations per each rater/arousal/2.csv", "sample_1\n1\n");
  EXPECT_TRUE(refuses_input({"song 2 is there twice"}, [&] { prepare_deam(paths, options); }));
  const TemporaryFolder other;
  other.write("arousal.csv", "x");
  EXPECT_TRUE(refuses_input({"no single raters' files"}, [&] {
    prepare_deam({.annotations = other.path(), .features = {}, .metadata = {}, .statics = {}}, options);
  }));
}

TEST(SongAudio, IsFoundByNumberWhereverItLies) {
  const TemporaryFolder folder;
  for (const char* file :
       {"x/12.mp3", "x/7.WAV", "x/._12.mp3", "x/12.txt", "x/3a.mp3", "x/99999999999999999999.mp3"})
    folder.write(file, "sound");
  const auto ids = [](const std::map<std::int64_t, AudioSource>& audio) {
    Ids list;
    for (const auto& [id, source] : audio) list.push_back(id);
    return list;
  };
  EXPECT_EQ(ids(song_audio(FileTree::open(folder.path()), "")), (Ids{7, 12}));
  EXPECT_EQ(song_audio(FileTree::open(folder.path()), "").at(7).read(), "sound");
  folder.write("y/chorus/12.mp3", "chorus");
  EXPECT_EQ(ids(song_audio(FileTree::open(folder.path()), "chorus")), (Ids{12}));
  EXPECT_TRUE(refuses_input({"song 12 is there twice", "x/12.mp3"},
                            [&] { song_audio(FileTree::open(folder.path()), ""); }));
  const TemporaryFolder empty;
  EXPECT_TRUE(refuses_input({"no sound named after song ids"},
                            [&] { song_audio(FileTree::open(empty.path()), ""); }));
}

TEST(SongAudio, DecidesWhichSongsStay) {
  ImportResult result;
  Dataset& d = result.dataset;
  d.song_id = {1, 2, 3};
  d.emotion_steps = 3;
  d.emotion = {1, 2, 0, 0, 0, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0};
  d.emotion_length = {1, 3, 2};
  d.titles = {"one", "two", "three"};
  result.report.drop("shorter than 22.5 s", 8);
  std::map<std::int64_t, AudioSource> audio;
  for (const std::int64_t id : {1, 3, 8, 9}) audio[id] = {};
  keep_songs_with_audio(result, audio, "a.zip");
  EXPECT_EQ(d.song_id, (Ids{1, 3}));
  EXPECT_EQ(d.emotion_steps, 2);
  EXPECT_EQ(d.emotion, (std::vector<float>{1, 2, 0, 0, 9, 10, 11, 12}));
  EXPECT_EQ(d.titles, (std::vector<std::string>{"one", "three"}));
  validate(d, "kept");
  EXPECT_EQ(result.report.text(),
            "kept 2 songs, dropped 3\ndropped 1 song: shorter than 22.5 s (ids 8)\n"
            "dropped 1 song: sound but no ratings (ids 9)\ndropped 1 song: ratings but no sound (ids 2)\n");
  EXPECT_TRUE(
      refuses_input({"no song has both", "2 with ratings (ids 1, 3)", "1 with sound (ids 5)", "a.zip"}, [&] {
        keep_songs_with_audio(result, {{5, {}}}, "a.zip");
      }));
}

#ifdef EMER_WITH_AUDIO

void expect_same(const ImportResult& got, const ImportResult& want) {
  EXPECT_EQ(got.dataset.song_id, want.dataset.song_id);
  EXPECT_EQ(got.dataset.emotion, want.dataset.emotion);
  EXPECT_EQ(got.dataset.emotion_length, want.dataset.emotion_length);
  EXPECT_EQ(got.dataset.titles, want.dataset.titles);
  EXPECT_EQ(got.dataset.artists, want.dataset.artists);
  EXPECT_EQ(got.dataset.metadata, want.dataset.metadata);
}

TEST(RawDeam, ArchivesGiveWhatFoldersGive) {
  for (const std::string level : {"", "a mirror/"}) {
    const TemporaryFolder folder;
    const DeamPaths paths = write_deam(folder, level);
    DeamPaths zips = paths;
    zips.annotations = folder.write("annotations.zip", test::zip_of_folder(paths.annotations));
    zips.metadata = folder.write("metadata.zip", test::zip_of_folder(paths.metadata));
    for (const bool per_rater : {false, true}) {
      const DeamOptions options = {.per_rater = per_rater, .sound_follows = true};
      const ImportResult packed = prepare_deam(zips, options);
      expect_same(packed, prepare_deam(paths, options));
      EXPECT_EQ(packed.dataset.titles[7], "No, Really - Go");
      EXPECT_TRUE(contains(packed.report.text(), "differs from the published DEAM_Annotations.zip"));
    }
  }
}

TEST(RawPmemo, OneArchiveIsEnough) {
  const TemporaryFolder folder;
  test::write_pmemo_tables(folder, "all/PMEmo2019");
  const std::string zip = folder.write("PMEmo2019.zip", test::zip_of_folder(folder / "all"));
  const PmemoOptions options = {.sound_follows = true};
  const ImportResult packed = prepare_pmemo({.annotations = zip, .metadata = {}, .features = {}}, options);
  EXPECT_EQ(packed.dataset.song_id, (Ids{1, 5}));
  EXPECT_EQ(packed.dataset.emotion_length, (std::vector<std::int32_t>{29, 18}));
  EXPECT_EQ(packed.dataset.titles[1], "21 Savage - No, Heart");
  EXPECT_TRUE(contains(packed.report.text(), "dropped 1 song: shorter than 22.5 s (ids 4)\n"));
  EXPECT_TRUE(contains(packed.report.text(), "dropped 1 song: no dynamic ratings (ids 6)\n"));
  expect_same(packed,
              prepare_pmemo({.annotations = folder / "all", .metadata = {}, .features = {}}, options));
}

#endif

}  // namespace
}  // namespace emer
