#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/npy.h"
#include "data/dataset.h"
#include "engine/curve.h"
#include "engine/search_query.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

TEST(EmotionText, StepsAndSpaces) {
  const EmotionCurve curve = parse_emotion_curve(" 0.25,-0.5 ;\t+1 , 2e-1;-.5,0;");
  EXPECT_EQ(curve.steps, 3);
  EXPECT_EQ(curve.values, (std::vector<float>{0.25f, -0.5f, 1.0f, 0.2f, -0.5f, 0.0f}));
}

TEST(EmotionText, RefusalsNameStepAndCharacter) {
  const struct {
    const char *text, *expected;
  } cases[] = {{"", "step 1 (character 1) is ''"},
               {";", "step 1 (character 1)"},
               {"0.1", "step 1 (character 1) is '0.1'"},
               {"0.1,0.2;;0.3,0.4", "step 2 (character 9) is ''"},
               {"0.1,0.2;0.3,0.4,0.5", "step 2 (character 9)"},
               {"0.1,0.2;0.3,x", "the arousal of step 2 (character 13) is 'x'"},
               {"nan,0.2", "the valence of step 1 (character 1) is 'nan'"},
               {"0.1,inf", "the arousal of step 1 (character 5)"},
               {"1,2 3", "the arousal of step 1 (character 3) is '2 3'"},
               {"0,5,0,3", "step 1 (character 1)"}};
  for (const auto& c : cases)
    EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {c.expected}, [&] { parse_emotion_curve(c.text); }))
        << c.text;
}

TEST(EmotionText, OutOfRangeWarns) {
  const EmotionCurve curve = parse_emotion_curve("0.5,-1.5;3,1");
  const auto warnings = range_warnings(curve, "-1..1");
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_NE(warnings[0].find("arousal of step 1 is -1.5"), std::string::npos) << warnings[0];
  EXPECT_NE(warnings[1].find("valence of step 2 is 3"), std::string::npos) << warnings[1];
  EXPECT_TRUE(range_warnings(curve, "-2..4").empty());
  EXPECT_TRUE(range_warnings(curve, "").empty());
  EXPECT_TRUE(range_warnings(curve, "unknown").empty());
}

TEST(Curve, InterpolatesHoldsAndKeeps) {
  const std::vector<float> two = {0, 10, 1, 20};
  EXPECT_EQ(resampled_curve(two.data(), 2, 2), two);
  EXPECT_EQ(resampled_curve(two.data(), 2, 3), (std::vector<float>{0, 10, 0.5f, 15, 1, 20}));
  EXPECT_EQ(resampled_curve(two.data(), 1, 3), (std::vector<float>{0, 10, 0, 10, 0, 10}));
  EXPECT_EQ(resampled_curve(two.data(), 2, 1), (std::vector<float>{0, 10}));
}

class MusicFile : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }
  test::TemporaryFolder folder_;
};

constexpr InputShape kVector{0, 3, 60};
constexpr InputShape kSequence{4, 3, 60};

TEST_F(MusicFile, CsvVectorsSequencesAndSongs) {
  EXPECT_EQ(read_music_features(write("a.csv", "1,2.5,-3\n"), {}, kVector).values,
            (std::vector<float>{1, 2.5, -3}));
  EXPECT_EQ(read_music_features(write("b.csv", "x,y,z\n1,2,3\n"), {}, kVector).steps, 0);
  const MusicFeatures sequence = read_music_features(write("c.csv", "1,2,3\n4,5,6\n"), {}, kSequence);
  EXPECT_EQ(sequence.steps, 2);
  EXPECT_EQ(sequence.values, (std::vector<float>{1, 2, 3, 4, 5, 6}));
  const std::string songs = write("d.csv", "song_id,x,y,z\n7,1,2,3\n9,4,5,6\n");
  const MusicFeatures nine = read_music_features(songs, 9, kVector);
  EXPECT_EQ(nine.song_id, 9);
  EXPECT_EQ(nine.values, (std::vector<float>{4, 5, 6}));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {}, [&] { read_music_features(songs, {}, kVector); }));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {}, [&] { read_music_features(songs, 8, kVector); }));
}

TEST_F(MusicFile, MalformedCsvIsRefusedWithItsLine) {
  EXPECT_TRUE(
      test::refuses_input({"takes 3"}, [&] { read_music_features(write("a.csv", "1,2\n"), {}, kVector); }));
  EXPECT_TRUE(test::refuses_input(
      {"line 2"}, [&] { read_music_features(write("b.csv", "1,2,3\n4,5\n"), {}, kSequence); }));
  EXPECT_TRUE(
      test::refuses_input({"column 2"}, [&] { read_music_features(write("c.csv", "1,,3\n"), {}, kVector); }));
  EXPECT_TRUE(
      test::refuses_input({}, [&] { read_music_features(write("d.csv", "1,oops,3\n"), {}, kVector); }));
  EXPECT_TRUE(test::refuses_input({}, [&] { read_music_features(write("e.csv", ""), {}, kVector); }));
  EXPECT_TRUE(
      test::refuses_input({}, [&] { read_music_features(write("f.csv", "1,2,3\n4,5,6\n"), {}, kVector); }));
  EXPECT_TRUE(test::refuses_input({}, [&] { read_music_features(path("missing.csv"), {}, kVector); }));
}

TEST_F(MusicFile, NumpyVectorsAndSequences) {
  write_npy(path("a.npy"), {3}, {1, 2, 3});
  EXPECT_EQ(read_music_features(path("a.npy"), {}, kVector).values, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(read_music_features(path("a.npy"), {}, kSequence).steps, 1);
  write_npy(path("b.npy"), {2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(read_music_features(path("b.npy"), {}, kSequence).steps, 2);
  EXPECT_TRUE(test::refuses_input({}, [&] { read_music_features(path("b.npy"), {}, kVector); }));
  write_npy(path("c.npy"), {3}, {1, NAN, 3});
  EXPECT_TRUE(test::refuses_input({"feature 2"}, [&] { read_music_features(path("c.npy"), {}, kVector); }));
  write_npy(path("d.npy"), {1, 1, 3}, {1, 2, 3});
  EXPECT_TRUE(test::refuses_input({}, [&] { read_music_features(path("d.npy"), {}, kVector); }));
}

TEST_F(MusicFile, PreparedDataSets) {
  Dataset d;
  d.name = "two";
  d.song_id = {3, 8};
  d.music = {1, 2, 3, 4, 5, 6};
  d.music_width = 3;
  d.emotion = {0, 0, 1, 1};
  d.emotion_length = {1, 1};
  d.emotion_steps = 1;
  save_dataset(d, path("two.safetensors"));
  const MusicFeatures eight = read_music_features(path("two.safetensors"), 8, kVector);
  EXPECT_EQ(eight.values, (std::vector<float>{4, 5, 6}));
  EXPECT_EQ(eight.song_id, 8);
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {},
                            [&] { read_music_features(path("two.safetensors"), {}, kVector); }));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {},
                            [&] { read_music_features(path("two.safetensors"), 4, kVector); }));
  EXPECT_TRUE(test::refuses_input({}, [&] { read_music_features(path("two.safetensors"), 8, kSequence); }));
}

}  // namespace
}  // namespace emer
