// engine/curve.h - emotion curves of different lengths brought to one.
#pragma once

#include <vector>

namespace emer {

// curve [length, 2] row-major to [steps, 2] by linear interpolation over its whole length; the same values
// where steps == length, a single step held where length == 1. length, steps >= 1.
std::vector<float> resampled_curve(const float* curve, int length, int steps);

}  // namespace emer
