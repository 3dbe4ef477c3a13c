// kernels/epoch_order.h - the order in which an epoch sees the songs: core/random.h's shuffle, on the device.
//
//   p = 0, 1, .. count-1;  for i = count .. 2: swap p[i-1], p[j],  j = below(i) of RandomStream(seed, stream)
//   order[k] = songs[p[k]]
// Source: Fisher and Yates as shuffled_indices() does it, number for number: every device has the same epochs.
// Errors: EMER_CHECK on count and null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

struct EpochOrder {
  std::int64_t count = 0;  // >= 1, below 2^31
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;             // streams::kShuffle + epoch
  const std::int64_t* songs = nullptr;  // in   [count]
  std::int64_t* order = nullptr;        // out  [count], overwritten; must not alias songs
};

void epoch_order(Context& ctx, const EpochOrder& args);

namespace cpu {
void epoch_order(Context& ctx, const EpochOrder& args);
}
namespace cuda {  // defined only with CUDA
void epoch_order(Context& ctx, const EpochOrder& args);
}

}  // namespace emer
