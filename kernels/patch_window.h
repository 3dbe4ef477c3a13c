// kernels/patch_window.h - which of a song's patches a batch takes; for the twins of kernels/gather_patches.h.
#pragma once

#include "core/random.h"
#include "kernels/gather_patches.h"

namespace emer {

struct PatchWindow {
  std::int64_t first;  // row of the table
  std::int32_t count;
};

template <class Real>
EMER_HOST_DEVICE PatchWindow patch_window(const GatherPatches<Real>& a, std::int64_t i) {
  const std::int64_t song = a.rows[(a.scalars ? a.scalars->first : 0) + i];
  const std::int64_t begin = a.offset[song], length = a.offset[song + 1] - begin;
  if (length <= a.steps) return {begin, static_cast<std::int32_t>(length)};
  std::int64_t skipped = 0;
  if (a.random) {
    const std::uint64_t step = a.scalars ? a.scalars->dropout_step : a.step;
    const PhiloxBlock draw = philox(a.seed, a.stream, (step << 32) + static_cast<std::uint64_t>(song));
    const std::uint64_t places = static_cast<std::uint64_t>(length - a.steps) + 1;
    skipped = static_cast<std::int64_t>((std::uint64_t{draw.word[0]} * places) >> 32);
  }
  return {begin + skipped, a.steps};
}

}  // namespace emer
