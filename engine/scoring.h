// engine/scoring.h - how unlike a query and a candidate are: the evaluation's total (method.md section 5),
// for any number of queries against any number of candidates. Float64, on the CPU or on a CUDA device.
//
//   CCA term  sum over k with c_k >= threshold of c_k * | candidate_k - (slope_k * query_k + offset_k) |
//   (projected) KL term   KL(query || candidate), or as EvalOptions::kl_orientation and kl_symmetric say
//   total     lambda * CCA / s_cca + (1 - lambda) * KL / s_kl,   smaller = more alike
// s and the form of the KL: kernels/rank_count.h. The KL sum is taken over (v_q + (mu_q - mu_c)^2) / v_c directly, so
// close pairs lose nothing to cancellation, and a pair's score does not depend on its place: equal candidates tie
// exactly.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/tensor.h"
#include "engine/eval_options.h"
#include "engine/linear_cca.h"
#include "kernels/rank_count.h"

namespace emer {

enum class Direction { kMusicToEmotion = 0, kEmotionToMusic = 1 };

// The three head outputs of one encoder for n items, [n, d] row-major each; empty where not needed (embedding
// for lambda = 0; mean and log_variance for lambda = 1). Variance = exp(log_variance) + 1e-6, as in training.
struct HeadMatrix {
  int n = 0;
  int d = 0;
  std::vector<double> embedding, mean, log_variance;
};

// The same on a context's device; null where not needed.
struct HeadArrays {
  int n = 0;
  int d = 0;
  const double* embedding = nullptr;
  const double* mean = nullptr;
  const double* log_variance = nullptr;
};

// A host vector on ctx's device: itself on the CPU, where it must outlive this, a copy on CUDA.
class OnDevice {
 public:
  OnDevice(Context& ctx, std::span<const double> values);
  const double* data() const { return data_; }

 private:
  Tensor<double> copy_;
  const double* data_ = nullptr;  // null for no values
};

class HeadsOnDevice {
 public:
  // A vector that is not [n, d] counts as missing.
  HeadsOnDevice(Context& ctx, const HeadMatrix& heads);
  const HeadArrays& arrays() const { return arrays_; }

 private:
  OnDevice embedding_, mean_, log_variance_;
  HeadArrays arrays_;
};

// What the CCA term needs, fitted on the training pairs. Projected features have a variance of about 1; a
// direction whose projection varies by less than 1e-12 (a constant feature) has correlation 0 and flat lines.
struct CcaLines {
  LinearCca cca;                              // first view music, second emotion
  std::vector<double> correlation;            // [d] Pearson, of the projected training data
  std::vector<double> slope_m2e, offset_m2e;  // [d] emotion = slope * music + offset, least squares
  std::vector<double> slope_e2m, offset_e2m;  // [d] music = slope * emotion + offset
};
// music, emotion: training embeddings [n, d] on ctx's device. total and what is thrown as of fit_linear_cca().
CcaLines fit_cca_lines(Context& ctx, const double* music, const double* emotion, int n, int d, double ridge,
                       int total = 0);

// Queries and candidates made ready for kernels/rank_count.h, on ctx's device. The heads must outlive it.
class ScoredPairs {
 public:
  // `lines` may be null when lambda = 0. Throws Error(kUsage) for options out of range, Error(kRunFailed) naming the
  // item for a head value that is not finite. kReleased needs as many candidates as queries, in matching order.
  ScoredPairs(Context& ctx, const HeadArrays& queries, const HeadArrays& candidates, Direction direction,
              const CcaLines* lines, const EvalOptions& options);

  const PairScores& scores() const { return scores_; }
  // Throws Error(kRunFailed) for a total that is not a number.
  [[noreturn]] void fail_not_a_number(int query, int candidate) const;

 private:
  void prepare_cca(Context& ctx, const HeadArrays& queries, const HeadArrays& candidates,
                   const CcaLines& lines, double threshold);
  void prepare_kl(Context& ctx, const HeadArrays& queries, const HeadArrays& candidates,
                  const EvalOptions& options);

  Direction direction_;
  PairScores scores_;
  Tensor<double> line_, point_;                         // [queries, kept], [candidates, kept]
  Tensor<double> query_variance_, candidate_variance_;  // where the orientation needs them
  Tensor<double> query_inverse_, candidate_inverse_;
  Tensor<double> query_log_sum_, candidate_log_sum_;
};

// Totals on the CPU, for searches.
class PairScorer {
 public:
  // As ScoredPairs; the heads must outlive it.
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
