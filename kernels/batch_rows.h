// kernels/batch_rows.h - the rows of a batch that ranks share, for ops that sum over all of them.
//
// From twice as many rows as features on, sums over the own rows are all-reduced. Below that every rank gathers the rows
// of all and does what one rank would: it moves less than the d x d sums, leaves the smaller side of a product to
// choose, and rounds as one rank does where that shows: with few rows the sample correlations are near 1, and gradients
// the small rest of terms that cancel. The choice depends on the global batch only, so it is the same on every rank.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/collectives.h"

namespace emer {

struct BatchRows {
  Shard own;
  int rank = 0, ranks = 1;  // that exchange
  bool gathered = false;

  // n rows of this rank; total as in the ops' arguments: 0 where n are all there are.
  BatchRows(Context& ctx, int n, int total, int d) {
    if (total > 0) {
      rank = rank_of(ctx);
      ranks = ranks_of(ctx);
    }
    own = shard_of(ranks > 1 ? total : n, ranks, rank);
    gathered = ranks > 1 && total < 2 * d;
  }
  int total() const { return static_cast<int>(own.total); }
  bool summed() const { return ranks > 1 && !gathered; }
  int here() const {
    return static_cast<int>(gathered ? own.total : own.count);
  }  // rows summed over on this rank
  std::int64_t held() const { return gathered ? own.block * ranks : own.count; }  // rows of an array of these
  std::int64_t first() const { return gathered ? own.first : 0; }                 // own rows in such an array

  // all[held, d]: own rows are in place; the others arrive.
  template <class T>
  void gather(Context& ctx, int d, T* all) const {
    T* mine = all + own.block * rank * d;
    const auto block = static_cast<std::size_t>(own.block * d),
               used = static_cast<std::size_t>(own.count * d);
    if (used < block) fill_zero(ctx, mine + used, (block - used) * sizeof(T));
    all_gather(ctx, mine, all, block);
  }
};

}  // namespace emer
