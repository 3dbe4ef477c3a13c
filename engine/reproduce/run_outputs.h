// engine/reproduce/run_outputs.h - what a trained run makes of its songs, encoded once, and the ranks under any number of
// ways to score them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/encode.h"
#include "engine/evaluation.h"
#include "engine/reproduce/plan.h"
#include "engine/scoring.h"
#include "engine/session.h"

namespace emer {

// Head outputs of the training part and of the test songs on the host, in the split's order: as the encoders gave them,
// and in float64 for scoring.
struct RunOutputs {
  Session session;
  EncodedRows train, test;
  HeadMatrix train_music, train_emotion, test_music, test_emotion;
};
// The last checkpoint of OUT/runs/ID. Throws as open_session().
RunOutputs open_run(const PlannedRun& run, const std::string& out, int threads);

// Rows in `songs`, the same data set as it was prepared, of these rows of the run's. Throws Error(kInput) for a song that it
// does not have.
std::vector<std::int64_t> rows_as_prepared(const RunOutputs& outputs, const std::vector<std::int64_t>& rows,
                                           const Dataset& songs);

// The test songs ranked against each other. The CCA is fitted once for each ridge.
class RunScores {
 public:
  explicit RunScores(const RunOutputs& outputs) : outputs_(outputs) {}

  // Lives no longer than this.
  PairScorer scorer(const EvalOptions& options, Direction direction);

  // As evaluate_retrieval() of engine/evaluation.h, without bootstrap intervals.
  EvaluationResult evaluate(const EvalOptions& options);

  // One evaluation for each lambda (rows) and threshold (columns), from each threshold's terms computed once. Ranks
  // and what is made of them only.
  std::vector<std::vector<EvaluationResult>> sweep(const EvalOptions& options,
                                                   const std::vector<double>& lambdas,
                                                   const std::vector<double>& thresholds);

 private:
  const CcaLines* lines(const EvalOptions& options);
  std::vector<double> totals(const EvalOptions& options, Direction direction);  // [n, n]
  const RunOutputs& outputs_;
  std::map<double, CcaLines> lines_;  // by ridge
};

// The two sides of the evaluation switches (method.md 6); everything else as `configured`.
EvalOptions corrected_evaluation(const EvalOptions& configured);
EvalOptions released_evaluation(const EvalOptions& configured);

}  // namespace emer
