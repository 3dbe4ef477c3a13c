#include <gtest/gtest.h>

#include <algorithm>

#include "core/sha256.h"
#include "data/deam.h"
#include "data/emomusic.h"
#include "data/features.h"
#include "data/input_files.h"
#include "data/pmemo.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

using Ids = std::vector<std::int64_t>;
using test::contains;
using test::error_of;
using test::TemporaryFolder;

const char* const kDynamic =
    "DEAM_Annotations/annotations/annotations averaged per song/dynamic (per second annotations)/";

double valence_at(std::int64_t id, int step) {
  return -0.5 + 0.001 * static_cast<double>(id % 100) + 0.002 * step;
}
double arousal_at(std::int64_t id, int step) {
  return 0.5 - 0.002 * static_cast<double>(id % 100) - 0.001 * step;
}

struct FixtureSong {
  std::int64_t id;
  int steps;
  int missing = -1;  // step whose valence cell is NaN
};

// Three songs of each year's style: 60 ratings, 61, 240; a hole in song 3; one too short; spaces in the
// header.
const std::vector<FixtureSong> kSongs = {{2, 60},    {3, 60, 41}, {4, 61},    {1001, 60}, {1002, 60},
                                         {1003, 59}, {2001, 240}, {2002, 70}, {2003, 60}};

std::string wide(const std::vector<FixtureSong>& songs, bool valence) {
  std::string text = "song_id";
  for (int t = 0; t < 240; ++t) text += fmt::format(", sample_{}ms", 15000 + 500 * t);
  text += "\n";
  for (const FixtureSong& song : songs) {
    text += std::to_string(song.id);
    for (int t = 0; t < 240; ++t)
      text += t >= song.steps ? std::string(",")
              : valence && t == song.missing
                  ? std::string(", NaN")
                  : fmt::format(", {}", valence ? valence_at(song.id, t) : arousal_at(song.id, t));
    text += "\n";
  }
  return text;
}

// A folder as mirrors have it, one level deeper than the archive; returns the paths.
DeamPaths write_deam(const TemporaryFolder& folder) {
  folder.write(std::string(kDynamic) + "valence.csv", wide(kSongs, true));
  folder.write(std::string(kDynamic) + "arousal.csv", wide(kSongs, false));
  folder.write(
      "DEAM_Annotations/annotations/annotations per each rater/dynamic (per second annotations)/valence.csv",
      "not this one");
  folder.write("metadata/metadata/metadata_2013.csv",
               "\"song_id\",\"file_name\",\"Artist\",\"Song title\",\"start\",\"end\",\"Genre\"\n"
               "2,\"\t2.mp3\",\"The Band\t\",\"\tTonight\t\",\"\t0.48\",\"\t1.33\",\"\tBlues\t\"\n"
               "3,\"\t3.mp3\",\"Kevin\t\",\"\tSlow, Burn\t\",\"\t0.48\",\"\t1.33\",\"\tBlues\t\"\n"
               "4,\"\t4.mp3\",\"Kevin\t\",\"\tFour\t\",\"\t0.48\",\"\t1.33\",\"\tBlues\t\"\n");
  folder.write("metadata/metadata/metadata_2014.csv",
               "Id,Artist,Album,Track,Genre\n"
               "1001,Rope,Album,Weatherman,SoulRB-Country,blues,love,tag\n"
               "1002,Samm,Album,My My My,Blues\n"
               "1003,Al,Album,Five,Country,one,two,three,four,five\n");
  folder.write("metadata/metadata/metadata_2015.csv",
               "id,Filename,title,artist,album,genre\n"
               "2001,2001.mp3,Old Tree,Creepoid,n/a,Rock\n"
               "2002,2002.mp3,Go,No, Really,n/a,Rock\n"
               "2003,2003.mp3,Flying,Aimee,n/a,World,Folk\n");
  std::string features = "song_id, f1, f2\n";
  for (const FixtureSong& song : kSongs)
    if (song.id != 1002) features += fmt::format("{},{},{}\n", song.id, song.id * song.id % 17, song.id % 5);
  folder.write("features.csv", features + "1500,1,2\n");
  return {.annotations = folder.path(),
          .features = folder / "features.csv",
          .metadata = folder / "metadata",
          .statics = {}};
}

TEST(Deam, ImportsEveryYearsStyle) {
  const TemporaryFolder folder;
  const ImportResult result = prepare_deam(write_deam(folder), {});
  const Dataset& d = result.dataset;
  validate(d, "deam");
  EXPECT_EQ(d.song_id, (Ids{2, 3, 4, 1001, 1003, 2001, 2002, 2003}));
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{60, 41, 60, 60, 59, 60, 60, 60}));
  EXPECT_EQ(d.emotion_steps, 60);
  EXPECT_EQ(d.music_width, 2);
  EXPECT_EQ(d.music[2], 9.0f);
  for (std::size_t row = 0; row < d.song_id.size(); ++row)
    for (int t = 0; t < d.emotion_length[row]; ++t) {
      const std::size_t at = (row * 60 + static_cast<std::size_t>(t)) * 2;
      ASSERT_EQ(d.emotion[at], static_cast<float>(valence_at(d.song_id[row], t))) << row << " " << t;
      ASSERT_EQ(d.emotion[at + 1], static_cast<float>(arousal_at(d.song_id[row], t))) << row << " " << t;
    }
  EXPECT_EQ(d.titles, (std::vector<std::string>{"The Band - Tonight", "Kevin - Slow, Burn", "Kevin - Four",
                                                "Rope - Weatherman", "Al - Five", "Creepoid - Old Tree",
                                                "No, Really - Go", "Aimee - Flying"}));
  EXPECT_EQ(d.artists[6], "No, Really");
  const std::string text = result.report.text();
  EXPECT_TRUE(contains(text, "kept 8 songs, dropped 2\n"));
  EXPECT_TRUE(contains(text, "dropped 1 song: ratings but no features (ids 1002)\n"));
  EXPECT_TRUE(contains(text, "dropped 1 song: features but no ratings (ids 1500)\n"));
  EXPECT_TRUE(contains(text, "changed 1 song: ratings cut before the first missing one (ids 3)\n"));
  EXPECT_EQ(text.find("rescaled"), std::string::npos);
  EXPECT_EQ(d.metadata.at("deam_short_valence"), "textbook");
  EXPECT_EQ(d.metadata.at("emotion_range"), "-1..1");
  EXPECT_EQ(d.metadata.at("checksum").size(), 64u);
  EXPECT_EQ(d.metadata.at("inputs").find(folder.path()), std::string::npos) << "no machine paths in files";

  const TemporaryFolder out;
  save_dataset(d, out / "deam.safetensors");
  const Dataset loaded = load_dataset(out / "deam.safetensors");
  EXPECT_EQ(loaded.emotion, d.emotion);
  EXPECT_EQ(loaded.titles, d.titles);
  EXPECT_EQ(loaded.metadata.at("checksum"), d.metadata.at("checksum"));
}

TEST(Deam, StepsZeroKeepsAllRatings) {
  const TemporaryFolder folder;
  const Dataset d = prepare_deam(write_deam(folder), {.steps = 0}).dataset;
  EXPECT_EQ(d.emotion_steps, 240);
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{60, 41, 61, 60, 59, 240, 70, 60}));
}

// The released preparation overwrites valence where a song has not 60 ratings: 4 (61), 1003 (59), 2001 (240),
// 2002 (70).
TEST(Deam, ReleasedShortValenceCopiesArousalOnlyWhenAsked) {
  const TemporaryFolder folder;
  const DeamPaths paths = write_deam(folder);
  const Dataset textbook = prepare_deam(paths, {}).dataset;
  const ImportResult released = prepare_deam(paths, {.released_short_valence = true});
  const Ids copied = {4, 1003, 2001, 2002};
  for (std::size_t row = 0; row < textbook.song_id.size(); ++row) {
    const bool is_copied = std::find(copied.begin(), copied.end(), textbook.song_id[row]) != copied.end();
    for (int t = 0; t < textbook.emotion_length[row]; ++t) {
      const std::size_t at = (row * 60 + static_cast<std::size_t>(t)) * 2;
      EXPECT_EQ(released.dataset.emotion[at], textbook.emotion[is_copied ? at + 1 : at]);
      EXPECT_EQ(released.dataset.emotion[at + 1], textbook.emotion[at + 1]);
    }
  }
  EXPECT_EQ(released.dataset.metadata.at("deam_short_valence"), "released");
  EXPECT_TRUE(contains(released.report.text(), "changed 4 songs: valence replaced by arousal"));
}

TEST(Deam, DetectsSwappedStaticColumnsInTheFirstYearOnly) {
  std::string valence = "song_id,sample_1\n", arousal = valence, features = "song_id,f\n";
  std::string statics = "song_id, valence_mean, valence_std, arousal_mean, arousal_std\n";
  for (int i = 0; i < 40; ++i) {
    const int id = i < 20 ? 10 + i : 1500 + i;
    const double v = 0.04 * (i * 7 % 20) - 0.4, a = 0.04 * (i * 3 % 20) - 0.4;
    valence += fmt::format("{},{}\n", id, v);
    arousal += fmt::format("{},{}\n", id, a);
    features += fmt::format("{},{}\n", id, i * i % 13);
    const double own_v = 5 + 4 * v, own_a = 5 + 4 * a;
    statics += fmt::format("{},{},1,{},1\n", id, i < 20 ? own_a : own_v, i < 20 ? own_v : own_a);
  }
  const DeamTables tables = {.arousal = parse_csv(arousal, "a"),
                             .valence = parse_csv(valence, "v"),
                             .has_features = true,
                             .features = parse_csv(features, "f"),
                             .statics = {parse_csv(statics, "s")},
                             .metadata = {}};
  const std::string text = import_deam(tables, {}).report.text();
  EXPECT_TRUE(contains(
      text, "static ratings of ids up to 1000 (20 songs): valence and arousal columns look swapped"));
  EXPECT_EQ(text.find("above 1000"), std::string::npos) << text;
}

TEST(Deam, ChecksTheStaticAveragesOfTheReleaseUnasked) {
  const TemporaryFolder folder;
  const DeamPaths paths = write_deam(folder);
  const std::string name =
      "DEAM_Annotations/annotations/annotations averaged per song/song_level/"
      "static_annotations_averaged_songs_1_2000.csv";
  folder.write(name, "song_id, valence_mean, valence_std, arousal_mean, arousal_std\n2,x,1,4,1\n");
  const ImportResult spoilt = prepare_deam(paths, {});
  EXPECT_TRUE(contains(spoilt.report.text(), "static ratings were not checked: "));
  EXPECT_EQ(spoilt.dataset.size(), 8);
  folder.write(name, "song_id, valence_mean, valence_std, arousal_mean, arousal_std\n2,5,1,4,1\n");
  EXPECT_TRUE(contains(prepare_deam(paths, {}).dataset.metadata.at("inputs"), "songs_1_2000.csv"));
}

TEST(Deam, WarnsOfRescaledRatingsAndLostMetadata) {
  const TemporaryFolder folder;
  DeamPaths paths = write_deam(folder);
  folder.write("metadata/metadata/metadata_2014.csv", "Id,Artist\n1001,caf\xE9\n");
  std::string text = prepare_deam(paths, {}).report.text();
  EXPECT_TRUE(contains(text, "no titles from this table: "));
  EXPECT_TRUE(contains(text, "2 songs are in no metadata table (ids 1001, 1003)"));
  folder.write(std::string(kDynamic) + "valence.csv", "song_id,sample_1\n2,.4\n");
  folder.write(std::string(kDynamic) + "arousal.csv", "song_id,sample_1\n2,.7\n");
  EXPECT_TRUE(contains(prepare_deam(paths, {}).report.text(), "looks rescaled"));
}

TEST(Deam, SaysWhyNoSongIsLeft) {
  const DeamTables tables = {.arousal = parse_csv("song_id,sample_1,sample_2\n2,0.1,0.2\n", "a"),
                             .valence = parse_csv("song_id,sample_1\n2,0.1\n", "v"),
                             .has_features = true,
                             .features = parse_csv("song_id,f\n2,1\n", "f"),
                             .statics = {},
                             .metadata = {}};
  EXPECT_TRUE(contains(error_of([&] { import_deam(tables, {}); }), "dropped 1 (ids 2): "));
}

TEST(Deam, SaysWhichFilesItLooksFor) {
  const TemporaryFolder folder;
  DeamPaths paths = write_deam(folder);
  paths.annotations = folder / "metadata";
  EXPECT_TRUE(contains(error_of([&] { prepare_deam(paths, {}); }), "arousal.csv is not below this folder"));
  paths.annotations = folder / "nowhere";
  EXPECT_TRUE(contains(error_of([&] { prepare_deam(paths, {}); }), "no such folder"));
  paths.annotations = folder.path();
  folder.write("again/annotations averaged per song/dynamic (per second annotations)/arousal.csv", "x");
  EXPECT_TRUE(contains(error_of([&] { prepare_deam(paths, {}); }), "is there 2 times"));
  paths.annotations = folder / kDynamic;  // the inner folder itself
  EXPECT_EQ(prepare_deam(paths, {}).dataset.size(), 8);
  EXPECT_NE(error_of([&] { prepare_deam(paths, {.steps = -1}); }, ErrorKind::kUsage), "");
}

PmemoPaths write_pmemo(const TemporaryFolder& folder) {
  folder.write("PMEmo2019/metadata.csv",
               "musicId,fileName,title,artist,album,duration,chorus_start_time,chorus_end_time\n"
               "1,1.mp3,Good Drank,2 Chainz,\"Def Jam, Vol. 2\",32.1,02:35,03:05\n"
               "4,4.mp3,Short,21 Savage,Album,22.49,03:00,03:26\n"
               "5,5.mp3,\"No, Heart\",21 Savage,Album,84.23,00:41,02:03\n"
               "6,6.mp3,Unrated,Somebody,Album,40,00:41,02:03\n"
               "7,7.mp3,Limit,Somebody,Album,22.5,00:41,02:03\n");
  folder.write("PMEmo2019/annotations/dynamic_annotations.csv",
               "musicId,frameTime,Arousal(mean),Valence(mean)\n"
               "1,15.5,0.4,0.5\n1,16.0,0.41,0.51\n1,16.5,0.42,0.52\n4,15.5,0.3,0.3\n"
               "5,15.5,0.6,0.7\n5,16,0.61,0.71\n7,15.5,0.1,0.2\n9,15.5,0.1,0.2\n");
  return {.annotations = folder / "PMEmo2019", .metadata = folder / "PMEmo2019/metadata.csv", .features = {}};
}

TEST(Pmemo, KeepsLongEnoughRatedSongs) {
  const TemporaryFolder folder;
  PmemoPaths paths = write_pmemo(folder);
  const ImportResult result = prepare_pmemo(paths, {});
  const Dataset& d = result.dataset;
  validate(d, "pmemo");
  EXPECT_EQ(d.song_id, (Ids{1, 5, 7}));
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{3, 2, 1}));
  EXPECT_EQ(std::vector<float>(d.emotion.begin(), d.emotion.begin() + 6),
            (std::vector<float>{0.5f, 0.4f, 0.51f, 0.41f, 0.52f, 0.42f}));
  EXPECT_EQ(d.music_width, 0);
  EXPECT_EQ(d.titles[1], "21 Savage - No, Heart");
  EXPECT_EQ(d.metadata.at("emotion_range"), "0..1");
  EXPECT_EQ(d.metadata.count("music_kind"), 0u);
  const std::string text = result.report.text();
  EXPECT_TRUE(contains(text, "dropped 1 song: shorter than 22.5 s (ids 4)\n"));
  EXPECT_TRUE(contains(text, "dropped 1 song: no dynamic ratings (ids 6)\n"));
  EXPECT_TRUE(contains(text, "dropped 1 song: not in the metadata (ids 9)\n"));

  paths.annotations = folder / "PMEmo2019/annotations/dynamic_annotations.csv";
  EXPECT_EQ(prepare_pmemo(paths, {.shortest_seconds = 10}).dataset.song_id, (Ids{1, 4, 5, 7}));
}

TEST(Pmemo, TakesFeatureSequences) {
  const TemporaryFolder folder;
  PmemoPaths paths = write_pmemo(folder);
  paths.features = folder.write(
      "f.csv", "musicId,frameTime,a,b\n1,0,1,2\n1,0.5,3,4\n5,0,5,6\n5,0.5,7,8\n5,1,9,10\n7,0,11,12\n");
  const Dataset d = prepare_pmemo(paths, {}).dataset;
  validate(d, "pmemo");
  EXPECT_EQ(d.music_steps, 3);
  EXPECT_EQ(d.music_width, 2);
  EXPECT_EQ(d.music_length, (std::vector<std::int32_t>{2, 3, 1}));
  EXPECT_EQ(d.music, (std::vector<float>{1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0}));
}

TEST(Pmemo, RefusesSpoiltMetadata) {
  const TemporaryFolder folder;
  const PmemoPaths paths = write_pmemo(folder);
  folder.write("PMEmo2019/metadata.csv", "musicId,title,artist,duration\n1,a,b,30\n1,a,b,30\n");
  EXPECT_TRUE(contains(error_of([&] { prepare_pmemo(paths, {}); }), "line 3: song 1 is already on line 2"));
  folder.write("PMEmo2019/metadata.csv", "musicId,title,artist\n1,a,b\n");
  EXPECT_TRUE(contains(error_of([&] { prepare_pmemo(paths, {}); }), "'duration'"));
  folder.write("PMEmo2019/metadata.csv", "musicId,title,artist,duration\n1,a,b,long\n");
  EXPECT_TRUE(contains(error_of([&] { prepare_pmemo(paths, {}); }), "'long'"));
}

TEST(Emomusic, DropsTheLastColumnByDefault) {
  const TemporaryFolder folder;
  std::string text = "song_id", row = "7";
  for (int t = 0; t < 61; ++t) {
    text += fmt::format(",sample_{}ms", 15000 + 500 * t);
    row += fmt::format(",{}", -0.01 * t);
  }
  folder.write("annotations/arousal_cont_average.csv", text + "\n" + row + "\n");
  folder.write("annotations/valence_cont_average.csv", text + "\n" + row + "\n");
  EXPECT_TRUE(contains(prepare_emomusic({folder.path(), {}}, {}).report.text(), "songs have no titles"));
  folder.write(
      "songs_info.csv",
      "\"song_id\",\"file_name\",\"Artist\",\"Song title\"\n7,\"\t7.mp3\",\"Band\t\",\"\tSong\t\"\n");
  const Dataset d = prepare_emomusic({folder.path(), {}}, {}).dataset;
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{60}));
  EXPECT_EQ(d.titles, (std::vector<std::string>{"Band - Song"}));
  EXPECT_EQ(prepare_emomusic({folder.path(), {}}, {.steps = 0}).dataset.emotion_steps, 61);
}

TEST(FeaturesImport, TakesWideOrLongRatings) {
  const TemporaryFolder folder;
  const std::string features = folder.write("f.csv", "id,f\n1,5\n2,6\n");
  const std::string valence = folder.write("v.csv", "id,a,b\n1,.1,.2\n2,.3,.4\n");
  const std::string arousal = folder.write("a.csv", "id,a,b\n1,.5,.6\n2,.7,.8\n");
  const std::string ratings =
      folder.write("r.csv", "id,time,valence,arousal\n1,0,.1,.5\n1,1,.2,.6\n2,0,.3,.7\n2,1,.4,.8\n");
  const Dataset from_wide =
      prepare_features(
          {.features = features, .ratings = {}, .valence = valence, .arousal = arousal, .ids = {}}, {})
          .dataset;
  const Dataset from_long =
      prepare_features({.features = features, .ratings = ratings, .valence = {}, .arousal = {}, .ids = {}},
                       {})
          .dataset;
  EXPECT_EQ(from_wide.emotion, (std::vector<float>{.1f, .5f, .2f, .6f, .3f, .7f, .4f, .8f}));
  EXPECT_EQ(from_long.emotion, from_wide.emotion);
  EXPECT_EQ(from_long.music, (std::vector<float>{5, 6}));
  EXPECT_EQ(from_long.metadata.at("emotion_range"), "0.1..0.8 (observed)");

  const auto usage = [&](const std::string& r, const std::string& v, const std::string& a,
                         const std::string& ids) {
    return error_of([&] { prepare_features({features, r, v, a, ids}, {}); }, ErrorKind::kUsage);
  };
  EXPECT_TRUE(contains(usage("", "", "", ""), "once"));
  EXPECT_TRUE(contains(usage(ratings, valence, arousal, ""), "once"));
  EXPECT_TRUE(contains(usage("", valence, "", ""), "pairs"));
  EXPECT_TRUE(contains(usage(ratings, "", "", "ids.txt"), "ids are for .npy"));
}

TEST(InputFilesTest, ChecksumIsThatOfTheListing) {
  const TemporaryFolder folder;
  folder.write("one.txt", "abc");
  InputFiles files;
  files.bytes(folder / "one.txt");
  // FIPS 180-4's example: SHA-256 of "abc".
  EXPECT_EQ(files.checksum(),
            sha256_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  one.txt\n"));
}

}  // namespace
}  // namespace emer
