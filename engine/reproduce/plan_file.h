// engine/reproduce/plan_file.h - the files of configs/paper as they are written: models.yaml and one file an experiment.
// Their keys are explained in models.yaml and retrieval.yaml. engine/reproduce/plan.cpp makes runs of them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/reproduce/plan.h"

namespace emer {

// One configuration key (or section) with its value, as --set takes it, and where it is written.
struct PlanSetting {
  std::string key;
  std::string text;   // "model.gru={hidden: 64}"
  std::string place;  // "configs/paper/models.yaml:12:5"
};

struct PlanModel {
  std::string place;
  std::map<std::string, std::string> files;  // data set -> configuration, relative to the folder
  std::vector<PlanSetting> set;
  bool vectors_only = false;
};

struct ModelsFile {
  std::map<std::string, PlanModel> models;
  std::map<std::string, std::map<std::string, std::vector<PlanSetting>>>
      presets;  // preset, configuration file
};

struct PlanEntry {
  std::string model, name;  // name: in tables
  std::string place;
  std::vector<PlanSetting> set;
  std::vector<PlanSetting> alone;
  std::vector<PlanSetting> each;     // one key, a setting a value
  std::vector<std::string> presets;  // empty = all
};

struct PlanPreset {
  std::vector<std::int64_t> seeds;
  int folds = 0;  // 0 = no folds
  std::vector<PlanSetting> set;
  StudySettings settings;
};

struct PlanFile {
  std::vector<PlanEntry> entries;
  std::map<std::string, PlanPreset> presets;
};

// `label` stands for the file name in errors. Throws Error(kUsage) with "label:line:column: …" for what is not such a
// file: unknown keys (naming the nearest known one), wrong types, empty lists.
ModelsFile parse_models(const std::string& yaml, const std::string& label);
PlanFile parse_plan(const std::string& yaml, const std::string& label);

}  // namespace emer
