// core/shard.h - which rows of a global batch, or elements of a flat array, a rank owns.
//
// Rank r owns [r * block, min(total, (r + 1) * block)) with block = ceil(total / ranks). All shares but the last ones
// are equal, so arrays gathered with `block` rows a rank have their rows in global order, what is missing being at the
// end; some of the last ranks may own nothing.
#pragma once

#include <algorithm>
#include <cstdint>

namespace emer {

struct Shard {
  std::int64_t total = 0;
  std::int64_t block = 0;  // the largest share
  std::int64_t first = 0;
  std::int64_t count = 0;  // 0 .. block
};

inline Shard shard_of(std::int64_t total, int ranks, int rank) {
  const std::int64_t block = (total + ranks - 1) / ranks;
  const std::int64_t first = std::min(total, block * rank);
  return {.total = total, .block = block, .first = first, .count = std::min(total - first, block)};
}

}  // namespace emer
