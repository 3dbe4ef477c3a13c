// kernels/rank_count.h - for every query, how many candidates score better than its own match, or as well; nothing
// of size queries x candidates is stored.
//
//   CCA_ij   = sum over k < kept of | point_jk - line_ik |
//   KL(a||b) = 1/2 ( sum over k < d of (v_a + (mu_a - mu_b)^2) / v_b  -  d  +  log_sum_b - log_sum_a )
//   KL_ij    = KL(query_i || candidate_j), KL(candidate_j || query_i), or the mean of both
//   total_ij = cca_weight / s_cca * CCA_ij + kl_weight / s_kl * KL_ij,     smaller = better
// s = 1, or with `standardise` the population standard deviation of the term over all candidates of the query (1
// where the term does not vary: below 1e-12 of its mean, which is rounding). Source: docs/method.md 5.
//
// Order:  a pair's total does not depend on its place, so that equal candidates tie exactly. Sums over candidates
//         have a fixed order: two runs agree bit for bit.
// NaN:    a total that is NaN counts nowhere; first_nan tells of it.
// Cost:   queries x candidates x (2 kept + 3 d for each KL of a pair) operations in float on CUDA, and as many in
//         double with `standardise`, whose deviations are exact to double. Tiles of 128 x 64 pairs: reads 3/128 of 4 bytes
//         x (kept + 2 d) per pair, through the L2 cache. The float totals carry a bound on their error; what they leave
//         undecided is scored in double, so that the counts are those of double throughout. Scratch, linear in the items:
//         4 bytes x (kept + 2 d) each, at most 3.6 KiB more per query.
// Errors: EMER_CHECK on sizes and null pointers.
//
// float64 on both devices.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

// Diagonal Gaussians, [n, d] row-major each.
struct GaussianArrays {
  const double* mean = nullptr;
  const double* variance = nullptr;  // of the side that stands first in a KL; else not read
  const double* inverse = nullptr;   // 1 / variance, of the side that stands second; else not read
  const double* log_sum = nullptr;   // [n] sum over k of ln variance
};

struct PairScores {
  int queries = 0;                // >= 1
  int candidates = 0;             // >= 1
  double cca_weight = 0.0;        // 0 leaves the term out
  int kept = 0;                   // >= 0
  const double* line = nullptr;   // [queries, kept]
  const double* point = nullptr;  // [candidates, kept]
  double kl_weight = 0.0;         // >= 0; 0 leaves the term out
  int d = 0;                      // >= 1
  bool query_first = false;       // KL(query || candidate)
  bool candidate_first = false;   // KL(candidate || query); both: their mean
  GaussianArrays query, candidate;
  bool standardise = false;
};

struct RankCount {
  // How the CUDA twin counts; the results are the same. kAuto: in float for large inputs, which make up for the
  // preparation.
  enum class Route { kAuto, kDouble, kFloat };

  PairScores scores;
  int first_match = 0;                   // the match of query i is candidate first_match + i
  std::int32_t* smaller = nullptr;       // out [queries], overwritten: totals below the match's
  std::int32_t* equal_before = nullptr;  // out [queries], overwritten: equal totals of lower index
  std::int32_t* equal_after = nullptr;   // out [queries], overwritten: equal totals of higher index
  std::int32_t* first_nan =
      nullptr;  // out [queries], overwritten: lowest candidate with a NaN total, else -1
  Route route = Route::kAuto;
  // out [queries], overwritten, or null: of the query's pairs, those that float totals left to double; 0 where nothing
  // was counted in float.
  std::int32_t* left_open = nullptr;
};

void rank_count(Context& ctx, const RankCount& args);

// variance = exp(log_variance) + floor, inverse = 1 / variance, log_sum = sum over k of ln variance.
struct GaussianTerms {
  int n = 0;                             // >= 0
  int d = 0;                             // >= 1
  double floor = 1e-6;                   // of training's variances
  const double* log_variance = nullptr;  // in   [n, d]
  double* variance = nullptr;            // out  [n, d], overwritten; or null
  double* inverse = nullptr;             // out  [n, d], overwritten; or null
  double* log_sum = nullptr;             // out  [n], overwritten
};

void gaussian_terms(Context& ctx, const GaussianTerms& args);

namespace cpu {
void rank_count(Context& ctx, const RankCount& args);
void gaussian_terms(Context& ctx, const GaussianTerms& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA
void rank_count(Context& ctx, const RankCount& args);
void gaussian_terms(Context& ctx, const GaussianTerms& args);
}  // namespace cuda

}  // namespace emer
