// kernels/cuda/pair_tile.h - the terms of kernels/rank_count.h for a tile of 64 x 64 pairs, in double. Only .cu files
// include this.
//
// Sums run over k in order with the operations written out, so that a pair's terms are the same bits in whatever tile
// and kernel it is scored.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/rank_count.h"

namespace emer::cuda {

inline constexpr int kPairTile = 64;    // queries, and candidates, of a tile
inline constexpr int kPairAcross = 16;  // threads along either side; each has 4 x 4 pairs, 16 apart
inline constexpr int kPairBlock = kPairAcross * kPairAcross;
inline constexpr int kPairEach = kPairTile / kPairAcross;
inline constexpr int kPairDepth = 16;  // k that are in shared memory at a time

using PairTerms = double[kPairEach][kPairEach];

enum class PairSum { kDistance, kQueryFirst, kCandidateFirst };

// One more element of a pair's sum, from query and candidate: position, or mean and variance or its inverse.
template <PairSum kSum>
__device__ inline double add_element(double sum, double query, double query_other, double candidate,
                                     double candidate_other) {
  const double difference = candidate - query;
  if constexpr (kSum == PairSum::kDistance) return sum + fabs(difference);
  if constexpr (kSum == PairSum::kQueryFirst)
    return fma(fma(difference, difference, query_other), candidate_other, sum);
  return fma(fma(difference, difference, candidate_other), query_other, sum);
}

// One KL of a pair from its sum, times the share it has in the score's KL: a power of two, so that the product is exact
// however the compiler fuses it.
template <PairSum kSum>
__device__ inline double kl_of_sum(const PairScores& s, double sum, double query_log, double candidate_log) {
  const double share = s.query_first && s.candidate_first ? 0.25 : 0.5;
  const double log_ratio =
      kSum == PairSum::kQueryFirst ? candidate_log - query_log : query_log - candidate_log;
  return share * (sum - s.d + log_ratio);
}

// The two arrays a sum reads of either side.
struct PairArrays {
  int width;
  const double *query, *query_other, *candidate, *candidate_other;
};
template <PairSum kSum>
__device__ inline PairArrays arrays_of(const PairScores& s) {
  if constexpr (kSum == PairSum::kDistance) return {s.kept, s.line, nullptr, s.point, nullptr};
  if constexpr (kSum == PairSum::kQueryFirst)
    return {s.d, s.query.mean, s.query.variance, s.candidate.mean, s.candidate.inverse};
  return {s.d, s.query.mean, s.query.inverse, s.candidate.mean, s.candidate.variance};
}

// Rows of the tiles: the items themselves, or those of a list in device memory.
struct PairRows {
  int count = 0;
  const int* list = nullptr;
  __device__ int item(int row) const { return list != nullptr ? list[row] : row; }
};

// The block's shared memory. One element of padding per k: rows are stored along k and read across it.
struct PairPanels {
  double query[2][kPairDepth][kPairTile + 1];
  double candidate[2][kPairDepth][kPairTile + 1];
};

// A thread's pairs: rows row + 16 r, candidates candidate + 16 c.
struct PairPlace {
  int row0, candidate0;  // of the tile
  int row, candidate;    // of the thread
  __device__ PairPlace(int tile_row, int tile_candidate)
      : row0(tile_row),
        candidate0(tile_candidate),
        row(tile_row + static_cast<int>(threadIdx.x) / kPairAcross),
        candidate(tile_candidate + static_cast<int>(threadIdx.x) % kPairAcross) {}
};

// Rows past the end and k past the width become 0, which adds exactly nothing to a sum.
__device__ inline void load_panel(double (&to)[kPairDepth][kPairTile + 1], const double* from,
                                  const PairRows& rows, int first_row, int width, int first_k) {
  for (int i = static_cast<int>(threadIdx.x); i < kPairTile * kPairDepth; i += kPairBlock) {
    const int row = i / kPairDepth, k = i % kPairDepth;
    const bool inside = first_row + row < rows.count && first_k + k < width;
    to[k][row] = inside ? from[std::int64_t{rows.item(first_row + row)} * width + first_k + k] : 0.0;
  }
}

// All threads of the block must call: it has barriers.
template <PairSum kSum>
__device__ inline void pair_sums(const PairScores& s, const PairRows& rows, const PairPlace& at,
                                 PairPanels& panels, PairTerms& sum) {
  constexpr bool kPaired = kSum != PairSum::kDistance;
  const PairArrays arrays = arrays_of<kSum>(s);
  const PairRows candidates{s.candidates};
  for (int r = 0; r < kPairEach; ++r)
    for (int c = 0; c < kPairEach; ++c) sum[r][c] = 0.0;
  const int row = at.row - at.row0, column = at.candidate - at.candidate0;
  for (int k0 = 0; k0 < arrays.width; k0 += kPairDepth) {
    __syncthreads();  // the last panels have been read
    load_panel(panels.query[0], arrays.query, rows, at.row0, arrays.width, k0);
    load_panel(panels.candidate[0], arrays.candidate, candidates, at.candidate0, arrays.width, k0);
    if constexpr (kPaired) {
      load_panel(panels.query[1], arrays.query_other, rows, at.row0, arrays.width, k0);
      load_panel(panels.candidate[1], arrays.candidate_other, candidates, at.candidate0, arrays.width, k0);
    }
    __syncthreads();
    for (int k = 0; k < kPairDepth; ++k) {
      double own[kPairEach], other[kPairEach] = {};
      for (int r = 0; r < kPairEach; ++r) {
        own[r] = panels.query[0][k][row + kPairAcross * r];
        if constexpr (kPaired) other[r] = panels.query[1][k][row + kPairAcross * r];
      }
      for (int c = 0; c < kPairEach; ++c) {
        const double x = panels.candidate[0][k][column + kPairAcross * c];
        double y = 0.0;
        if constexpr (kPaired) y = panels.candidate[1][k][column + kPairAcross * c];
        for (int r = 0; r < kPairEach; ++r) sum[r][c] = add_element<kSum>(sum[r][c], own[r], other[r], x, y);
      }
    }
  }
}

// Calls add(r, c, item, candidate, term) for the thread's pairs inside the tile. All threads must call.
template <PairSum kSum, class Add>
__device__ inline void for_each_term(const PairScores& s, const PairRows& rows, const PairPlace& at,
                                     PairPanels& panels, const Add& add) {
  PairTerms sum;
  pair_sums<kSum>(s, rows, at, panels, sum);
  for (int r = 0; r < kPairEach; ++r) {
    if (at.row + kPairAcross * r >= rows.count) continue;
    const int i = rows.item(at.row + kPairAcross * r);
    for (int c = 0; c < kPairEach; ++c) {
      const int j = at.candidate + kPairAcross * c;
      if (j >= s.candidates) continue;
      if constexpr (kSum == PairSum::kDistance) {
        add(r, c, i, sum[r][c]);
      } else {
        add(r, c, i, kl_of_sum<kSum>(s, sum[r][c], s.query.log_sum[i], s.candidate.log_sum[j]));
      }
    }
  }
}

// What a query's totals are scaled by and compared with, [queries] each.
struct MatchTotals {
  double* cca_scale = nullptr;  // weight / s; not read where the term's weight is 0
  double* kl_scale = nullptr;
  double* own = nullptr;  // total of the match
};

// Totals of a tile; what lies outside it is not a number of anything. All threads must call.
__device__ inline void pair_totals(const PairScores& s, const PairRows& rows, const PairPlace& at,
                                   PairPanels& panels, const MatchTotals& m, PairTerms& total) {
  for (int r = 0; r < kPairEach; ++r)
    for (int c = 0; c < kPairEach; ++c) total[r][c] = 0.0;
  const auto add_cca = [&](int r, int c, int i, double term) {
    total[r][c] = fma(m.cca_scale[i], term, total[r][c]);
  };
  const auto add_kl = [&](int r, int c, int i, double term) {
    total[r][c] = fma(m.kl_scale[i], term, total[r][c]);
  };
  if (s.cca_weight != 0.0) for_each_term<PairSum::kDistance>(s, rows, at, panels, add_cca);
  if (s.kl_weight == 0.0) return;
  if (s.query_first) for_each_term<PairSum::kQueryFirst>(s, rows, at, panels, add_kl);
  if (s.candidate_first) for_each_term<PairSum::kCandidateFirst>(s, rows, at, panels, add_kl);
}

// One pair's sum and total by one thread: the same operations in the same order.
template <PairSum kSum>
__device__ inline double pair_sum(const PairScores& s, int i, int j) {
  const PairArrays a = arrays_of<kSum>(s);
  const std::int64_t q = std::int64_t{i} * a.width, c = std::int64_t{j} * a.width;
  double sum = 0.0;
  for (int k = 0; k < a.width; ++k)
    sum = kSum == PairSum::kDistance ? add_element<kSum>(sum, a.query[q + k], 0.0, a.candidate[c + k], 0.0)
                                     : add_element<kSum>(sum, a.query[q + k], a.query_other[q + k],
                                                         a.candidate[c + k], a.candidate_other[c + k]);
  return sum;
}
template <PairSum kSum>
__device__ inline double pair_kl(const PairScores& s, int i, int j) {
  return kl_of_sum<kSum>(s, pair_sum<kSum>(s, i, j), s.query.log_sum[i], s.candidate.log_sum[j]);
}
__device__ inline double pair_total(const PairScores& s, const MatchTotals& m, int i, int j) {
  double total = 0.0;
  if (s.cca_weight != 0.0) total = fma(m.cca_scale[i], pair_sum<PairSum::kDistance>(s, i, j), total);
  if (s.kl_weight == 0.0) return total;
  if (s.query_first) total = fma(m.kl_scale[i], pair_kl<PairSum::kQueryFirst>(s, i, j), total);
  if (s.candidate_first) total = fma(m.kl_scale[i], pair_kl<PairSum::kCandidateFirst>(s, i, j), total);
  return total;
}

}  // namespace emer::cuda
