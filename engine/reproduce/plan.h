// engine/reproduce/plan.h - the training runs behind an experiment of the paper, from configs/paper/*.yaml.
//
// A plan file names an experiment's models, what varies and the presets; configs/paper/retrieval.yaml has the keys. Runs are
// named by what they train, so experiments share them: the same configuration on the same data is trained once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/config.h"

namespace emer {

// A prepared data set that experiments run on.
struct StudyData {
  std::string name;      // "deam", "pmemo": which model of the plan it takes
  std::string path;      // prepared file
  std::string label;     // "DEAM, 1,802 songs, 204 openSMILE features a song, averaged ratings": for tables
  std::string checksum;  // of the prepared file's bytes
  // The paper's own features and ratings: only then are its figures of retrieval set beside ours.
  bool as_published = false;
  bool generated = false;                       // features made by a generator: says nothing about music
  std::map<std::string, std::string> variants;  // "deam_short_valence=released" -> another prepared file
};

// One training run.
struct PlannedRun {
  std::string id;    // folder under OUT/runs: letters, digits, - _ . only; the same for the same training
  std::string data;  // StudyData::name
  // What varies, in words, the same over seeds and folds: "released", "released, model.dropout".
  std::string variant;
  std::int64_t seed = 0;  // data.split.seed and train.seed
  int fold = -1;          // of a ten-fold study; -1 = an 80/20 split
  // Fully resolved; data.path: the prepared file that this run takes, one of data's variants or not.
  Config config;
  std::string data_checksum;  // of that file
};

// Parameters of an experiment beyond its runs.
struct StudySettings {
  std::vector<double> lambdas, thresholds;            // swept at evaluation time
  std::vector<double> svr_c, svr_gamma, svr_epsilon;  // grid; gamma 0 = scale = 1 / (k Var(X))
  int resamples = 2000;
};

struct ExperimentPlan {
  std::string name;    // retrieval, lambda, regression, analysis, defects
  std::string preset;  // published, small, quick
  std::vector<StudyData> data;
  std::vector<PlannedRun> runs;
  StudySettings settings;
};

// Reads FOLDER/models.yaml, FOLDER/<experiment>.yaml and the configurations that they name. `overrides` are --set texts
// for every run. Throws Error(kUsage) with file, line and column for unknown keys and values, for a preset or data set
// that is not there; Error(kInput) for files that cannot be read.
ExperimentPlan load_plan(const std::string& folder, const std::string& experiment, const std::string& preset,
                         const std::vector<StudyData>& data, const std::vector<std::string>& overrides);

// What decides a training's result: every key but those of eval, probe, analysis and those that only say where and how
// loudly it runs (threads, device, train.log_every, distributed.timeout, data.path, for which the data's checksum stands)
// or stand for others (compat). Keys at their defaults are left out, so that a key that a later version adds changes
// nothing.
std::string training_identity(const Config& config, const std::string& data_checksum);

}  // namespace emer
