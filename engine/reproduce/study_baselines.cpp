#include "engine/reproduce/study_baselines.h"

#include "core/check.h"
#include "engine/baselines.h"
#include "engine/reproduce/measure.h"
#include "engine/reproduce/run_outputs.h"

namespace emer {

const std::vector<StudyBaseline>& study_baselines() {
  static const std::vector<StudyBaseline> kBaselines = {
      {"ridge", "ridge regression, music to ratings"},
      {"cca", "linear CCA"},
  };
  return kBaselines;
}

nlohmann::ordered_json measure_baselines(const StudyData& data, const PlannedRun& run) {
  const Dataset songs = load_dataset(data.path);
  SplitConfig config = run.config.data.split;
  config.validation = 0.0;
  const Split split = make_split(songs, config);
  const FlatViews train = flatten_views(songs, rows_of(songs, split.train, "train")),
                  test = flatten_views(songs, rows_of(songs, split.test, "test"));
  EvalOptions eval = corrected_evaluation({});
  eval.bootstrap = 0;
  const auto ranks = [](const BaselineResult& result) {
    EvaluationResult both;
    both.m2e = result.m2e;
    both.e2m = result.e2m;
    return to_measure(both);
  };
  nlohmann::ordered_json values;
  values["ridge"] = ranks(ridge_baseline(train, test, {}, eval));
  values["cca"] = ranks(cca_baseline(train, test, {}, eval));
  return values;
}

}  // namespace emer
