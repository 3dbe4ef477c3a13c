// engine/evaluation_report.h - an evaluation as JSON (interchange.md, `emer evaluate`) and as a table.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/baselines.h"
#include "engine/config.h"
#include "engine/evaluation.h"

namespace emer {

struct EvaluationReport {
  std::string source;      // checkpoint folder or file of head outputs
  std::string data;        // data set; empty for --inputs
  std::string split;       // "test", "validation", "train"
  std::int64_t step = -1;  // optimiser steps behind the checkpoint; -1 = none
  int songs = 0;           // ranked
  int train_songs = 0;     // that the CCA was fitted on
  Config config;           // its eval section is what was in force
  EvaluationResult result;
  struct Baseline {
    std::string name;  // "ridge", "cca"
    std::string what;  // one phrase
    BaselineResult result;
  };
  std::vector<Baseline> baselines;
};

// {"m2e": {"mrr", "ar", "median_rank", "recall_at": {"1", "5", "10"}, "ranks", "mrr_interval",
// "ar_interval"}, "e2m": {...}, "songs", "split", "eval": {key: value, ...}, "chance", "baselines", ...}.
// Ranks are whole numbers unless ties share a half; an interval without resamples is null.
nlohmann::ordered_json to_json(const EvaluationReport& report);

// Ends with a line end.
std::string to_table(const EvaluationReport& report);

}  // namespace emer
