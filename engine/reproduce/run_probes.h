// engine/reproduce/run_probes.h - valence and arousal told from what a run's music encoder has learnt: the regression of
// engine/studies/regression.h on the run's own split.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/reproduce/plan.h"
#include "engine/reproduce/run_outputs.h"
#include "engine/studies/regression.h"

namespace emer {

SvrGrid grid_of(const StudySettings& settings);

// Ratings as prepared, of training and test songs.
class ProbedRun {
 public:
  ProbedRun(const RunOutputs& outputs, const PlannedRun& run, const StudySettings& settings);

  // One outcome for valence, one for arousal.
  std::vector<FoldOutcome> outcomes(FeatureSet set, const ProbeOptions& options) const;
  // The same from the raw music features: support vector regression, ridge and the mean.
  std::vector<FoldOutcome> raw_outcomes(const ProbeOptions& options) const;
  std::vector<FoldOutcome> raw_ridge(const ProbeOptions& options) const;
  std::vector<FoldOutcome> mean_only(const ProbeOptions& options) const;

 private:
  FoldData fold(FeatureRows train, FeatureRows test, const ProbeOptions& options) const;
  const RunOutputs& outputs_;
  std::uint32_t seed_;
  SvrGrid grid_;
  Dataset songs_;
  std::vector<std::int64_t> train_, test_;  // rows of songs_
};

// {"valence": {"rmse", "r", "r2"}, "arousal": {…}} of outcomes of a single split; null where undefined.
nlohmann::ordered_json single_split_scores(const std::vector<FoldOutcome>& outcomes,
                                           const ProbeOptions& options);

}  // namespace emer
