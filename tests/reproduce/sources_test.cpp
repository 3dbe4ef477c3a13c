// From raw folders and prepared files to the data sets of experiments.
#include "engine/reproduce/sources.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "core/file.h"
#include "core/sha256.h"
#include "data/dataset.h"
#include "data/generated_features.h"
#include "data/suspicions.h"
#include "tests/support/raw_sets.h"
#include "tests/support/real_data.h"
#include "tests/support/refusal.h"
#include "tests/support/zip_file.h"

namespace emer {
namespace {

using test::contains;
using test::refuses;
using test::refuses_input;
using test::TemporaryFolder;

constexpr const char* kReleased = "deam_short_valence=released";

std::string features_of_deam() {
  std::string text = "song_id,f,g\n";
  for (const test::DeamSong& song : test::kDeamSongs)
    text += fmt::format("{},{},{}\n", song.id, song.id % 7, song.id % 5 + 0.5);
  return text;
}

// all/deam, all/pmemo, and something that is neither.
void write_all(const TemporaryFolder& folder) {
  test::write_deam_annotations(folder, "all/deam", "");
  test::write_deam_metadata(folder, "all/deam", "");
  folder.write("all/deam/opensmile_song_features.csv", features_of_deam());
  test::write_pmemo_tables(folder, "all/pmemo");
  folder.write("all/pmemo/features/static_features.csv", "musicId,f\n1,2\n");
  folder.write("all/emomusic/annotations/arousal_cont_average.csv", "song_id,sample_15000ms\n2,0.1\n");
}

TEST(Sources, BothRawSetsBelowOneFolder) {
  const TemporaryFolder folder;
  write_all(folder);
  const std::string out = folder / "out";
  const std::vector<StudyData> all = find_study_data({folder / "all"}, out);
  ASSERT_EQ(all.size(), 2u);

  const StudyData& deam = all[0];
  EXPECT_EQ(deam.name, "deam");
  EXPECT_EQ(deam.path, out + "/data/deam.safetensors");
  EXPECT_EQ(deam.label, "DEAM, 9 songs, 2 openSMILE features a song, averaged ratings");
  EXPECT_EQ(deam.checksum, sha256_hex(read_file(deam.path)));
  EXPECT_FALSE(deam.generated || deam.as_published);
  const Dataset textbook = load_dataset(deam.path);
  EXPECT_EQ(textbook.titles[7], "No, Really - Go");
  // Songs 4, 2001, 2002, 2003 have not 60 ratings: their valence is arousal in the other file.
  ASSERT_EQ(deam.variants.count(kReleased), 1u);
  const Dataset released = load_dataset(deam.variants.at(kReleased));
  EXPECT_EQ(textbook.metadata.at("short_valence_songs"), "4");
  EXPECT_EQ(released.song_id, textbook.song_id);
  EXPECT_EQ(released.music, textbook.music);
  for (std::size_t i = 0; i < textbook.emotion.size(); i += 2) {
    const std::int64_t id = textbook.song_id[i / 120];
    const bool differs = id == 4 || id > 2000;
    EXPECT_EQ(released.emotion[i + 1], textbook.emotion[i + 1]);
    EXPECT_EQ(released.emotion[i], textbook.emotion[differs ? i + 1 : i]) << id;
  }

  const StudyData& pmemo = all[1];
  EXPECT_EQ(pmemo.name, "pmemo");
  EXPECT_EQ(pmemo.path, out + "/data/pmemo-generated.safetensors");
  EXPECT_EQ(
      pmemo.label,
      "PMEmo, 2 songs, generated features (128 a frame: they say nothing about music), averaged ratings");
  EXPECT_TRUE(pmemo.generated);
  EXPECT_FALSE(pmemo.as_published);
  EXPECT_TRUE(pmemo.variants.empty());
  const Dataset songs = load_dataset(pmemo.path);
  EXPECT_EQ(songs.emotion_length, (std::vector<std::int32_t>{29, 18}));
  EXPECT_EQ(songs.music_length, (std::vector<std::int32_t>{15, 9}));  // 14.5 s and 9 s in frames of .96 s
  EXPECT_EQ(songs.music_width, 128);
}

TEST(Sources, RawDataArePreparedOnce) {
  const TemporaryFolder folder;
  write_all(folder);
  const std::string out = folder / "out";
  const std::vector<StudyData> first = find_study_data({folder / "all"}, out);
  const auto written = std::filesystem::last_write_time(first[0].path);
  const std::vector<StudyData> again = find_study_data({folder / "all/deam", folder / "all/pmemo"}, out);
  ASSERT_EQ(again.size(), 2u);
  for (const std::size_t i : {0u, 1u}) {
    EXPECT_EQ(again[i].checksum, first[i].checksum);
    EXPECT_EQ(again[i].variants, first[i].variants);
  }
  EXPECT_EQ(std::filesystem::last_write_time(first[0].path), written);

  // As a prepared file the set has its variant too; half of a preparation is made whole.
  const std::vector<StudyData> prepared = find_study_data({first[0].path}, folder / "elsewhere");
  EXPECT_EQ(prepared[0].variants, first[0].variants);
  EXPECT_EQ(prepared[0].label, first[0].label);
  std::filesystem::remove(first[0].variants.at(kReleased));
  EXPECT_TRUE(describe_prepared(first[0].path).variants.empty());
  EXPECT_EQ(find_study_data({folder / "all/deam"}, out)[0].variants, first[0].variants);
}

TEST(Sources, ChangedRawDataOverwriteNothing) {
  const TemporaryFolder folder;
  write_all(folder);
  const std::string out = folder / "out";
  const std::vector<StudyData> first = find_study_data({folder / "all"}, out);
  folder.write("all/deam/opensmile_song_features.csv", features_of_deam() + "5000,1,2\n");
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"deam", "other files", "all/deam", "--out"},
                      [&] { find_study_data({folder / "all/deam"}, out); }));
  folder.write("all/pmemo/metadata.csv",
               read_file(folder / "all/pmemo/metadata.csv") + "7,7.mp3,a,b,c,40,1,2\n");
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"pmemo-generated.safetensors", "other files"},
                      [&] { find_study_data({folder / "all/pmemo"}, out); }));
  for (const StudyData& data : first) EXPECT_EQ(sha256_hex(read_file(data.path)), data.checksum);
}

TEST(Sources, SetsWithoutShortSongsHaveNoVariant) {
  const TemporaryFolder folder;
  const std::string dynamic = "deam/annotations averaged per song/dynamic (per second annotations)/";
  for (const char* name : {"arousal", "valence"}) {
    std::string text = test::deam_header("song_id", 60);
    for (const int id : {2, 3}) {
      text += std::to_string(id);
      for (int t = 0; t < 60; ++t) text += fmt::format(",{}", 0.01 * t * (name[0] == 'a' ? 1 : -1));
      text += "\n";
    }
    folder.write(dynamic + name + ".csv", text);
  }
  folder.write("deam/features.csv", "song_id,f\n2,1\n3,2\n");
  const StudyData data = find_study_data({folder / "deam"}, folder / "out").at(0);
  EXPECT_TRUE(data.variants.empty());
  EXPECT_EQ(data.label, "DEAM, 2 songs, 1 features a song, averaged ratings");
  EXPECT_FALSE(std::filesystem::exists(folder / "out/data/deam-short-valence-released.safetensors"));
  EXPECT_TRUE(find_study_data({folder / "deam"}, folder / "out").at(0).variants.empty());
}

#ifdef EMER_WITH_AUDIO  // archives
TEST(Sources, DownloadsAsTheyAre) {
  const TemporaryFolder folder;
  test::write_deam_annotations(folder, "plain/deam", "");
  test::write_deam_metadata(folder, "plain/meta", "metadata/");
  test::write_pmemo_tables(folder, "plain/pmemo/PMEmo2019");
  folder.write("all/DEAM_Annotations.zip", test::zip_of_folder(folder / "plain/deam"));
  folder.write("all/metadata.zip", test::zip_of_folder(folder / "plain/meta"));
  folder.write("all/song_features.csv", features_of_deam());
  folder.write("all/PMEmo2019.zip", test::zip_of_folder(folder / "plain/pmemo"));
  const std::vector<StudyData> all = find_study_data({folder / "all"}, folder / "out");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(load_dataset(all[0].path).titles[7], "No, Really - Go");
  EXPECT_EQ(load_dataset(all[1].path).size(), 2);
  EXPECT_EQ(find_study_data({folder / "all/PMEmo2019.zip"}, folder / "out").at(0).checksum, all[1].checksum);
}
#endif

TEST(Sources, SingleRatersWhereThereAreNoAverages) {
  const TemporaryFolder folder;
  write_all(folder);
  std::filesystem::remove_all(folder / "all/deam/annotations/annotations averaged per song");
  const StudyData data = find_study_data({folder / "all/deam"}, folder / "out").at(0);
  EXPECT_EQ(data.label, "DEAM, 9 songs, 2 openSMILE features a song, ratings averaged from single raters'");
}

TEST(Sources, SayWhatIsMissing) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  const auto find = [&](const std::string& path) { find_study_data({path}, out); };
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"--data is needed"}, [&] { find_study_data({}, out); }));
  EXPECT_TRUE(refuses_input({"nowhere", "no such"}, [&] { find(folder / "nowhere"); }));
  EXPECT_TRUE(refuses_input({"a.safetensors", "no such file"}, [&] { find(folder / "a.safetensors"); }));
  folder.write("b.safetensors", "nonsense");
  EXPECT_TRUE(refuses_input({"b.safetensors"}, [&] { find(folder / "b.safetensors"); }));
  folder.write("c.csv", "x");
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"c.csv", "neither"}, [&] { find(folder / "c.csv"); }));
  folder.write("empty/readme.txt", "x");
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"empty", "neither", "dynamic_annotations.csv"},
                      [&] { find(folder / "empty"); }));

  write_all(folder);
  std::filesystem::remove(folder / "all/pmemo/metadata.csv");
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"pmemo", "no metadata.csv"}, [&] { find(folder / "all/pmemo"); }));
  std::filesystem::remove(folder / "all/deam/opensmile_song_features.csv");
  // PMEmo's table of features is not DEAM's.
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"DEAM's ratings, but no table", "emer prepare deam"},
                      [&] { find(folder / "all"); }));
  folder.write("all/deam/more/a_features.csv", "song_id,f\n");
  folder.write("all/deam/more/b_features.csv", "song_id,f\n");
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"a_features.csv", "b_features.csv", "--features"},
                      [&] { find(folder / "all/deam"); }));
  test::write_deam_annotations(folder, "all/deam2", "");
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"more than once", "deam2"}, [&] { find(folder / "all"); }));
  EXPECT_FALSE(std::filesystem::exists(out));
}

Dataset tiny(const std::string& name, std::map<std::string, std::string> metadata) {
  Dataset d;
  d.name = name;
  d.song_id = {1, 2};
  d.music_width = 128;
  d.music.assign(256, 0.5f);
  d.emotion_steps = 1;
  d.emotion = {.1f, .2f, .3f, .4f};
  d.emotion_length = {1, 1};
  d.metadata = std::move(metadata);
  return d;
}

TEST(Sources, TellThePapersDataByTheirHeader) {
  const TemporaryFolder folder;
  const auto described = [&](const std::string& name, std::map<std::string, std::string> metadata) {
    const std::string path = folder / "x.safetensors";
    save_dataset(tiny(name, std::move(metadata)), path);
    return describe_prepared(path);
  };
  const StudyData deam = described("deam", {{"music_kind", "VGGish"}, {"ratings", "per_rater"}});
  EXPECT_TRUE(deam.as_published);
  EXPECT_EQ(deam.label, "DEAM, 2 songs, 128 VGGish features a song, ratings averaged from single raters'");
  EXPECT_FALSE(described("deam", {{"music_kind", "VGGish"}, {"ratings", "averaged"}}).as_published);
  EXPECT_FALSE(described("deam", {{"music_kind", "feature table"}, {"ratings", "per_rater"}}).as_published);
  EXPECT_TRUE(described("pmemo", {{"music_kind", "VGGish"}}).as_published);
  const StudyData made = described("synthetic", {{"music_kind", "synthetic"}, {"source", "generated"}});
  EXPECT_TRUE(made.generated);
  EXPECT_TRUE(contains(made.label, "nothing about music"));
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"'a b'", "letters"}, [&] { described("a b", {}); }));
}

TEST(Sources, NamesAreUnique) {
  const TemporaryFolder folder;
  for (const char* file : {"x.safetensors", "y.safetensors"}) save_dataset(tiny("same", {}), folder / file);
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"x.safetensors", "y.safetensors", "'same'"}, [&] {
    find_study_data({folder / "x.safetensors", folder / "y.safetensors"}, folder / "out");
  }));
}

TEST(GeneratedFeatures, FollowTheRatingsOfTheirSongAlone) {
  Dataset one;
  one.song_id = {7, 9};
  one.emotion_steps = 40;
  one.emotion_length = {40, 1};
  one.emotion.assign(160, 0.0f);
  for (std::size_t i = 0; i < 80; ++i) one.emotion[i] = 0.8f;
  one.emotion[80] = one.emotion[81] = 0.3f;
  Dataset two = one;
  two.song_id = {8, 9};
  generate_features(one, 0, 1);
  generate_features(two, 0, 1);
  validate(one, "one");
  EXPECT_EQ(one.music_length, (std::vector<std::int32_t>{20, 1}));
  EXPECT_EQ(one.music_steps, 20);
  const std::size_t song = 20 * 128;
  EXPECT_TRUE(std::equal(one.music.begin() + song, one.music.end(), two.music.begin() + song));
  EXPECT_FALSE(std::equal(one.music.begin(), one.music.begin() + song, two.music.begin()));
  for (std::size_t i = song + 128; i < one.music.size(); ++i) EXPECT_EQ(one.music[i], 0) << i;
  EXPECT_TRUE(contains(one.metadata.at("music_kind"), "nothing about music"));
}

TEST(GeneratedFeatures, TellTheRatingsSomewhat) {
  // 200 songs of constant ratings: distances of features follow distances of ratings, far from perfectly.
  Dataset d;
  d.emotion_steps = 20;
  for (int i = 0; i < 200; ++i) {
    d.song_id.push_back(i);
    d.emotion_length.push_back(20);
    for (int t = 0; t < 20; ++t)
      d.emotion.insert(d.emotion.end(), {0.02f * (i % 20) + 0.3f, 0.05f * (i / 20) + 0.3f});
  }
  generate_features(d, 0, 1);
  std::vector<std::vector<double>> mean(200, std::vector<double>(128));
  for (std::size_t i = 0; i < d.music.size(); ++i)
    mean[i / 128 / static_cast<std::size_t>(d.music_steps)][i % 128] +=
        static_cast<double>(d.music[i]) / d.music_steps;
  std::vector<double> of_features, of_ratings;
  for (std::size_t a = 0; a < 200; ++a)
    for (std::size_t b = 0; b < a; ++b) {
      double features = 0;
      for (std::size_t j = 0; j < 128; ++j) features += std::pow(mean[a][j] - mean[b][j], 2);
      of_features.push_back(std::sqrt(features));
      of_ratings.push_back(
          std::hypot(d.emotion[a * 40] - d.emotion[b * 40], d.emotion[a * 40 + 1] - d.emotion[b * 40 + 1]));
    }
  const double r = correlation(of_features, of_ratings);
  EXPECT_GT(r, 0.3);
  EXPECT_LT(r, 0.9);
}

TEST(RealSources, AreDeamAndPmemo) {
  std::string reason;
  const std::string deam = test::real_data("deam", reason);
  const std::string pmemo = test::real_data("pmemo", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  const TemporaryFolder folder;
  const std::string root = std::filesystem::path(deam).parent_path().string();
  const std::vector<StudyData> all = find_study_data({root}, folder.path());
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].label, "DEAM, 1,802 songs, 204 openSMILE features a song, averaged ratings");
  EXPECT_EQ(
      all[1].label,
      "PMEmo, 701 songs, generated features (128 a frame: they say nothing about music), averaged ratings");
  EXPECT_EQ(load_dataset(all[0].path).metadata.at("short_valence_songs"), "58");
  EXPECT_EQ(all[0].variants.size(), 1u);
  const Dataset songs = load_dataset(all[1].path);
  EXPECT_EQ(songs.music_steps, 76);
  EXPECT_EQ(songs.emotion_steps, 146);
}

}  // namespace
}  // namespace emer
