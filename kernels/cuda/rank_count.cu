// CUDA twin of kernels/rank_count.h: scales of the terms, totals of the matches, then the counts, each over tiles of
// pairs that are scored anew. Blocks take strips of tiles along the candidates.
#include "kernels/rank_count.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/pair_tile.h"
#include "kernels/cuda/rank_count_float.h"

namespace emer::cuda {

namespace {

constexpr double kNoVariation = 1e-12;
// Strips of candidates a query's moments are cut into, at most: bounds their memory. They depend on the candidates
// alone, so the order of the sums does too.
constexpr int kMostStrips = 64;
constexpr int kShortestStrip = 4;  // tiles
// Blocks that run side by side share so many rows of tiles, which then stay in the L2 cache with their candidates.
constexpr int kRowsTogether = 16;

struct Strips {
  int rows = 0;   // tiles of queries
  int tiles = 0;  // tiles of candidates
  int each = 0;   // of them in a strip
  int count = 0;  // strips

  explicit Strips(const PairScores& s)
      : rows((s.queries + kPairTile - 1) / kPairTile),
        tiles((s.candidates + kPairTile - 1) / kPairTile),
        each(std::max(kShortestStrip, (tiles + kMostStrips - 1) / kMostStrips)),
        count((tiles + each - 1) / each) {}
  unsigned blocks() const { return static_cast<unsigned>(rows) * static_cast<unsigned>(count); }
};

// Row of tiles and strip of a block.
struct BlockPlace {
  int row, strip;
  __device__ explicit BlockPlace(const Strips& strips) {
    const int group = kRowsTogether * strips.count,
              first = static_cast<int>(blockIdx.x) / group * kRowsTogether;
    const int together = min(kRowsTogether, strips.rows - first),
              within = static_cast<int>(blockIdx.x) % group;
    row = first + within % together;
    strip = within / together;
  }
};

// Count, mean and sum of squared deviations of some of a query's terms.
struct Moments {
  double count = 0.0, mean = 0.0, squares = 0.0;

  __device__ void add(const Moments& other) {
    if (other.count == 0.0) return;
    const double total = count + other.count, delta = other.mean - mean, share = other.count / total;
    mean = fma(delta, share, mean);
    squares += fma(delta * delta, count * share, other.squares);
    count = total;
  }
};

// One block per (row of tiles, strip), one thread per 4 x 4 pairs of a tile: moments of one term over the strip's
// candidates. The 16 threads of a query merge theirs in a fixed tree.
template <bool kKl>
__global__ void __launch_bounds__(kPairBlock, 2) term_moments(PairScores s, Strips strips, Moments* moments) {
  __shared__ PairPanels panels;
  const BlockPlace place(strips);
  const PairRows rows{s.queries};
  Moments sums[kPairEach];
  double seen = 0.0;
  const int last = min(strips.tiles, (place.strip + 1) * strips.each);
  for (int tile = place.strip * strips.each; tile < last; ++tile) {
    const PairPlace at(place.row * kPairTile, tile * kPairTile);
    PairTerms term = {};
    const auto add = [&](int r, int c, int /*i*/, double value) { term[r][c] += value; };
    if constexpr (kKl) {
      if (s.query_first) for_each_term<PairSum::kQueryFirst>(s, rows, at, panels, add);
      if (s.candidate_first) for_each_term<PairSum::kCandidateFirst>(s, rows, at, panels, add);
    } else {
      for_each_term<PairSum::kDistance>(s, rows, at, panels, add);
    }
    for (int c = 0; c < kPairEach; ++c) {
      if (at.candidate + kPairAcross * c >= s.candidates) continue;
      seen += 1.0;
      const double share = 1.0 / seen;
      for (int r = 0; r < kPairEach; ++r) {
        const double before = term[r][c] - sums[r].mean;
        sums[r].mean = fma(before, share, sums[r].mean);
        sums[r].squares = fma(before, term[r][c] - sums[r].mean, sums[r].squares);
      }
    }
  }
  const PairPlace at(place.row * kPairTile, 0);
  for (int r = 0; r < kPairEach; ++r) {
    sums[r].count = seen;
    for (int offset = kPairAcross / 2; offset > 0; offset /= 2) {
      Moments other;
      other.count = __shfl_down_sync(kAllLanes, sums[r].count, offset, kPairAcross);
      other.mean = __shfl_down_sync(kAllLanes, sums[r].mean, offset, kPairAcross);
      other.squares = __shfl_down_sync(kAllLanes, sums[r].squares, offset, kPairAcross);
      sums[r].add(other);
    }
    const int i = at.row + kPairAcross * r;
    if (at.candidate == 0 && i < s.queries) moments[std::int64_t{place.strip} * s.queries + i] = sums[r];
  }
}

// One thread per query: weight / s of one term, from the strips' moments in order.
__global__ void term_scales(PairScores s, int strips, const Moments* moments, double weight, double* scale) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= s.queries) return;
  double deviation = 1.0;
  if (s.standardise) {
    Moments all;
    for (int strip = 0; strip < strips; ++strip) all.add(moments[std::int64_t{strip} * s.queries + i]);
    deviation = sqrt(all.squares / all.count);
    if (deviation <= kNoVariation * fabs(all.mean)) deviation = 1.0;
  }
  scale[i] = weight / deviation;
}

// One block per row of tiles: the tile of its matches, whose diagonal is written; clears the counts.
__global__ void __launch_bounds__(kPairBlock, 2) match_totals(RankCount a, MatchTotals m) {
  __shared__ PairPanels panels;
  const int row0 = static_cast<int>(blockIdx.x) * kPairTile;
  const PairPlace at(row0, a.first_match + row0);
  PairTerms total;
  pair_totals(a.scores, {a.scores.queries}, at, panels, m, total);
  for (int r = 0; r < kPairEach; ++r)
    for (int c = 0; c < kPairEach; ++c) {
      const int i = at.row + kPairAcross * r;
      if (i >= a.scores.queries || at.candidate + kPairAcross * c != a.first_match + i) continue;
      m.own[i] = total[r][c];
      a.smaller[i] = a.equal_before[i] = a.equal_after[i] = 0;
      a.first_nan[i] = -1;
    }
}

// The lower of two candidates, where -1 is none.
__device__ int lower_candidate(int a, int b) {
  return static_cast<int>(min(static_cast<unsigned>(a), static_cast<unsigned>(b)));
}

// One block per (row of tiles, strip), one thread per 4 x 4 pairs of a tile: compares with the matches' totals and
// adds the strip's counts. Integer sums, so their order does not matter. `listed`: of the queries in the list only,
// whose number is in device memory.
__global__ void __launch_bounds__(kPairBlock, 2)
    count_pairs(RankCount a, Strips strips, MatchTotals m, const int* list, const int* listed) {
  __shared__ PairPanels panels;
  const PairScores& s = a.scores;
  const BlockPlace place(strips);
  const PairRows rows{listed != nullptr ? *listed : s.queries, list};
  if (place.row * kPairTile >= rows.count) return;
  int smaller[kPairEach] = {}, before[kPairEach] = {}, after[kPairEach] = {}, nan[kPairEach];
  for (int r = 0; r < kPairEach; ++r) nan[r] = -1;
  const int last = min(strips.tiles, (place.strip + 1) * strips.each);
  for (int tile = place.strip * strips.each; tile < last; ++tile) {
    const PairPlace at(place.row * kPairTile, tile * kPairTile);
    PairTerms total;
    pair_totals(s, rows, at, panels, m, total);
    for (int r = 0; r < kPairEach; ++r) {
      if (at.row + kPairAcross * r >= rows.count) continue;
      const int i = rows.item(at.row + kPairAcross * r);
      const double own = m.own[i];
      for (int c = 0; c < kPairEach; ++c) {
        const int j = at.candidate + kPairAcross * c;
        if (j >= s.candidates) continue;
        smaller[r] += total[r][c] < own;
        before[r] += total[r][c] == own && j < a.first_match + i;
        after[r] += total[r][c] == own && j > a.first_match + i;
        if (total[r][c] != total[r][c]) nan[r] = lower_candidate(nan[r], j);
      }
    }
  }
  const PairPlace at(place.row * kPairTile, 0);
  for (int r = 0; r < kPairEach; ++r) {
    for (int offset = kPairAcross / 2; offset > 0; offset /= 2) {
      smaller[r] += __shfl_down_sync(kAllLanes, smaller[r], offset, kPairAcross);
      before[r] += __shfl_down_sync(kAllLanes, before[r], offset, kPairAcross);
      after[r] += __shfl_down_sync(kAllLanes, after[r], offset, kPairAcross);
      nan[r] = lower_candidate(nan[r], __shfl_down_sync(kAllLanes, nan[r], offset, kPairAcross));
    }
    if (at.candidate != 0 || at.row + kPairAcross * r >= rows.count) continue;
    const int i = rows.item(at.row + kPairAcross * r);
    atomicAdd(&a.smaller[i], smaller[r]);
    atomicAdd(&a.equal_before[i], before[r]);
    atomicAdd(&a.equal_after[i], after[r]);
    atomicMin(reinterpret_cast<unsigned*>(&a.first_nan[i]), static_cast<unsigned>(nan[r]));
  }
}

// One warp per item, lanes along k.
__global__ void gaussian_rows(GaussianTerms a) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  if (i >= a.n) return;
  double log_sum = 0.0;
  for (int k = static_cast<int>(threadIdx.x) % 32; k < a.d; k += 32) {
    const std::int64_t at = i * a.d + k;
    const double variance = exp(a.log_variance[at]) + a.floor;
    if (a.variance != nullptr) a.variance[at] = variance;
    if (a.inverse != nullptr) a.inverse[at] = 1.0 / variance;
    log_sum += log(variance);
  }
  log_sum = warp_sum(log_sum);
  if (threadIdx.x % 32 == 0) a.log_sum[i] = log_sum;
}

}  // namespace

void rank_count(Context& ctx, const RankCount& a) {
  const ArenaScope scope(ctx);
  const PairScores& s = a.scores;
  const Strips strips(s);
  const std::size_t queries = static_cast<std::size_t>(s.queries);
  const MatchTotals m{.cca_scale = ctx.scratch<double>(queries),
                      .kl_scale = ctx.scratch<double>(queries),
                      .own = ctx.scratch<double>(queries)};
  Moments* moments = nullptr;
  if (s.standardise) moments = ctx.scratch<Moments>(queries * static_cast<std::size_t>(strips.count));
  const auto scale = [&](const char* name, void (*kernel)(PairScores, Strips, Moments*), double weight,
                         double* scales) {
    if (weight == 0.0) return;
    if (s.standardise)
      launch(ctx, {.name = name, .grid = {strips.blocks()}, .block = kPairBlock}, kernel, s, strips, moments);
    launch(ctx, {.name = "term_scales", .grid = {blocks_for(s.queries)}, .block = kElementwiseBlock},
           term_scales, s, strips.count, moments, weight, scales);
  };
  scale("cca_moments", term_moments<false>, s.cca_weight, m.cca_scale);
  scale("kl_moments", term_moments<true>, s.kl_weight, m.kl_scale);
  launch(ctx, {.name = "match_totals", .grid = {static_cast<unsigned>(strips.rows)}, .block = kPairBlock},
         match_totals, a, m);
  UnsettledQueries unsettled;
  if (counts_in_float(a)) {
    unsettled = {.list = ctx.scratch<int>(queries), .count = ctx.scratch<int>(1)};
    count_in_float(ctx, a, m, unsettled);
  } else if (a.left_open != nullptr) {
    emer::fill_zero(ctx, a.left_open, queries * sizeof(std::int32_t));
  }
  launch(ctx, {.name = "count_pairs", .grid = {strips.blocks()}, .block = kPairBlock}, count_pairs, a, strips,
         m, unsettled.list, unsettled.count);
}

void gaussian_terms(Context& ctx, const GaussianTerms& a) {
  launch(ctx,
         {.name = "gaussian_terms",
          .grid = {blocks_for(std::int64_t{a.n} * 32, kElementwiseBlock, INT32_MAX)},
          .block = kElementwiseBlock},
         gaussian_rows, a);
}

}  // namespace emer::cuda
