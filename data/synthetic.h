// data/synthetic.h - songs that do not exist, for machines without data: ratings are smooth random curves,
// features a fixed nonlinear view of them, blurred by what the ratings do not tell.
//
//   x          = (mean, deviation, rise, roughness of both curves (data/synthetic_curve.h), nuisance_1..4), each about
//                unit scale
//   features   = W2 tanh(W1 x) + noise * normal
// In a sequence the first eight entries of x are value and slope of both curves at that moment, four
// statistics of the song filling the rest. W1 and W2 are the same for every seed: sets of different seeds are
// samples of one world.
#pragma once

#include <cstdint>

#include "data/dataset.h"

namespace emer {

struct SyntheticConfig {
  std::int64_t songs = 400;  // >= 1, ids 1..songs
  std::uint64_t seed = 1;
  int width = 128;        // of one feature vector, >= 1
  bool sequence = false;  // [N, 30, width] at 1 Hz with varying lengths, else [N, width]
  double noise = 0.1;     // standard deviation added to features whose own is about 1; >= 0
};

// A pure function of its argument. Ratings: 60 steps at 2 Hz in (-1, 1); songs of sequences last 60 % to 100
// % of that. Artists make three songs each, on average. Throws Error(kUsage) for values out of range.
Dataset make_synthetic(const SyntheticConfig& config);

}  // namespace emer
