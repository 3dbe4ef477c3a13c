// kernels/global_rows.h - argument check of the ops that couple all samples of a batch which several ranks share.
#pragma once

#include "core/check.h"
#include "core/collectives.h"

namespace emer {

// The rows of all ranks. On several ranks an op that took its own rows for all would optimise another objective
// (method.md 3.3): `total` must be given, and n be this rank's share of it.
inline int check_global_rows(Context& ctx, const char* op, int n, int total) {
  EMER_CHECK(n >= 0 && total >= 0, "{}: {} rows of {}", op, n, total);
  if (ranks_of(ctx) == 1) {
    EMER_CHECK(total == 0 || total == n, "{}: {} rows of {} on one rank", op, n, total);
    return n;
  }
  const Shard own = shard_of(ctx, total);
  EMER_CHECK(total > 0 && n == own.count, "{}: {} rows of {} on rank {} of {}, its share is {}", op, n, total,
             rank_of(ctx), ranks_of(ctx), own.count);
  return total;
}

}  // namespace emer
