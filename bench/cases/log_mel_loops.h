// bench/cases/log_mel_loops.h - sound for the cases that begin with it, and one frame of it in double by plain sums: what
// they are checked with.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/log_mel.h"

namespace emer::bench {

// Noise and a tone, from whole numbers: cheap enough for hours of sound.
inline std::int16_t pcm_sample_at(std::int64_t i) {
  std::uint64_t x = static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  const auto noise = static_cast<int>(x >> 52) - 2048;
  const auto tone = static_cast<int>(i * (1200 + i / 480000 % 7 * 400) % 32768) - 16384;
  return static_cast<std::int16_t>(noise + tone / 2);
}

// The bands of the frame that begins at this sample.
inline std::vector<double> log_mel_frame_loops(std::int64_t first) {
  constexpr double kPi = 3.14159265358979323846;
  std::array<double, 512> cosine;
  for (std::size_t i = 0; i < 512; ++i) cosine[i] = std::cos(2.0 * kPi * static_cast<double>(i) / 512.0);
  const auto mel = [](double hertz) { return 1127.0 * std::log(1.0 + hertz / 700.0); };
  const double step = (mel(7500.0) - mel(125.0)) / 65.0;
  std::vector<double> bands(64, 0.0);
  for (std::size_t bin = 1; bin < 257; ++bin) {
    double re = 0.0, im = 0.0;
    for (std::size_t k = 0; k < 400; ++k) {
      const double x = pcm_sample_at(first + static_cast<std::int64_t>(k)) / 32768.0 *
                       (0.5 - 0.5 * std::cos(2.0 * kPi * static_cast<double>(k) / 400.0));
      re += x * cosine[bin * k % 512];
      im += x * cosine[(bin * k + 128) % 512];
    }
    const double place = (mel(31.25 * static_cast<double>(bin)) - mel(125.0)) / step;
    for (std::size_t band = 0; band < 64; ++band)
      bands[band] +=
          std::hypot(re, im) * std::max(0.0, 1.0 - std::abs(place - static_cast<double>(band) - 1.0));
  }
  for (double& value : bands) value = std::log(value + 0.01);
  return bands;
}

// A frame: window, a real transform of 512 points (2.5 n log2 n), 235 magnitudes, 461 weights.
inline double log_mel_flops(std::int64_t patches) {
  return static_cast<double>(patches * kLogMelFrames) * (400.0 + 2.5 * 512 * 9 + 4 * 235 + 2 * 461);
}

}  // namespace emer::bench
