// bench/cases/vggish_fill.h - weights for the cases with VGGish, and how much work the network is.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "bench/values.h"
#include "layers/vggish.h"

namespace emer::bench {

// In [-1, 1): an integer hash, as 72 million normal values take seconds to draw.
inline double hashed_at(std::uint64_t array, std::int64_t index) {
  std::uint64_t h = (array << 40) + static_cast<std::uint64_t>(index) + 0x9e3779b97f4a7c15u;
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
  return static_cast<double>((h ^ (h >> 31)) >> 11) * 0x1p-52 - 1.0;
}

inline void fill_vggish(Context& ctx, const std::vector<InitialisedParameter<float>*>& parameters) {
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    Tensor<float>& value = parameters[k]->parameter.value;
    // Layers that keep the size of what goes through them.
    const double fan = static_cast<double>(value.size()) / static_cast<double>(value.extent(0));
    const double limit = value.shape().size() == 1 ? 0.1 : std::sqrt(6.0 / fan);
    upload(ctx, value.data(), static_cast<std::int64_t>(value.size()),
           [=](std::int64_t i) { return limit * hashed_at(k, i); });
  }
}

// `train`: with the gradients of all weights; the patches need none.
inline double vggish_flops(const VggishConfig& config, double patches, bool train) {
  double products = 0.0, first = 0.0, in = 1.0;
  double places = double{VggishConfig::kFrames} * VggishConfig::kBands;
  for (std::size_t k = 0; k < 6; ++k) {
    const double of_block = places * 9.0 * in * config.channels[k];
    products += of_block;
    if (k == 0) first = of_block;
    in = config.channels[k];
    if (k != 2 && k != 4) places /= 4.0;
  }
  in *= places;
  for (const int width : config.dense) {
    products += in * width;
    in = width;
  }
  return 2.0 * patches * (train ? 3.0 * products - first : products);
}

}  // namespace emer::bench
