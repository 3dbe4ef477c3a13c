#include "data/synthetic.h"

#include <array>
#include <cmath>

#include "core/build_info.h"
#include "core/check.h"
#include "core/random.h"
#include "core/sha256.h"
#include "data/synthetic_curve.h"

namespace emer {

namespace {

constexpr int kEmotionSteps = 60;
constexpr int kMusicSteps = 30;
constexpr int kInputs = 12;
constexpr int kNuisance = 4;
constexpr int kHidden = 32;
constexpr std::uint64_t kMapStream = streams::kSynthetic + 0xFFFFFFFFu;  // songs are fewer

// Mean, deviation, rise from the first to the second half, mean step: divided by their typical spread over
// songs.
std::array<double, 4> statistics(const SyntheticCurve& curve, double end) {
  double sum = 0, squares = 0, rise = 0, roughness = 0, before = 0;
  for (int t = 0; t < kEmotionSteps; ++t) {
    const double value = curve.at(end * t / (kEmotionSteps - 1));
    sum += value;
    squares += value * value;
    rise += (t < kEmotionSteps / 2 ? -value : value) / (kEmotionSteps / 2);
    if (t > 0) roughness += std::abs(value - before);
    before = value;
  }
  const double mean = sum / kEmotionSteps;
  const double deviation = std::sqrt(std::max(0.0, squares / kEmotionSteps - mean * mean));
  return {mean / 0.4, (deviation - 0.18) / 0.08, rise / 0.3, (roughness - 0.7) / 0.35};
}

class FeatureMap {
 public:
  explicit FeatureMap(int width) : width_(width) {
    RandomStream random(0, kMapStream);
    for (double& w : first_) w = 1.5 / std::sqrt(kInputs) * random.normal();
    second_.resize(static_cast<std::size_t>(width) * kHidden);
    for (double& w : second_) w = 1.4 / std::sqrt(kHidden) * random.normal();
  }

  void write(const std::array<double, kInputs>& x, double noise, RandomStream& random,
             float* features) const {
    std::array<double, kHidden> hidden{};
    for (std::size_t h = 0; h < kHidden; ++h) {
      for (std::size_t i = 0; i < kInputs; ++i) hidden[h] += first_[h * kInputs + i] * x[i];
      hidden[h] = std::tanh(hidden[h]);
    }
    for (int c = 0; c < width_; ++c) {
      double value = noise * random.normal();
      for (std::size_t h = 0; h < kHidden; ++h)
        value += second_[static_cast<std::size_t>(c) * kHidden + h] * hidden[h];
      features[c] = static_cast<float>(value);
    }
  }

 private:
  int width_;
  std::array<double, kHidden * kInputs> first_{};
  std::vector<double> second_;
};

}  // namespace

Dataset make_synthetic(const SyntheticConfig& config) {
  constexpr std::int64_t kMostSongs = 10'000'000;
  if (config.songs < 1 || config.songs > kMostSongs)
    fail_usage("synth: {} songs, must be 1 to {}", config.songs, kMostSongs);
  if (config.width < 1 || config.width > 65536)
    fail_usage("synth: width {}, must be 1 to 65536", config.width);
  if (!(config.noise >= 0 && config.noise <= 1e6))
    fail_usage("synth: noise {}, must be 0 to 1e6", config.noise);

  const FeatureMap map(config.width);
  Dataset d;
  d.name = "synthetic";
  d.music_width = config.width;
  d.music_steps = config.sequence ? kMusicSteps : 0;
  d.emotion_steps = kEmotionSteps;
  const std::int64_t vectors = config.sequence ? kMusicSteps : 1;
  d.music.assign(static_cast<std::size_t>(config.songs * vectors * config.width), 0.0f);
  d.emotion.assign(static_cast<std::size_t>(config.songs) * kEmotionSteps * 2, 0.0f);
  for (std::int64_t song = 0; song < config.songs; ++song) {
    RandomStream random(config.seed, streams::kSynthetic + static_cast<std::uint64_t>(song));
    const auto [valence, arousal] = draw_emotion(random);
    std::array<double, kNuisance> nuisance{};
    for (double& n : nuisance) n = random.normal();
    const double end = config.sequence ? random.uniform(0.6, 1.0) : 1.0;
    const std::uint64_t artist = random.below(static_cast<std::uint64_t>(config.songs + 2) / 3);

    const auto emotion_length = static_cast<std::int32_t>(std::lround(end * kEmotionSteps));
    float* ratings = d.emotion.data() + song * kEmotionSteps * 2;
    for (int t = 0; t < emotion_length; ++t) {
      const double u = static_cast<double>(t) / (kEmotionSteps - 1);
      ratings[2 * t] = static_cast<float>(valence.at(u));
      ratings[2 * t + 1] = static_cast<float>(arousal.at(u));
    }
    const auto v = statistics(valence, end), a = statistics(arousal, end);
    float* features = d.music.data() + song * vectors * config.width;
    if (config.sequence) {
      const auto music_length = static_cast<std::int32_t>(std::lround(end * kMusicSteps));
      for (int t = 0; t < music_length; ++t) {
        const double u = static_cast<double>(t) / (kMusicSteps - 1), du = 1e-3;
        const auto slope = [&](const SyntheticCurve& curve) {
          return (curve.at(u + du) - curve.at(u - du)) / (2 * du);
        };
        map.write({valence.at(u) / 0.4, arousal.at(u) / 0.4, slope(valence), slope(arousal), v[1], a[1], v[3],
                   a[3], nuisance[0], nuisance[1], nuisance[2], nuisance[3]},
                  config.noise, random, features + std::int64_t{t} * config.width);
      }
      d.music_length.push_back(music_length);
    } else {
      map.write({v[0], v[1], v[2], v[3], a[0], a[1], a[2], a[3], nuisance[0], nuisance[1], nuisance[2],
                 nuisance[3]},
                config.noise, random, features);
    }
    d.song_id.push_back(song + 1);
    d.emotion_length.push_back(emotion_length);
    d.titles.push_back(fmt::format("synthetic song {}", song + 1));
    d.artists.push_back(fmt::format("synthetic artist {}", artist + 1));
  }
  // The inputs of a generated set are its options.
  const std::string options = fmt::format("songs {} seed {} width {} sequence {} noise {}", config.songs,
                                          config.seed, config.width, config.sequence, config.noise);
  d.metadata = {{"format", "emer-dataset-1"},
                {"name", d.name},
                {"source", "generated"},
                {"created_by", fmt::format("emer {} ({})", version(), git_hash())},
                {"music_kind", "synthetic"},
                {"emotion_range", "-1..1"},
                {"checksum", sha256_hex(options)},
                {"seed", std::to_string(config.seed)},
                {"noise", fmt::format("{}", config.noise)}};
  return d;
}

}  // namespace emer
