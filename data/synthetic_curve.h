// data/synthetic_curve.h - the smooth random curves that synthetic songs are rated with.
//
//   value(u) = tanh(level + trend (u - 1/2) + sum_{k=1..3} amplitude_k sin(2 pi k u + phase_k)),  u in [0, 1]
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "core/random.h"

namespace emer {

struct SyntheticCurve {
  double level = 0, trend = 0;
  std::array<double, 3> amplitude{}, phase{};

  double at(double u) const {
    double value = level + trend * (u - 0.5);
    for (std::size_t k = 0; k < amplitude.size(); ++k)
      value += amplitude[k] * std::sin(6.283185307179586476925 * static_cast<double>(k + 1) * u + phase[k]);
    return std::tanh(value);
  }
};

inline SyntheticCurve draw_curve(RandomStream& random, double level) {
  SyntheticCurve curve;
  curve.level = level;
  curve.trend = 0.5 * random.normal();
  for (std::size_t k = 0; k < curve.amplitude.size(); ++k) {
    curve.amplitude[k] = 0.2 / static_cast<double>(k + 1) * random.normal();
    curve.phase[k] = random.uniform(0, 6.283185307179586476925);
  }
  return curve;
}

struct SyntheticEmotion {
  SyntheticCurve valence, arousal;
};

// Songs spread over the plane, valence and arousal somewhat alike.
inline SyntheticEmotion draw_emotion(RandomStream& random) {
  SyntheticEmotion emotion;
  const double level = random.uniform(-0.8, 0.8);
  emotion.valence = draw_curve(random, level);
  emotion.arousal = draw_curve(random, 0.4 * level + random.uniform(-0.7, 0.7));
  return emotion;
}

}  // namespace emer
