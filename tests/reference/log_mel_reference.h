// tests/reference/log_mel_reference.h - VGGish's front end as plain loops in double: a DFT by its sum, the mel matrix
// whole.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace emer::reference {

constexpr double kLogMelPi = 3.14159265358979323846;

inline double mel_of(double hertz) {
  return 1127.0 * std::log(1.0 + hertz / 700.0);
}

// [257][64]
inline std::vector<std::vector<double>> mel_matrix() {
  std::vector<std::vector<double>> weight(257, std::vector<double>(64, 0.0));
  std::vector<double> edge;
  for (int i = 0; i < 66; ++i) edge.push_back(mel_of(125.0) + (mel_of(7500.0) - mel_of(125.0)) * i / 65.0);
  for (std::size_t bin = 1; bin < 257; ++bin)
    for (std::size_t band = 0; band < 64; ++band) {
      const double m = mel_of(31.25 * static_cast<double>(bin));
      const double up = (m - edge[band]) / (edge[band + 1] - edge[band]);
      const double down = (edge[band + 2] - m) / (edge[band + 2] - edge[band + 1]);
      weight[bin][band] = std::max(0.0, std::min(up, down));
    }
  return weight;
}

// One frame: 400 samples to 64 values.
inline std::vector<double> log_mel_frame(const double* samples) {
  static const auto weight = mel_matrix();
  std::vector<double> bands(64, 0.0);
  for (std::size_t bin = 0; bin < 257; ++bin) {
    double re = 0.0, im = 0.0;
    for (std::size_t k = 0; k < 400; ++k) {
      const double x = samples[k] * (0.5 - 0.5 * std::cos(2.0 * kLogMelPi * static_cast<double>(k) / 400.0));
      const double angle = 2.0 * kLogMelPi * static_cast<double>(bin * k % 512) / 512.0;
      re += x * std::cos(angle);
      im -= x * std::sin(angle);
    }
    for (std::size_t band = 0; band < 64; ++band)
      bands[band] += weight[bin][band] * std::sqrt(re * re + im * im);
  }
  for (double& value : bands) value = std::log(value + 0.01);
  return bands;
}

}  // namespace emer::reference
