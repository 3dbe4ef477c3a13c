// kernels/cuda/conv_ranges.h - how the pixels that a convolution's weight gradient sums over are cut into ranges. CUDA
// twins only; this header needs no CUDA header.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/conv_block.h"

namespace emer::cuda {

struct ConvRanges {
  std::int64_t pixels, length;  // altogether; of each range but perhaps the last
  int count;
};

// Lengths are multiples of `step`. So many that the grid, with tiles of `rows` output channels and `columns` (r, s, c),
// has a few blocks for each of a large GPU's multiprocessors: a constant, so that the ranges, and with them the bits of
// the sums, do not depend on the device.
inline ConvRanges conv_ranges(const ConvShape& s, int rows, int columns, int step) {
  constexpr std::int64_t kBlocks = 528, kLeastPixels = 512;
  const auto quotient_up = [](std::int64_t count, std::int64_t by) { return (count + by - 1) / by; };
  const std::int64_t tiles = quotient_up(s.out, rows) * quotient_up(std::int64_t{9} * s.in, columns);
  const std::int64_t pixels = std::int64_t{s.n} * s.height * s.width;
  const std::int64_t wanted = std::min(quotient_up(kBlocks, tiles), quotient_up(pixels, kLeastPixels));
  const std::int64_t length = quotient_up(quotient_up(pixels, wanted), step) * step;
  return {pixels, length, static_cast<int>(quotient_up(pixels, length))};
}

}  // namespace emer::cuda
