#include "losses/kl_columns.h"

#include <algorithm>

#include "core/collectives.h"

namespace emer {

namespace {

std::size_t cells(std::int64_t rows, int d) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(d);
}

// Rows begin .. end - 1, which no rank has: they travel with the others and are never read, but memory that was never
// written may hold anything, and checkers of memory say so.
template <class Real>
void clear(Context& ctx, Real* array, std::int64_t begin, std::int64_t end, int d) {
  if (begin < end) fill_zero(ctx, array + cells(begin, d), cells(end - begin, d) * sizeof(Real));
}

}  // namespace

std::vector<KlColumns> kl_columns(const Shard& own, int ranks, int rank, int pieces) {
  std::vector<KlColumns> list;
  const std::int64_t most = (own.block + pieces - 1) / pieces;
  for (std::int64_t first = 0; first < own.block; first += most) {
    KlColumns columns{.first = first, .count = std::min(most, own.block - first)};
    for (int r = 0; r < ranks; ++r)
      columns.n += std::clamp<std::int64_t>(shard_of(own.total, ranks, r).count - first, 0, columns.count);
    columns.own_begin = std::min(first, own.count);
    columns.own_end = std::min(first + columns.count, own.count);
    columns.own_column = columns.own_begin < columns.own_end ? rank * columns.count : 0;
    list.push_back(columns);
  }
  return list;
}

template <class Real>
KlArrays<Real> take_columns(Context& ctx, const KlColumns& columns, int d) {
  KlArrays<Real> all;
  for (Real*& array : all) array = ctx.scratch<Real>(cells(columns.count * ranks_of(ctx), d));
  return all;
}

template <class Real>
void start_gather(Context& ctx, const KlArrays<const Real>& own, const KlColumns& columns, int d,
                  const KlArrays<Real>& all) {
  const std::int64_t rows = columns.own_end - columns.own_begin;
  const std::size_t share = cells(columns.count, d);
  for (std::size_t a = 0; a < all.size(); ++a) {
    Real* const place = all[a] + share * static_cast<std::size_t>(rank_of(ctx));
    if (rows > 0)
      copy_on_device(ctx, place, own[a] + cells(columns.own_begin, d), cells(rows, d) * sizeof(Real));
    clear(ctx, place, rows, columns.count, d);
    start_all_gather(ctx, place, all[a], share);
  }
}

template <class Real>
void start_send_home(Context& ctx, const KlArrays<Real>& all, const KlColumns& columns, int d,
                     const KlArrays<Real>& home) {
  for (std::size_t a = 0; a < all.size(); ++a) {
    clear(ctx, all[a], columns.n, columns.count * ranks_of(ctx), d);
    start_reduce_scatter_sum(ctx, all[a], home[a] + cells(columns.first, d), cells(columns.count, d));
  }
}

#define EMER_KL_COLUMNS(T)                                                                                   \
  template KlArrays<T> take_columns(Context&, const KlColumns&, int);                                        \
  template void start_gather(Context&, const KlArrays<const T>&, const KlColumns&, int, const KlArrays<T>&); \
  template void start_send_home(Context&, const KlArrays<T>&, const KlColumns&, int, const KlArrays<T>&);
EMER_KL_COLUMNS(float)
EMER_KL_COLUMNS(double)
#undef EMER_KL_COLUMNS

}  // namespace emer
