// losses/kl_columns.h - the columns of the KL matrices in pieces that every rank gathers, works and gives back: the way
// of means and log variances there, and of their gradients home.
//
// Piece k has rows first .. first + count - 1 of every rank's block. So every rank sends and receives as much as the
// others in every piece, the largest exchange is that of one piece, and gradients are summed where a reduce-scatter sums
// them. (Blocks that go round a ring would need a collective of their own, and sums that begin on another rank for every
// block.)
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/context.h"
#include "core/shard.h"

namespace emer {

// Music mean, music log variance, emotion mean, emotion log variance; [rows, d] row-major on the device.
template <class Real>
using KlArrays = std::array<Real*, 4>;

struct KlColumns {
  std::int64_t first = 0, count = 0;  // of every rank's block; fewer where a rank has none left
  std::int64_t n = 0;                 // columns that exist, one rank's after the other's; >= 1
  // This rank's rows among them, and the column of the first.
  std::int64_t own_begin = 0, own_end = 0, own_column = 0;
};

// The batch in at most `pieces` pieces, as equal as can be.
std::vector<KlColumns> kl_columns(const Shard& own, int ranks, int rank, int pieces);

// Space for a piece of all ranks, out of ctx's scratch. What the last ranks lack comes last and is never read.
template <class Real>
KlArrays<Real> take_columns(Context& ctx, const KlColumns& columns, int d);

// Starts to gather a piece of the rank's own rows into `all`.
template <class Real>
void start_gather(Context& ctx, const KlArrays<const Real>& own, const KlColumns& columns, int d,
                  const KlArrays<Real>& all);

// Starts to sum over ranks the gradients of a piece of columns: into the rows of `home`, block rows, they are of.
template <class Real>
void start_send_home(Context& ctx, const KlArrays<Real>& all, const KlColumns& columns, int d,
                     const KlArrays<Real>& home);

}  // namespace emer
