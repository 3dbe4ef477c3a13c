// engine/reproduce/results_file.h - results.json: everything that `emer reproduce` found, with what it was made from.
//
//   {"format": "emer-results-1", "created_by": …, "date": …, "command": …, "environment": {…},
//    "data": [{"name", "label", "path", "checksum", "as_published", "generated", "variants"}, …],
//    "experiments": [{…, "made": {"created_by", "date", "command"}}, …]}     (an experiment: engine/reproduce/tables.h)
//
// Keys that this version does not know are passed over.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/reproduce/plan.h"
#include "engine/reproduce/tables.h"

namespace emer {

// When and how something was made.
struct ResultsOrigin {
  std::string created_by;  // "emer 0.1.0 (abcdef012345)"
  std::string date;        // "2026-11-23T03:10:00Z"
  std::string command;     // "emer reproduce defects --data deam.safetensors"
};

struct ResultsFile {
  ResultsOrigin origin;                        // of the file: its last writing
  nlohmann::ordered_json environment;          // environment_facts()
  std::vector<StudyData> data;                 // path: relative to the file's folder where it lies in there
  std::vector<ExperimentResults> experiments;  // each name once
  std::map<std::string, ResultsOrigin> made;   // by name of experiment; those that are not there: as `origin`
};

// This program, now, here.
ResultsFile new_results(const std::string& command);

nlohmann::ordered_json to_json(const ResultsFile& results);
// Throws Error(kInput) naming `label`, the place and what is wrong there.
ResultsFile parse_results(const std::string& text, const std::string& label);
// `path`: the file, or the folder that holds results.json.
ResultsFile load_results(const std::string& path);

// Writes OUT/results.json, OUT/<experiment>.md and OUT/<table id>.csv, each atomically, results.json last. Experiments
// that OUT/results.json holds and `results` does not are kept, with their origin; files of tables that are no longer
// there are removed. Returns the whole as written. Before anything is written throws Error(kUsage) where what would be
// kept was measured on other data of the same name, Error(kInput) where OUT/results.json is no such file,
// Error(kRunFailed) where a table breaks its rules.
ResultsFile write_results(const std::string& out, const ResultsFile& results);

}  // namespace emer
