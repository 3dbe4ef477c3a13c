#include "engine/reproduce/experiments.h"

#include <array>
#include <filesystem>
#include <vector>

#include "core/check.h"
#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/measure.h"

namespace emer {
namespace {

struct Experiment {
  const char* name;
  int version;  // of its measures: raised where they change, so that old ones are made again
  nlohmann::ordered_json (*measure)(const ExperimentPlan&, const PlannedRun&, const std::string& out,
                                    int threads);
  ExperimentResults (*gather)(const ExperimentPlan&, MeasuredRuns);
};

constexpr std::array kExperiments = {
    Experiment{"retrieval", 1, measure_retrieval, gather_retrieval},
    Experiment{"lambda", 1, measure_lambda, gather_lambda},
    Experiment{"regression", 1, measure_regression, gather_regression},
    Experiment{"analysis", 2, measure_analysis, gather_analysis},
    Experiment{"defects", 1, measure_defects, gather_defects},
};

const Experiment& experiment_of(const ExperimentPlan& plan) {
  for (const Experiment& experiment : kExperiments)
    if (plan.name == experiment.name) return experiment;
  fail_usage("no experiment named {}", plan.name);
}

nlohmann::ordered_json wanted(const Experiment& experiment, const ExperimentPlan& plan, const PlannedRun& run,
                              const std::string& out) {
  nlohmann::ordered_json print = fingerprint_of(plan, run, out);
  print["version"] = experiment.version;
  return print;
}

}  // namespace

std::vector<std::string> experiment_names() {
  std::vector<std::string> names;
  for (const Experiment& experiment : kExperiments) names.emplace_back(experiment.name);
  return names;
}

bool is_measured(const ExperimentPlan& plan, const PlannedRun& run, const std::string& out) {
  const nlohmann::ordered_json print = wanted(experiment_of(plan), plan, run, out);
  try {
    load_measure(measure_path(out, plan.name, run), print);
    return true;
  } catch (const Error&) {
    return false;  // missing, damaged, of something else: made again
  }
}

void measure_run(const ExperimentPlan& plan, const PlannedRun& run, const std::string& out, int threads) {
  const Experiment& experiment = experiment_of(plan);
  if (is_measured(plan, run, out)) return;
  save_measure(measure_path(out, plan.name, run), plan.name, run.id, wanted(experiment, plan, run, out),
               experiment.measure(plan, run, out, threads));
}

ExperimentResults gather(const ExperimentPlan& plan, const std::string& out) {
  const Experiment& experiment = experiment_of(plan);
  std::vector<MeasuredRun> measured;
  std::string first;
  int missing = 0;
  for (const PlannedRun& run : plan.runs) try {
      measured.push_back(
          {&run, load_measure(measure_path(out, plan.name, run), wanted(experiment, plan, run, out))});
    } catch (const Error& error) {
      if (missing++ == 0) first = error.what();
    }
  if (missing > 0)
    fail_input("{}: {} of {} runs are not measured yet (the same command goes on with them), first: {}",
               plan.name, missing, plan.runs.size(), first);
  ExperimentResults results = experiment.gather(plan, measured);
  for (const ResultTable& table : results.tables) check(table);
  return results;
}

}  // namespace emer
