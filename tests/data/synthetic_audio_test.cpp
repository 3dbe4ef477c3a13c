// The curves must be audible to a simple analysis; the bits must follow from the arguments alone.
#include "data/synthetic_audio.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "data/synthetic_tones.h"

namespace emer {
namespace {

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const double n = static_cast<double>(x.size());
  double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    mx += x[i] / n;
    my += y[i] / n;
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
    xy += (x[i] - mx) * (y[i] - my);
  }
  return xy / std::sqrt(xx * yy);
}

double decibels(const std::int16_t* samples, std::size_t count) {
  double energy = 1e-9;
  for (std::size_t i = 0; i < count; ++i) energy += samples[i] * static_cast<double>(samples[i]);
  return 10 * std::log10(energy / static_cast<double>(count));
}

// Of 512 samples: sum of f |X(f)|^2 over sum of |X(f)|^2, by the sums themselves.
double centroid(const std::int16_t* samples) {
  static const auto cosine = [] {
    std::array<double, 512> table;
    for (std::size_t i = 0; i < 512; ++i)
      table[i] = std::cos(6.283185307179586 * static_cast<double>(i) / 512);
    return table;
  }();
  double weighted = 0, total = 1e-9;
  for (std::size_t bin = 1; bin < 256; ++bin) {
    double re = 0, im = 0;
    for (std::size_t i = 0; i < 512; ++i) {
      const double x = samples[i] * (0.5 - 0.5 * cosine[i]);
      re += x * cosine[bin * i % 512];
      im += x * cosine[(bin * i + 128) % 512];
    }
    weighted += static_cast<double>(bin) * (re * re + im * im);
    total += re * re + im * im;
  }
  return 31.25 * weighted / total;
}

double mean(const SyntheticSong& song, std::size_t column) {
  double sum = 0;
  for (std::size_t i = column; i < song.ratings.size(); i += 2) sum += song.ratings[i];
  return 2 * sum / static_cast<double>(song.ratings.size());
}

TEST(SyntheticAudio, IsWhatWasAsked) {
  const SyntheticSong song = make_synthetic_song({.songs = 9, .seed = 3, .seconds = 2.8}, 9);
  EXPECT_EQ(song.samples.size(), 44800u);
  EXPECT_EQ(song.ratings.size(), 2u * 5);
  EXPECT_EQ(song.title, "synthetic piece 9");
  for (const float rating : song.ratings) EXPECT_LT(std::abs(rating), 1.0f);
}

TEST(SyntheticAudio, DependsOnItsArgumentsAlone) {
  const auto one = make_synthetic_song({.songs = 3, .seed = 7, .seconds = 3}, 2);
  const auto again = make_synthetic_song({.songs = 50, .seed = 7, .seconds = 3}, 2);
  EXPECT_EQ(one.samples, again.samples);
  EXPECT_EQ(one.ratings, again.ratings);
  EXPECT_NE(make_synthetic_song({.songs = 3, .seed = 8, .seconds = 3}, 2).samples, one.samples);
  EXPECT_NE(make_synthetic_song({.songs = 3, .seed = 7, .seconds = 3}, 3).samples, one.samples);
}

TEST(SyntheticAudio, LoudnessFollowsArousalAndBrightnessFollowsValence) {
  std::vector<double> loudness, arousal, brightness, valence;
  for (std::int64_t i = 1; i <= 40; ++i) {
    const auto song = make_synthetic_song({.songs = 40, .seed = 1, .seconds = 8}, i);
    for (std::size_t second = 0; second < 8; ++second) {
      loudness.push_back(decibels(song.samples.data() + 16000 * second, 16000));
      arousal.push_back((song.ratings[4 * second + 1] + song.ratings[4 * second + 3]) / 2);
    }
    std::vector<double> centroids;
    for (std::size_t at = 0; at + 512 <= song.samples.size(); at += 6000)
      centroids.push_back(centroid(song.samples.data() + at));
    std::nth_element(centroids.begin(), centroids.begin() + static_cast<std::ptrdiff_t>(centroids.size() / 2),
                     centroids.end());
    brightness.push_back(centroids[centroids.size() / 2]);
    valence.push_back(mean(song, 0));
    EXPECT_GT(decibels(song.samples.data(), song.samples.size()), 30.0) << i;
    EXPECT_LT(*std::max_element(song.samples.begin(), song.samples.end()), 32767) << i;
  }
  EXPECT_GT(correlation(loudness, arousal), 0.85);
  EXPECT_GT(correlation(brightness, valence), 0.65);
  EXPECT_GT(*std::max_element(arousal.begin(), arousal.end()), 0.6);
  EXPECT_LT(*std::min_element(valence.begin(), valence.end()), -0.5);
}

TEST(SyntheticAudio, RefusesWhatIsOutOfRange) {
  for (const double seconds : {0.5, 601.0, -1.0, std::numeric_limits<double>::quiet_NaN()})
    EXPECT_THROW(check(SyntheticAudioConfig{.seconds = seconds}), Error) << seconds;
  for (const std::int64_t songs : {std::int64_t{0}, std::int64_t{-3}, std::int64_t{12'501}})
    EXPECT_THROW(check(SyntheticAudioConfig{.songs = songs}), Error) << songs;
  check({.songs = 12'500, .seconds = 20});
}

// A tone against its formula, sample by sample.
TEST(SyntheticTones, AToneIsItsFormula) {
  ToneMixer mixer(4000, 16000);
  mixer.add({.start = 0.01,
             .seconds = 0.2,
             .hertz = 3000,
             .amplitude = 0.5,
             .partials = 5,
             .ratio = 0.5,
             .even = 0.5,
             .decay = 0.1});
  const auto got = mixer.mixed([](double) { return 0.5; });
  // Two partials lie below 7 kHz, of weights 1 and 0.25.
  for (std::size_t n = 0; n < got.size(); ++n) {
    double x = 0;
    if (n >= 160 && n < 160 + 3200) {
      const auto i = static_cast<double>(n - 160);
      const double angle = 6.283185307179586 * 3000 * i / 16000;
      x = 0.5 * (std::sin(angle) + 0.25 * std::sin(2 * angle)) / std::sqrt(1 + 0.0625) * std::exp(-i / 1600) *
          std::min({1.0, i / 128, (3200 - i) / 128});
    }
    x *= 0.5;
    ASSERT_NEAR(got[n], 32767 * x / std::sqrt(1 + x * x), 1.0) << n;
  }
}

TEST(SyntheticTones, NothingIsWrittenBeyondTheEnd) {
  ToneMixer mixer(100, 16000);
  mixer.add({.start = 0.001, .seconds = 5, .hertz = 440, .amplitude = 1, .partials = 3, .ratio = 0.5});
  mixer.add({.start = 5, .seconds = 5, .hertz = 440, .amplitude = 1});
  mixer.add_noise(0.004, 1.0, 1.0, 1);
  mixer.add_noise(7, 1.0, 1.0, 1);
  EXPECT_EQ(mixer.mixed([](double) { return 1.0; }).size(), 100u);
}

}  // namespace
}  // namespace emer
