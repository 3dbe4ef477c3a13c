// engine/report/run_data.h - what a run folder holds, as far as it is there: a run that is going on, half finished or
// damaged still has a report, which says what is missing.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config.h"
#include "engine/report/metrics_file.h"

namespace emer::report {

// One direction of evaluation.json.
struct DirectionFigures {
  double mrr = 0.0, ar = 0.0, median_rank = 0.0;
  std::array<double, 3> recall_at{};                    // kRecallAt of evaluation.h
  std::array<double, 2> mrr_interval{}, ar_interval{};  // NaN where there is none
  std::vector<double> ranks;
};
struct EvaluationFigures {
  std::array<DirectionFigures, 2> direction;  // Direction of scoring.h
  int songs = 0, train_songs = 0;
  std::string split, data;
  std::int64_t step = -1;
  std::vector<std::string> eval;  // the switches in force, as --set texts: "eval.lambda=0.5"
  struct Baseline {
    std::string name, what;
    std::array<DirectionFigures, 2> direction;  // without ranks
  };
  std::vector<Baseline> baselines;
};
// Throws Error(kInput) naming `label` and the key for what is not an evaluation (interchange.md, "Commands").
EvaluationFigures parse_evaluation(std::string_view text, const std::string& label);

struct CheckpointFacts {
  std::string name;  // "best", "last"
  std::string path;
  std::int64_t epoch = 0, step = 0;  // done; 0 where state.json does not say
  bool stopped_early = false;
};

struct RunData {
  std::string folder, name;
  std::optional<Config> config;
  std::string config_text;
  std::optional<nlohmann::ordered_json> environment;
  MetricsFile metrics;
  std::vector<CheckpointFacts> checkpoints;     // `last` first
  std::optional<EvaluationFigures> evaluation;  // of the checkpoint that `emer evaluate` looks at
  std::vector<std::string> remarks;             // what is missing or odd, one sentence each
};

// Throws Error(kInput) for a folder that is not there or holds neither config.yaml nor metrics.jsonl nor checkpoints.
RunData read_run(const std::string& folder);

// Keys that differ from the program's defaults, as {key, value, default}, in the schema's order; keys of no other kind.
struct ChangedKey {
  std::string key, value, usual;
};
std::vector<ChangedKey> changed_keys(const Config& config);

}  // namespace emer::report
