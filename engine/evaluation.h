// engine/evaluation.h - cross-modal retrieval: for every query the rank of its match among all candidates,
// and what the field reports of the ranks (method.md section 5). Scores: engine/scoring.h.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <vector>

#include "core/context.h"
#include "engine/eval_options.h"
#include "engine/scoring.h"

namespace emer {

// Row i of music belongs to row i of emotion. The training embeddings are not needed for lambda = 0.
struct EvaluationInputs {
  int train_n = 0;                              // training pairs
  std::vector<double> train_music_embedding;    // [train_n, d] row-major
  std::vector<double> train_emotion_embedding;  // [train_n, d]
  HeadMatrix music;                             // the songs that are ranked, [n, d]
  HeadMatrix emotion;                           // [n, d]
};

// The same on a context's device.
struct EvaluationArrays {
  int train_n = 0;
  int train_total = 0;  // > 0: the training pairs of all ranks, of which train_n are this rank's
  const double* train_music_embedding = nullptr;
  const double* train_emotion_embedding = nullptr;
  HeadArrays music, emotion;
};

inline constexpr std::array<int, 3> kRecallAt = {1, 5, 10};

struct DirectionResult {
  double mrr = 0.0;  // mean of 1 / rank
  double ar = 0.0;   // mean rank
  double median_rank = 0.0;
  std::array<double, 3> recall_at{};  // share of queries with rank <= kRecallAt[i]
  std::vector<double> ranks;          // [n], 1 = best; halves where ties share their mean rank
  // 95 % percentile bootstrap over queries; NaN without resamples.
  std::array<double, 2> mrr_interval{};
  std::array<double, 2> ar_interval{};
};

struct EvaluationResult {
  DirectionResult m2e, e2m;
  std::vector<double> canonical_correlations;  // [d] Pearson on the training part; empty for lambda = 0
  int directions_kept = 0;                     // of them at or above the threshold
};

// The totals of queries [begin, end) against all n candidates, [end - begin, n], overwritten; the match of
// query i is candidate i. Called from several threads.
using TotalsFunction = std::function<void(int begin, int end, std::span<double> totals)>;

// Ranks by counting, a strip of queries at a time (never an n x n array, no sort): 1 + smaller + equal others
// / 2, or 1 + smaller + equal others of lower index. Throws Error(kRunFailed) naming the query for a NaN.
std::vector<double> ranks_of_matches(int n, const TotalsFunction& totals, EvalOptions::TieRule ties);

// MRR, AR, median, recall and intervals of given ranks (n >= 1). The resamples of one seed and direction are
// fixed.
DirectionResult summarise_ranks(std::vector<double> ranks, const EvalOptions& options, Direction direction);

// Both directions, in float64 on ctx's device: on all threads of the CPU, or on the CUDA device, where the inputs are
// copied to. Throws Error(kUsage) for options out of range, Error(kRunFailed) for fewer than 2 training pairs or values
// that are not finite, naming the item. Of several ranks all are given all of it, or each its part of the training pairs;
// each scores some of the queries, and all have the same result: that of one rank, of parts of the training pairs as
// far as rounding in the fitted CCA lets it.
EvaluationResult evaluate_retrieval(Context& ctx, const EvaluationInputs& inputs, const EvalOptions& options);
EvaluationResult evaluate_retrieval(Context& ctx, const EvaluationArrays& inputs, const EvalOptions& options);

}  // namespace emer
