#include "engine/reproduce/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <tuple>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "core/sha256.h"
#include "data/dataset.h"
#include "engine/config_schema.h"
#include "engine/reproduce/plan_file.h"
#include "engine/reproduce/run_identity.h"
#include "engine/text.h"
#include "engine/yaml_reader.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostRuns = 100000;
constexpr std::size_t kLongestName = 150;  // of a folder; file systems allow 255 bytes

std::string names_of(const auto& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return joined(names, ", ");
}

// The data set on disk that a run trains on.
struct RunData {
  std::string path, checksum;
};

class Expansion {
 public:
  Expansion(std::string folder, const std::string& preset, const std::vector<std::string>& overrides,
            ModelsFile models, PlanFile file)
      : folder_(std::move(folder)),
        preset_(preset),
        overrides_(overrides),
        models_(std::move(models)),
        file_(std::move(file)) {}

  void expand(const StudyData& data, std::vector<PlannedRun>& runs) {
    const PlanPreset& preset = file_.presets.at(preset_);
    for (const PlanEntry& entry : file_.entries) {
      if (!entry.presets.empty() &&
          std::find(entry.presets.begin(), entry.presets.end(), preset_) == entry.presets.end())
        continue;
      const auto model = models_.models.find(entry.model);
      if (model == models_.models.end())
        fail_usage("{}: models.yaml has no model '{}'; it has {}", entry.place, entry.model,
                   names_of(models_.models));
      const auto file = model->second.files.find(data.name);
      if (file == model->second.files.end() || (model->second.vectors_only && !has_song_vectors(data)))
        continue;

      const std::string config = folder_ + "/" + file->second;
      std::vector<PlanSetting> sized = model->second.set;
      const auto& sizes = models_.presets.at(preset_);
      if (const auto own = sizes.find(file->second); own != sizes.end())
        sized.insert(sized.end(), own->second.begin(), own->second.end());
      std::vector<PlanSetting> base = sized;
      base.insert(base.end(), preset.set.begin(), preset.set.end());
      base.insert(base.end(), entry.set.begin(), entry.set.end());
      for (std::vector<PlanSetting>* settings : {&sized, &base})
        for (const std::string& text : overrides_)
          settings->push_back({text.substr(0, text.find('=')), text, {}});

      const Config named = resolve(config, sized, data);
      const auto add = [&](const std::string& variant, const std::vector<PlanSetting>& settings) {
        add_runs(data, entry.model, variant, named, resolve(config, settings, data), runs);
      };
      const auto with = [&](const PlanSetting& setting) {
        std::vector<PlanSetting> settings = base;
        settings.push_back(setting);
        return settings;
      };
      if (entry.each.empty()) add(entry.name, base);
      for (const PlanSetting& value : entry.each)
        add(fmt::format("{}, {} {}", entry.name, value.key, value.text.substr(value.key.size() + 1)),
            with(value));
      const Config unchanged = resolve(config, base, data);
      for (const PlanSetting& change : entry.alone)
        if (!differing_keys(unchanged, resolve(config, with(change), data)).empty())
          add(entry.name + ", " + change.key, with(change));
    }
  }

 private:
  Config resolve(const std::string& path, const std::vector<PlanSetting>& settings,
                 const StudyData& data) const {
    std::vector<std::string> texts;
    for (const PlanSetting& setting : settings) texts.push_back(setting.text);
    Config config;
    try {
      config = load_config(path, texts);
    } catch (const Error& error) {
      throw Error(error.kind(), placed(error.what(), settings));
    }
    if (!data.variants.count("deam_short_valence=released"))
      config.data.deam_short_valence = DataConfig::ShortValence::kTextbook;
    return config;
  }

  // What load_config() says of a --set text, said of the line of the plan where the text comes from.
  static std::string placed(const std::string& message, const std::vector<PlanSetting>& settings) {
    for (const PlanSetting& setting : settings) {
      const std::string from = "--set " + yaml::printable(setting.text) + ": ";
      if (!setting.place.empty() && message.rfind(from, 0) == 0)
        return setting.place + ": " + message.substr(from.size());
    }
    return message;
  }

  static bool has_song_vectors(const StudyData& data) {
    if (!fs::exists(data.path))
      return !load_dataset(data.path).music_is_sequence();  // shards under a common name
    const SafetensorsFile file = SafetensorsFile::open(data.path);
    const TensorInfo* music = file.find("music");
    return music != nullptr && music->shape.size() == 2;
  }

  RunData data_for(const Config& config, const StudyData& data) {
    if (config.data.deam_short_valence == DataConfig::ShortValence::kTextbook)
      return {data.path, data.checksum};
    const std::string& path = data.variants.at("deam_short_valence=released");
    std::string& checksum = checksums_[path];
    if (checksum.empty()) checksum = sha256_hex(read_file(path));
    return {path, checksum};
  }

  void add_runs(const StudyData& data, const std::string& model, const std::string& variant, Config named,
                Config config, std::vector<PlannedRun>& runs) {
    const PlanPreset& preset = file_.presets.at(preset_);
    const RunData used = data_for(config, data);
    for (const std::int64_t seed : preset.seeds) {
      for (int fold = preset.folds > 0 ? 0 : -1; fold < preset.folds; ++fold) {
        for (Config* c : {&named, &config}) {
          c->data.path = fs::absolute(used.path).lexically_normal().string();
          c->data.split.seed = seed;
          c->train.seed = seed;
          if (fold < 0) continue;
          c->data.split.method = "kfold";
          c->data.split.folds = preset.folds;
          c->data.split.fold = fold;
        }
        PlannedRun run{.id = {},
                       .data = data.name,
                       .variant = variant,
                       .seed = seed,
                       .fold = fold,
                       .config = config,
                       .data_checksum = used.checksum};
        run.id = id_of(run, model, named);
        if (!seen_.insert({data.name, variant, seed, fold}).second)
          fail_usage("{}/*.yaml: '{}' stands for two kinds of runs on {}; give one of them another name",
                     folder_, variant, data.name);
        if (runs.size() >= kMostRuns) fail_usage("{}: the plan has more than {} runs", folder_, kMostRuns);
        runs.push_back(std::move(run));
      }
    }
  }

  // What the run changes of its model by name, the rest by the hash.
  std::string id_of(const PlannedRun& run, const std::string& model, const Config& named) const {
    std::string name = fmt::format("{}-{}-{}", run.data, preset_, model);
    for (const schema::Key& key : schema::keys()) {
      if (!decides_training(key.path)) continue;
      const std::string value = schema::value_text(key, run.config);
      if (value != schema::value_text(key, named)) name += "-" + key.path + "_" + value;
    }
    for (char& c : name)
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') c = '_';
    name = name.substr(0, kLongestName) + fmt::format("-s{}", run.seed);
    if (run.fold >= 0) name += fmt::format("-f{}", run.fold);
    return name + "-" + sha256_hex(training_identity(run.config, run.data_checksum)).substr(0, 8);
  }

  std::string folder_;
  const std::string& preset_;
  const std::vector<std::string>& overrides_;
  ModelsFile models_;
  PlanFile file_;
  std::map<std::string, std::string> checksums_;  // by path
  std::set<std::tuple<std::string, std::string, std::int64_t, int>> seen_;
};

}  // namespace

bool decides_training(const std::string& key) {
  for (const char* section : {"eval.", "probe.", "analysis."})
    if (key.rfind(section, 0) == 0) return false;
  for (const char* how :
       {"compat", "threads", "device", "train.log_every", "distributed.timeout", "data.path"})
    if (key == how) return false;
  return true;
}

std::vector<std::string> differing_training_keys(const Config& before, const Config& after) {
  std::vector<std::string> differing;
  for (const std::string& text : differing_keys(before, after))
    if (decides_training(text.substr(0, text.find(' ')))) differing.push_back(text);
  return differing;
}

std::string training_identity(const Config& config, const std::string& data_checksum) {
  const Config defaults;
  std::string text = "data: " + data_checksum + "\n";
  for (const schema::Key& key : schema::keys()) {
    const std::string value = schema::value_text(key, config);
    if (decides_training(key.path) && value != schema::value_text(key, defaults))
      text += key.path + ": " + value + "\n";
  }
  return text;
}

ExperimentPlan load_plan(const std::string& folder, const std::string& experiment, const std::string& preset,
                         const std::vector<StudyData>& data, const std::vector<std::string>& overrides) {
  const auto read = [&](const std::string& name) {
    const std::string path = folder + "/" + name;
    if (!fs::exists(path))
      fail_usage("{} is not there; give the folder of the plan files as --configs", path);
    return std::make_pair(read_file(path, yaml::kLargestFile + 1), path);
  };
  const auto [models_text, models_path] = read("models.yaml");
  const auto [plan_text, plan_path] = read(experiment + ".yaml");
  ModelsFile models = parse_models(models_text, models_path);
  PlanFile file = parse_plan(plan_text, plan_path);
  if (!models.presets.count(preset))
    fail_usage("there is no preset '{}'; {} has {}", preset, models_path, names_of(models.presets));
  const auto found = file.presets.find(preset);
  if (found == file.presets.end())
    fail_usage("there is no preset '{}'; {} has {}", preset, plan_path, names_of(file.presets));
  ExperimentPlan plan{
      .name = experiment, .preset = preset, .data = data, .runs = {}, .settings = found->second.settings};
  std::set<std::string> known;
  for (const auto& [name, model] : models.models)
    for (const auto& [set, path] : model.files) known.insert(set);
  Expansion expansion(folder, preset, overrides, std::move(models), std::move(file));
  for (const StudyData& set : data) {
    if (!known.count(set.name))
      fail_usage("{} has no model for the data set '{}' ({}); it has models for {}", models_path, set.name,
                 set.path, joined({known.begin(), known.end()}, ", "));
    expansion.expand(set, plan.runs);
  }
  return plan;
}

}  // namespace emer
