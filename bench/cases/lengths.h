// bench/cases/lengths.h - how long sequences are, where they differ.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace emer::bench {

// n lengths spread as PMEmo's 767 curves of ratings are (2 to 146, median 42, mean 47.5: its quantiles at 0, 5, 10, 25,
// 50, 75, 90, 95 and 100 per cent), cut to [1, most], in no order.
inline std::vector<std::int32_t> pmemo_lengths(int n, int most) {
  constexpr std::array<double, 9> kShare = {0, .05, .1, .25, .5, .75, .9, .95, 1};
  constexpr std::array<double, 9> kLength = {2, 12, 18, 28, 42, 62, 86, 100, 146};
  std::vector<std::int32_t> lengths;
  for (int i = 0; i < n; ++i) {
    // 0.618…: multiples of the golden ratio spread evenly.
    const double share = std::fmod((i + 0.5) * 0.6180339887498949, 1.0);
    std::size_t k = 1;
    while (share > kShare[k]) ++k;
    const double part = (share - kShare[k - 1]) / (kShare[k] - kShare[k - 1]);
    const double length = kLength[k - 1] + part * (kLength[k] - kLength[k - 1]);
    lengths.push_back(std::clamp(static_cast<std::int32_t>(std::lround(length)), 1, most));
  }
  return lengths;
}

}  // namespace emer::bench
