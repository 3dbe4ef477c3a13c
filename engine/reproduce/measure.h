// engine/reproduce/measure.h - the file of a run's measures: values, and the fingerprint of what they were made from.
//
//   {"format": "emer-measure-1", "experiment", "run", "fingerprint": {...}, "values": {...}}
// Real numbers are exact; one that is not finite is null.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/evaluation.h"
#include "engine/reproduce/plan.h"

namespace emer {

// OUT/runs/ID and OUT/runs/ID/<experiment>.json.
std::string run_folder(const std::string& out, const PlannedRun& run);
std::string measure_path(const std::string& out, const std::string& experiment, const PlannedRun& run);

// The data set of a run. Throws Error(kUsage) where the plan has none of that name.
const StudyData& data_of(const ExperimentPlan& plan, const PlannedRun& run);

// What the measures of a run depend on: format and experiment, the plan's settings, whether this run measures the
// baselines, the run's eval, probe and analysis keys, checksums of the data and of the last checkpoint's weights.
// Throws Error(kInput) where there is no complete last checkpoint.
nlohmann::ordered_json fingerprint_of(const ExperimentPlan& plan, const PlannedRun& run,
                                      const std::string& out);

// Songs and their split are the same in the runs of one key.
std::string split_key(const PlannedRun& run);
// Baselines depend on the split alone: the first run of the plan that has a split measures them.
bool measures_baselines(const ExperimentPlan& plan, const PlannedRun& run);

// The values of a file. Throws Error(kInput): missing, damaged, or of another fingerprint than `wanted`.
nlohmann::ordered_json load_measure(const std::string& path, const nlohmann::ordered_json& wanted);
void save_measure(const std::string& path, const std::string& experiment, const std::string& run,
                  const nlohmann::ordered_json& fingerprint, const nlohmann::ordered_json& values);

// A planned run and what was measured on it.
struct MeasuredRun {
  const PlannedRun* run = nullptr;
  nlohmann::ordered_json values;
};

// --- values, both ways; reading throws Error(kInput) naming `label` and the place ---

nlohmann::ordered_json to_measure(const EvaluationResult& result);  // {"m2e": {"ranks"}, "e2m": {"ranks"}}
nlohmann::ordered_json numbers(std::span<const double> values);
std::vector<double> read_numbers(const nlohmann::ordered_json& values, const std::string& label);
// The same; refuses what is not finite, or beyond any score (1e9).
std::vector<double> read_scores(const nlohmann::ordered_json& values, const std::string& label);
// The value under keys "a/b/c".
const nlohmann::ordered_json& value_at(const nlohmann::ordered_json& values, const std::string& path,
                                       const std::string& label);

}  // namespace emer
