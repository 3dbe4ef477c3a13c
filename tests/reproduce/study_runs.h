// tests/reproduce/study_runs.h - plans of tiny runs, trained in the test itself.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/reproduce/experiments.h"
#include "engine/reproduce/measure.h"
#include "tests/engine/run_support.h"

namespace emer::test {

inline PlannedRun planned(const std::string& data, const std::string& variant, std::int64_t seed,
                          std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(),
                   {"data.split.validation=0", "train.epochs=2", "eval.bootstrap=0",
                    "data.split.seed=" + std::to_string(seed), "train.seed=" + std::to_string(seed)});
  PlannedRun run;
  run.id = "tiny-" + variant + "-s" + std::to_string(seed);
  for (char& c : run.id)
    if (c == ',' || c == ' ' || c == '=') c = '+';
  run.data = "deam";
  run.variant = variant;
  run.seed = seed;
  run.config = small_config(data, overrides);
  return run;
}

inline StudyData invented_songs(const std::string& path) {
  StudyData data;
  data.name = "deam";
  data.path = path;
  data.label = "40 invented songs";
  data.checksum = "0123";
  return data;
}

// In OUT/runs/ID, where measures look for it.
inline void train_runs(const ExperimentPlan& plan, const std::string& out) {
  for (const PlannedRun& run : plan.runs) {
    std::filesystem::create_directories(out + "/runs");
    train({.config = run.config, .run_folder = run_folder(out, run)});
  }
}

inline nlohmann::ordered_json measured_values(const ExperimentPlan& plan, const PlannedRun& run,
                                              const std::string& out) {
  return nlohmann::ordered_json::parse(read_text(measure_path(out, plan.name, run)))["values"];
}

// The row whose first cells are these texts; fails the test where there is none.
inline std::vector<Cell> row_of(const ResultTable& table, const std::vector<std::string>& first) {
  for (const std::vector<Cell>& row : table.rows) {
    bool same = true;
    for (std::size_t i = 0; i < first.size(); ++i) {
      const std::string* text = std::get_if<std::string>(&row[i]);
      same = same && text != nullptr && *text == first[i];
    }
    if (same) return row;
  }
  ADD_FAILURE() << table.id << " has no row of " << first.front();
  return std::vector<Cell>(table.columns.size());
}

inline double number_in(const ResultTable& table, const std::vector<Cell>& row, const std::string& column) {
  for (std::size_t i = 0; i < table.columns.size(); ++i)
    if (table.columns[i].key == column)
      if (const double* value = std::get_if<double>(&row[i])) return *value;
  return std::numeric_limits<double>::quiet_NaN();
}

inline const ResultTable& table_named(const ExperimentResults& results, const std::string& id) {
  for (const ResultTable& table : results.tables)
    if (table.id == id) return table;
  throw std::runtime_error("no table " + id);
}

}  // namespace emer::test
