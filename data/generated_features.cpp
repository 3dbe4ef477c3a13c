#include "data/generated_features.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/check.h"
#include "core/random.h"

namespace emer {

namespace {

constexpr int kWidth = 128, kTerms = 5;
constexpr double kFrame = 0.96, kRating = 0.5, kReach = 1.0;  // seconds
constexpr double kSongError = 0.24, kColour = 0.3, kNoise = 0.3;
constexpr std::uint64_t kSeed = 0x656d65722d323830;  // apart from what users choose
using Map = std::array<std::array<double, kTerms>, kWidth>;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

int frames_of(std::int32_t ratings) {
  return std::max(1, static_cast<int>(std::floor(ratings * kRating / kFrame)));
}

Map draw_map() {
  Map map{};
  RandomStream random(kSeed, streams::kInitialise);
  for (auto& row : map)
    for (double& value : row) value = random.normal();
  return map;
}

// Mean valence and arousal around a time, on [-1, 1].
std::array<double, 2> rating_around(const float* ratings, std::int32_t length, double time, double low,
                                    double high) {
  std::array<double, 2> sum{};
  int count = 0;
  for (std::int32_t i = 0; i < length; ++i) {
    if (std::abs((i + 0.5) * kRating - time) > kReach) continue;
    ++count;
    for (const std::size_t side : {0u, 1u}) sum[side] += static_cast<double>(ratings[2 * at(i) + side]);
  }
  for (double& value : sum) value = (2 * value / count - low - high) / (high - low);
  return sum;
}

}  // namespace

void generate_features(Dataset& d, double low, double high) {
  EMER_CHECK(low < high, "generated features: ratings from {} to {}", low, high);
  const Map map = draw_map();
  d.music_width = kWidth;
  d.music_length.clear();
  for (const std::int32_t ratings : d.emotion_length) d.music_length.push_back(frames_of(ratings));
  d.music_steps = *std::max_element(d.music_length.begin(), d.music_length.end());
  d.music.assign(at(d.size() * d.music_steps * kWidth), 0.0f);
  for (std::int64_t song = 0; song < d.size(); ++song) {
    RandomStream random(kSeed, streams::kSynthetic + static_cast<std::uint64_t>(d.song_id[at(song)]));
    const std::array<double, 2> error = {kSongError * random.normal(), kSongError * random.normal()};
    std::array<double, kWidth> colour{};
    for (double& value : colour) value = kColour * random.normal();
    const float* ratings = &d.emotion[at(song * d.emotion_steps * 2)];
    for (std::int32_t t = 0; t < d.music_length[at(song)]; ++t) {
      const auto [valence, arousal] =
          rating_around(ratings, d.emotion_length[at(song)], (t + 0.5) * kFrame, low, high);
      const double v = valence + error[0], a = arousal + error[1];
      const std::array<double, kTerms> terms = {v, a, v * v, a * a, v * a};
      float* frame = &d.music[at((song * d.music_steps + t) * kWidth)];
      for (std::size_t j = 0; j < kWidth; ++j) {
        double value = colour[j] + kNoise * random.normal();
        for (std::size_t k = 0; k < kTerms; ++k) value += map[j][k] * terms[k];
        frame[j] = static_cast<float>(value);
      }
    }
  }
  d.metadata["music_kind"] = "generated features: they say nothing about music";
}

}  // namespace emer
