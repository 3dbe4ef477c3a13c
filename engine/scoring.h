// engine/scoring.h - how unlike a query and a candidate are: the evaluation's total (method.md section 5),
// for any number of queries against any number of candidates. Float64 on the host.
//
//   CCA term  sum over k with c_k >= threshold of c_k * | candidate_k - (slope_k * query_k + offset_k) |
//   (projected) KL term   KL(query || candidate), or as EvalOptions::kl_orientation and kl_symmetric say
//   total     lambda * CCA / s_cca + (1 - lambda) * KL / s_kl,   smaller = more alike
// s = 1, or with standardise_terms the population standard deviation of the term over the query's candidates
// (1 where the term does not vary: below 1e-12 of its mean, which is rounding). The KL sum is taken over (v_q
// + (mu_q - mu_c)^2) / v_c directly, so close pairs lose nothing to cancellation, and a pair's score does not
// depend on its place: equal candidates tie exactly.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/eval_options.h"
#include "engine/linear_cca.h"

namespace emer {

enum class Direction { kMusicToEmotion = 0, kEmotionToMusic = 1 };

// The three head outputs of one encoder for n items, [n, d] row-major each; empty where not needed (embedding
// for lambda = 0; mean and log_variance for lambda = 1). Variance = exp(log_variance) + 1e-6, as in training.
struct HeadMatrix {
  int n = 0;
  int d = 0;
  std::vector<double> embedding, mean, log_variance;
};

// What the CCA term needs, fitted on the training pairs. Projected features have a variance of about 1; a
// direction whose projection varies by less than 1e-12 (a constant feature) has correlation 0 and flat lines.
struct CcaLines {
  LinearCca cca;                              // first view music, second emotion
  std::vector<double> correlation;            // [d] Pearson, of the projected training data
  std::vector<double> slope_m2e, offset_m2e;  // [d] emotion = slope * music + offset, least squares
  std::vector<double> slope_e2m, offset_e2m;  // [d] music = slope * emotion + offset
};
// music, emotion: training embeddings [n, d]. Throws as fit_linear_cca().
CcaLines fit_cca_lines(std::span<const double> music, std::span<const double> emotion, int n, int d,
                       double ridge);

class PairScorer {
 public:
  // `lines` may be null when lambda = 0. Keeps nothing of its arguments. Throws Error(kUsage) for options out
  // of range, Error(kRunFailed) naming the item for a head value that is not finite. kReleased needs as many
  // candidates as queries, in matching order.
  PairScorer(const HeadMatrix& queries, const HeadMatrix& candidates, Direction direction,
             const CcaLines* lines, const EvalOptions& options);
  ~PairScorer();
  PairScorer(const PairScorer&) = delete;
  PairScorer& operator=(const PairScorer&) = delete;

  int queries() const;
  int candidates() const;
  // totals [end - begin, candidates], overwritten. Throws Error(kRunFailed) naming query and candidate where
  // a total is not a number. May be called from several threads.
  void totals(int begin, int end, std::span<double> totals) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace emer
