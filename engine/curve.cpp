#include "engine/curve.h"

#include <algorithm>

#include "core/check.h"

namespace emer {

std::vector<float> resampled_curve(const float* curve, int length, int steps) {
  EMER_CHECK(length >= 1 && steps >= 1, "curve of {} steps to {}", length, steps);
  std::vector<float> out;
  for (int step = 0; step < steps; ++step) {
    const double at = steps == 1 ? 0.0 : static_cast<double>(step) * (length - 1) / (steps - 1);
    const int low = static_cast<int>(at), high = std::min(low + 1, length - 1);
    const double share = at - low;
    for (int column = 0; column < 2; ++column)
      out.push_back(
          static_cast<float>((1.0 - share) * curve[low * 2 + column] + share * curve[high * 2 + column]));
  }
  return out;
}

}  // namespace emer
