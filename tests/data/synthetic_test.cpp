#include "data/synthetic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/check.h"

namespace emer {
namespace {

double mean_valence(const Dataset& d, std::size_t row) {
  double sum = 0;
  for (int t = 0; t < d.emotion_length[row]; ++t)
    sum += d.emotion[(row * static_cast<std::size_t>(d.emotion_steps) + static_cast<std::size_t>(t)) * 2];
  return sum / d.emotion_length[row];
}

// Correlation of one feature (of the first step) with the song's mean valence, as in a textbook.
double correlation(const Dataset& d, std::size_t feature) {
  const std::size_t stride = d.music.size() / d.song_id.size();
  const double n = static_cast<double>(d.size());
  double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < d.song_id.size(); ++i) {
    mx += d.music[i * stride + feature] / n;
    my += mean_valence(d, i) / n;
  }
  for (std::size_t i = 0; i < d.song_id.size(); ++i) {
    const double x = d.music[i * stride + feature] - mx, y = mean_valence(d, i) - my;
    xx += x * x;
    yy += y * y;
    xy += x * y;
  }
  return xy / std::sqrt(xx * yy);
}

TEST(Synthetic, IsAValidDatasetOfTheAskedShape) {
  for (const bool sequence : {false, true}) {
    const Dataset d = make_synthetic({.songs = 50, .width = 16, .sequence = sequence});
    validate(d, "synthetic");
    EXPECT_EQ(d.size(), 50);
    EXPECT_EQ(d.music_width, 16);
    EXPECT_EQ(d.music_is_sequence(), sequence);
    EXPECT_EQ(d.emotion_steps, 60);
    EXPECT_EQ(d.titles[16], "synthetic song 17");
    const auto [low, high] = std::minmax_element(d.emotion.begin(), d.emotion.end());
    EXPECT_GT(*low, -1.0f);
    EXPECT_LT(*high, 1.0f);
    EXPECT_GT(*high - *low, 1.0f);
    const std::set<std::int32_t> lengths(d.emotion_length.begin(), d.emotion_length.end());
    EXPECT_EQ(lengths.size() > 3, sequence);
  }
}

TEST(Synthetic, DependsOnTheSeedAndNothingElse) {
  const Dataset one = make_synthetic({.songs = 20, .seed = 5}),
                again = make_synthetic({.songs = 20, .seed = 5});
  EXPECT_EQ(one.music, again.music);
  EXPECT_EQ(one.emotion, again.emotion);
  EXPECT_NE(make_synthetic({.songs = 20, .seed = 6}).emotion, one.emotion);
  // More songs leave the first ones as they were.
  const Dataset more = make_synthetic({.songs = 30, .seed = 5});
  EXPECT_TRUE(std::equal(one.emotion.begin(), one.emotion.end(), more.emotion.begin()));
}

// Features must tell of the ratings, and must not be the ratings.
TEST(Synthetic, TheChecksumIsThatOfTheOptions) {
  const auto checksum = [](const SyntheticConfig& c) { return make_synthetic(c).metadata.at("checksum"); };
  EXPECT_EQ(checksum({.songs = 4}).size(), 64u);
  EXPECT_EQ(checksum({.songs = 4}), checksum({.songs = 4}));
  EXPECT_NE(checksum({.songs = 4}), checksum({.songs = 4, .seed = 2}));
}

TEST(Synthetic, FeaturesTellOfRatingsWithoutLeakingThem) {
  for (const bool sequence : {false, true}) {
    const Dataset d = make_synthetic({.songs = 400, .width = 64, .sequence = sequence});
    double best = 0;
    for (std::size_t c = 0; c < 64; ++c) best = std::max(best, std::abs(correlation(d, c)));
    EXPECT_GT(best, 0.4) << sequence;
    EXPECT_LT(best, 0.9) << sequence;
  }
}

TEST(Synthetic, NoiseIsAdded) {
  const Dataset clean = make_synthetic({.songs = 200, .noise = 0}),
                noisy = make_synthetic({.songs = 200, .noise = 0.5});
  double squares = 0;
  for (std::size_t i = 0; i < clean.music.size(); ++i)
    squares += std::pow(static_cast<double>(noisy.music[i]) - clean.music[i], 2);
  // 25600 draws: the standard error of a variance is .25 sqrt(2/25600) = .0022; five of them.
  EXPECT_NEAR(squares / static_cast<double>(clean.music.size()), 0.25, 0.011);
}

TEST(Synthetic, RefusesValuesOutOfRange) {
  EXPECT_THROW(make_synthetic({.songs = 0}), Error);
  EXPECT_THROW(make_synthetic({.width = 0}), Error);
  EXPECT_THROW(make_synthetic({.noise = -1}), Error);
  EXPECT_THROW(make_synthetic({.noise = std::nan("")}), Error);
}

}  // namespace
}  // namespace emer
