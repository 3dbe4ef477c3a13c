#include "engine/reproduce/run_probes.h"

#include <array>

#include "engine/reproduce/measure.h"

namespace emer {

SvrGrid grid_of(const StudySettings& settings) {
  return {.c = settings.svr_c, .gamma = settings.svr_gamma, .epsilon = settings.svr_epsilon};
}

ProbedRun::ProbedRun(const RunOutputs& outputs, const PlannedRun& run, const StudySettings& settings)
    : outputs_(outputs),
      seed_(run.config.data.split.seed),
      grid_(grid_of(settings)),
      songs_(load_dataset(run.config.data.path)) {
  train_ = rows_as_prepared(outputs, outputs.session.data.train, songs_);
  test_ = rows_as_prepared(outputs, outputs.session.data.test, songs_);
}

FoldData ProbedRun::fold(FeatureRows train, FeatureRows test, const ProbeOptions& options) const {
  return fold_data(std::move(train), std::move(test), song_targets(songs_, train_, options),
                   song_targets(songs_, test_, options));
}

std::vector<FoldOutcome> ProbedRun::outcomes(FeatureSet set, const ProbeOptions& options) const {
  return regress_fold(fold(music_features(outputs_.train, set, options.log_variance),
                           music_features(outputs_.test, set, options.log_variance), options),
                      grid_, options, seed_);
}

std::vector<FoldOutcome> ProbedRun::raw_outcomes(const ProbeOptions& options) const {
  return regress_fold(fold(raw_music_features(songs_, train_), raw_music_features(songs_, test_), options),
                      grid_, options, seed_);
}

std::vector<FoldOutcome> ProbedRun::raw_ridge(const ProbeOptions& options) const {
  return ridge_fold(fold(raw_music_features(songs_, train_), raw_music_features(songs_, test_), options),
                    kRidgePenalties, options.inner_folds, seed_);
}

std::vector<FoldOutcome> ProbedRun::mean_only(const ProbeOptions& options) const {
  return mean_fold(fold(raw_music_features(songs_, train_), raw_music_features(songs_, test_), options));
}

nlohmann::ordered_json single_split_scores(const std::vector<FoldOutcome>& outcomes,
                                           const ProbeOptions& options) {
  nlohmann::ordered_json scores;
  for (const FoldOutcome& outcome : outcomes) {
    const RegressionSummary summary = summarise_folds(std::span(&outcome, 1), options);
    const std::array<double, 3> values = {summary.rmse.mean, summary.r.mean, summary.r2.mean};
    const nlohmann::ordered_json listed = numbers(values);
    scores[outcome.target] = {{"rmse", listed[0]}, {"r", listed[1]}, {"r2", listed[2]}};
  }
  return scores;
}

}  // namespace emer
