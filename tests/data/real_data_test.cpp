// Facts of the published data sets, for machines that have them (tests/support/real_data.h): deam/, pmemo/ and
// emomusic/ as downloaded (any depth), and deam/opensmile_song_features.csv.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "data/deam.h"
#include "data/emomusic.h"
#include "data/pmemo.h"
#include "data/split.h"
#include "tests/support/real_data.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using test::contains;

TEST(RealDeam, Has1802SongsOf60Ratings) {
  std::string reason;
  const std::string deam = test::real_data("deam", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  const DeamPaths paths = {deam, deam + "/opensmile_song_features.csv", deam, deam};
  const ImportResult result = prepare_deam(paths, {});
  const Dataset& d = result.dataset;
  EXPECT_EQ(d.size(), 1802);
  EXPECT_EQ(result.report.dropped_songs(), 0);
  EXPECT_EQ(d.music_width, 204);
  EXPECT_EQ(std::set<std::int32_t>(d.emotion_length.begin(), d.emotion_length.end()),
            (std::set<std::int32_t>{60}));
  const std::string text = result.report.text();
  EXPECT_TRUE(contains(text, "ids up to 1000 (744 songs): valence and arousal columns look swapped"));
  EXPECT_TRUE(contains(text, "correlates 0.956 with valence_mean, 0.570 with arousal_mean"));
  EXPECT_EQ(text.find("above 1000"), std::string::npos) << text;
  EXPECT_EQ(d.titles[static_cast<std::size_t>(d.index_of(2031))], "No, Really - Go");
  const Split split = make_split(d, {});
  EXPECT_EQ(split.test.size(), 361u);
  EXPECT_EQ(make_split(d, {.method = "grouped"}).test.size(), 361u);

  const ImportResult whole = prepare_deam(paths, {.steps = 0});
  std::int64_t longer = 0;
  for (const std::int32_t length : whole.dataset.emotion_length) longer += length > 60;
  EXPECT_EQ(longer, 58);
  EXPECT_EQ(whole.dataset.emotion_steps, 1223);
}

TEST(RealPmemo, Keeps701Songs) {
  std::string reason;
  const std::string pmemo = test::real_data("pmemo", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  const ImportResult result = prepare_pmemo({pmemo, pmemo + "/metadata.csv", {}}, {});
  EXPECT_EQ(result.dataset.size(), 701);
  EXPECT_EQ(result.dataset.emotion_steps, 146);
  EXPECT_TRUE(contains(result.report.text(), "dropped 93 songs: shorter than 22.5 s"));
}

TEST(RealEmomusic, Has744SongsOf60Ratings) {
  std::string reason;
  const std::string emomusic = test::real_data("emomusic", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  const ImportResult result = prepare_emomusic({emomusic, {}}, {});
  EXPECT_EQ(result.dataset.size(), 744);
  EXPECT_EQ(result.dataset.emotion_steps, 60);
  EXPECT_EQ(result.dataset.titles[0], "The New Mystikal Troubadours - Tonight  A Lonely Century");
}

}  // namespace
}  // namespace emer
