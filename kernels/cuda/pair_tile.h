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

// The block's shared memory. One element of padding per k: rows are stored along k and read across it.
struct PairPanels {
  double query[2][kPairDepth][kPairTile + 1];
  double candidate[2][kPairDepth][kPairTile + 1];
};

enum class PairSum { kDistance, kQueryFirst, kCandidateFirst };

// A thread's pairs: queries query + 16 r, candidates candidate + 16 c.
struct PairPlace {
  int query0, candidate0;  // of the tile
  int query, candidate;    // of the thread
  __device__ PairPlace(int tile_query, int tile_candidate)
      : query0(tile_query),
        candidate0(tile_candidate),
        query(tile_query + static_cast<int>(threadIdx.x) / kPairAcross),
        candidate(tile_candidate + static_cast<int>(threadIdx.x) % kPairAcross) {}
};

// Rows past the end and k past the width become 0, which adds exactly nothing to a sum.
__device__ inline void load_panel(double (&to)[kPairDepth][kPairTile + 1], const double* from, int rows,
                                  int first_row, int width, int first_k) {
  for (int i = static_cast<int>(threadIdx.x); i < kPairTile * kPairDepth; i += kPairBlock) {
    const int row = i / kPairDepth, k = i % kPairDepth;
    const bool inside = first_row + row < rows && first_k + k < width;
    to[k][row] = inside ? from[std::int64_t{first_row + row} * width + first_k + k] : 0.0;
  }
}

// All threads of the block must call: it has barriers.
template <PairSum kSum>
__device__ inline void pair_sums(const PairScores& s, const PairPlace& at, PairPanels& panels,
                                 double (&sum)[kPairEach][kPairEach]) {
  const bool distance = kSum == PairSum::kDistance, query_first = kSum == PairSum::kQueryFirst;
  const int width = distance ? s.kept : s.d;
  const double* query_own = distance ? s.line : s.query.mean;
  const double* candidate_own = distance ? s.point : s.candidate.mean;
  const double* query_other = query_first ? s.query.variance : s.query.inverse;
  const double* candidate_other = query_first ? s.candidate.inverse : s.candidate.variance;
  for (int r = 0; r < kPairEach; ++r)
    for (int c = 0; c < kPairEach; ++c) sum[r][c] = 0.0;
  const int row = at.query - at.query0, column = at.candidate - at.candidate0;
  for (int k0 = 0; k0 < width; k0 += kPairDepth) {
    __syncthreads();  // the last panels have been read
    load_panel(panels.query[0], query_own, s.queries, at.query0, width, k0);
    load_panel(panels.candidate[0], candidate_own, s.candidates, at.candidate0, width, k0);
    if constexpr (kSum != PairSum::kDistance) {
      load_panel(panels.query[1], query_other, s.queries, at.query0, width, k0);
      load_panel(panels.candidate[1], candidate_other, s.candidates, at.candidate0, width, k0);
    }
    __syncthreads();
    for (int k = 0; k < kPairDepth; ++k) {
      double own[kPairEach], other[kPairEach];
      for (int r = 0; r < kPairEach; ++r) {
        own[r] = panels.query[0][k][row + kPairAcross * r];
        if constexpr (kSum != PairSum::kDistance) other[r] = panels.query[1][k][row + kPairAcross * r];
      }
      for (int c = 0; c < kPairEach; ++c) {
        const double x = panels.candidate[0][k][column + kPairAcross * c];
        double y = 0.0;
        if constexpr (kSum != PairSum::kDistance) y = panels.candidate[1][k][column + kPairAcross * c];
        for (int r = 0; r < kPairEach; ++r) {
          const double difference = x - own[r];
          if constexpr (kSum == PairSum::kDistance) {
            sum[r][c] += fabs(difference);
          } else if constexpr (kSum == PairSum::kQueryFirst) {
            sum[r][c] = fma(fma(difference, difference, other[r]), y, sum[r][c]);
          } else {
            sum[r][c] = fma(fma(difference, difference, y), other[r], sum[r][c]);
          }
        }
      }
    }
  }
}

// KL of a tile, as the scores' flags say. All threads must call.
__device__ inline void pair_kl(const PairScores& s, const PairPlace& at, PairPanels& panels,
                               double (&kl)[kPairEach][kPairEach]) {
  const double share = s.query_first && s.candidate_first ? 0.25 : 0.5;
  double sum[kPairEach][kPairEach];
  for (int r = 0; r < kPairEach; ++r)
    for (int c = 0; c < kPairEach; ++c) kl[r][c] = 0.0;
  // share is a power of two: its product is exact, fused or not.
  const auto add = [&](double sign) {
    for (int r = 0; r < kPairEach; ++r)
      for (int c = 0; c < kPairEach; ++c) {
        const int i = at.query + kPairAcross * r, j = at.candidate + kPairAcross * c;
        if (i >= s.queries || j >= s.candidates) continue;
        const double log_ratio = s.candidate.log_sum[j] - s.query.log_sum[i];
        kl[r][c] += share * (sum[r][c] - s.d + sign * log_ratio);
      }
  };
  if (s.query_first) {
    pair_sums<PairSum::kQueryFirst>(s, at, panels, sum);
    add(1.0);
  }
  if (s.candidate_first) {
    pair_sums<PairSum::kCandidateFirst>(s, at, panels, sum);
    add(-1.0);
  }
}

// Totals of a tile; cca_scale, kl_scale: weight / s of the thread's queries. All threads must call.
__device__ inline void pair_totals(const PairScores& s, const PairPlace& at, PairPanels& panels,
                                   const double (&cca_scale)[kPairEach], const double (&kl_scale)[kPairEach],
                                   double (&total)[kPairEach][kPairEach]) {
  double term[kPairEach][kPairEach];
  for (int r = 0; r < kPairEach; ++r)
    for (int c = 0; c < kPairEach; ++c) total[r][c] = 0.0;
  const auto add = [&](const double(&scale)[kPairEach]) {
    for (int r = 0; r < kPairEach; ++r)
      for (int c = 0; c < kPairEach; ++c) total[r][c] = fma(scale[r], term[r][c], total[r][c]);
  };
  if (s.cca_weight != 0.0) {
    pair_sums<PairSum::kDistance>(s, at, panels, term);
    add(cca_scale);
  }
  if (s.kl_weight != 0.0) {
    pair_kl(s, at, panels, term);
    add(kl_scale);
  }
}

}  // namespace emer::cuda
