// The circle of words. The counts over integer degrees are those of reference_defects.md, B29.
#include "engine/studies/circumplex.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "tests/support/refusal.h"

namespace emer {
namespace {

using Circumplex = AnalysisOptions::Circumplex;

// The angle of each word as the released code lists them: five rows, the fourth turning from -171 to 180.
std::map<int, int> word_at_angle() {
  std::map<int, int> word;
  int next = 0;
  for (int angle = 90; angle >= -171; angle -= 9) word[angle] = next++;
  for (int angle = 180; angle >= 99; angle -= 9) word[angle] = next++;
  return word;
}

TEST(Circumplex, EveryMappingKeepsTheFortyAngles) {
  const auto words = word_at_angle();
  ASSERT_EQ(words.size(), 40u);
  for (const auto& [angle, word] : words)
    for (const Circumplex mapping : {Circumplex::kNearest, Circumplex::kFloor, Circumplex::kReleased})
      EXPECT_EQ(word_of_angle(angle, mapping), word) << angle << " degrees";
}

TEST(Circumplex, WordsStandWhereTheListHasThem) {
  std::set<std::string> all;
  for (int i = 0; i < 40; ++i) all.insert(std::string(circumplex_word(i)));
  EXPECT_EQ(all.size(), 40u);
  for (const std::string& word : all) {
    EXPECT_GE(word.size(), 3u);
    EXPECT_TRUE(std::isupper(static_cast<unsigned char>(word[0]))) << word;
  }
  EXPECT_EQ(circumplex_word(word_of_angle(90, Circumplex::kNearest)), "Vehement");
  EXPECT_EQ(circumplex_word(word_of_angle(81, Circumplex::kNearest)), "Thrilling");
  EXPECT_EQ(circumplex_word(word_of_angle(54, Circumplex::kNearest)), "Exhilarated");
  EXPECT_EQ(circumplex_word(word_of_angle(0, Circumplex::kNearest)), "Fun");
  EXPECT_EQ(circumplex_word(word_of_angle(-90, Circumplex::kNearest)), "Pensive");
  EXPECT_EQ(circumplex_word(word_of_angle(180, Circumplex::kNearest)), "Creepy");
  EXPECT_EQ(circumplex_word(word_of_angle(99, Circumplex::kNearest)), "Fiery");
  EXPECT_EQ(category_name(0), "Vehement to Rowdy");
  EXPECT_EQ(category_name(4), "Paranoid to Fiery");
}

// Of 360 whole degrees: 320 get another word than cut down to 9, 56 another category, 76 another than the nearest word's.
TEST(Circumplex, ReleasedMappingMissesAsOftenAsCounted) {
  int words = 0, categories = 0, from_nearest = 0;
  for (int angle = -179; angle <= 180; ++angle) {
    const int released = word_of_angle(angle, Circumplex::kReleased),
              cut = word_of_angle(angle, Circumplex::kFloor),
              nearest = word_of_angle(angle, Circumplex::kNearest);
    words += released != cut;
    categories += category_of_word(released) != category_of_word(cut);
    from_nearest += category_of_word(released) != category_of_word(nearest);
  }
  EXPECT_EQ(words, 320);
  EXPECT_EQ(categories, 56);
  EXPECT_EQ(from_nearest, 76);
}

TEST(Circumplex, ReleasedMappingSendsTheLeftEdgeToTheOtherSide) {
  for (int angle = -179; angle < -162; ++angle) {
    const int word = word_of_angle(angle, Circumplex::kReleased);
    if (angle == -171)
      EXPECT_EQ(circumplex_word(word), "Dark");
    else  // -9 or 0 degrees, where joy is
      EXPECT_TRUE(word == 10 || word == 11) << angle << " degrees: " << circumplex_word(word);
  }
  // 5 mod 9 = 5: 14 off is -9. -5 mod 9 = 4: 13 off is -18. 98.9 is cut to 98, 17 off: 81.
  EXPECT_EQ(word_of_angle(5.0, Circumplex::kReleased), 11);
  EXPECT_EQ(word_of_angle(-5.0, Circumplex::kReleased), 12);
  EXPECT_EQ(word_of_angle(98.9, Circumplex::kReleased), 1);
  // Cut toward zero: -9.7 is -9, a word's own angle.
  EXPECT_EQ(word_of_angle(-9.7, Circumplex::kReleased), 11);
  EXPECT_EQ(word_of_angle(-180.0, Circumplex::kReleased), 11);
}

TEST(Circumplex, NearestIsNearestAndFloorIsBelow) {
  for (double angle = -179.95; angle <= 180.0; angle += 0.1) {
    double best = 1e9;
    int nearest = -1, below = -1;
    double least = 1e9;
    for (const auto& [at, word] : word_at_angle()) {
      const double off =
          std::fmod(angle - at + 720.0, 360.0);  // degrees clockwise from the angle to the word
      if (const double apart = std::min(off, 360.0 - off); apart < best) {
        best = apart;
        nearest = word;
      }
      if (off < least) {
        least = off;
        below = word;
      }
    }
    EXPECT_EQ(word_of_angle(angle, Circumplex::kNearest), nearest) << angle;
    EXPECT_EQ(word_of_angle(angle, Circumplex::kFloor), below) << angle;
  }
}

TEST(Circumplex, PointsGoByTheirAngleAlone) {
  for (const double length : {1e-6, 0.3, 1.0}) {
    EXPECT_EQ(circumplex_word(word_of_point(0.0, length, Circumplex::kNearest)), "Vehement");
    EXPECT_EQ(circumplex_word(word_of_point(-length, 0.0, Circumplex::kNearest)), "Creepy");
    EXPECT_EQ(circumplex_word(word_of_point(0.0, -length, Circumplex::kNearest)), "Pensive");
    EXPECT_EQ(word_of_point(length, length, Circumplex::kNearest), 5);  // 45 degrees
  }
  // -0 turns the angle of the negative axis from 180 to -180.
  EXPECT_EQ(word_of_point(-1.0, -0.0, Circumplex::kNearest), word_of_point(-1.0, 0.0, Circumplex::kNearest));
  EXPECT_EQ(word_of_point(-1.0, -0.0, Circumplex::kFloor), word_of_point(-1.0, 0.0, Circumplex::kFloor));
}

TEST(Circumplex, OriginCountsAsZeroDegrees) {
  for (const Circumplex mapping : {Circumplex::kNearest, Circumplex::kFloor, Circumplex::kReleased})
    EXPECT_EQ(circumplex_word(word_of_point(0.0, 0.0, mapping)), "Fun");
}

TEST(Circumplex, RefusesWhatIsNotANumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"valence nan", "arousal 0.5"},
                            [&] { word_of_point(nan, 0.5, Circumplex::kNearest); }));
}

}  // namespace
}  // namespace emer
