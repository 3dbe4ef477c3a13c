// The defects experiment: what every switch between the released code and the textbook is worth, turned alone. Measures of
// a run; the tables are engine/reproduce/defects_tables.cpp.
#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/result_rows.h"
#include "engine/reproduce/run_outputs.h"
#include "engine/reproduce/run_probes.h"
#include "engine/reproduce/switches.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

EvalOptions evaluation_on(const Config& config, Side side) {
  return side == Side::kTextbook ? corrected_evaluation(config.eval) : released_evaluation(config.eval);
}

Side other(Side side) {
  return side == Side::kTextbook ? Side::kReleased : Side::kTextbook;
}

}  // namespace

// Every run is judged from both sides, by evaluation and regression alike. The unchanged runs also with each switch of
// these turned alone, from the side that the model itself is on.
Json measure_defects(const ExperimentPlan& plan, const PlannedRun& run, const std::string& out, int threads) {
  const RunOutputs outputs = open_run(run, out, threads);
  RunScores scores(outputs);
  const ProbedRun probed(outputs, run, plan.settings);
  const auto probe = [&](const ProbeOptions& options) {
    return single_split_scores(probed.outcomes(FeatureSet::kAll, options), options);
  };
  Json values;
  values["test_songs"] = outputs.test_music.n;
  for (const Side side : {Side::kTextbook, Side::kReleased}) {
    values["evaluations"][name_of(side)] = to_measure(scores.evaluate(evaluation_on(run.config, side)));
    values["probes"][name_of(side)] = probe(on_side(run.config, "probe", side).probe);
  }
  if (!change_of(run).empty()) return values;
  const Side own = side_of(run.config);
  Config config = on_side(run.config, "probe", own);
  config.eval = evaluation_on(run.config, own);
  for (const std::string& key : switches_of("eval"))
    values["turned"][key] = to_measure(scores.evaluate(turned(config, key, other(own)).eval));
  for (const std::string& key : switches_of("probe"))
    values["turned"][key] = probe(turned(config, key, other(own)).probe);
  return values;
}

}  // namespace emer
