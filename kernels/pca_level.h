// kernels/pca_level.h - the last step of kernels/pca_quantise.h, the same for both devices.
#pragma once

#include <cmath>

#include "core/random.h"  // EMER_HOST_DEVICE
#include "kernels/pca_quantise.h"

namespace emer {

EMER_HOST_DEVICE inline std::uint8_t pca_level(double y, PcaRounding rounding) {
  if (!(y > -2.0)) return 0;  // also NaN
  const double level = ((y < 2.0 ? y : 2.0) + 2.0) * 63.75;
  return static_cast<std::uint8_t>(rounding == PcaRounding::kNearest ? rint(level) : level);
}

}  // namespace emer
