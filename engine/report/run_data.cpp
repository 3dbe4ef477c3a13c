#include "engine/report/run_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "core/check.h"
#include "core/file.h"
#include "engine/checkpoint.h"
#include "engine/config_schema.h"
#include "engine/evaluation.h"
#include "engine/session.h"

namespace emer::report {
namespace {

using nlohmann::ordered_json;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int kDeepest = 16;  // levels of JSON that any file of a run has, and some

ordered_json parsed(std::string_view text, const std::string& label) {
  const ordered_json json = ordered_json::parse(
      text, [](int depth, ordered_json::parse_event_t, ordered_json&) { return depth < kDeepest; },
      /*allow_exceptions=*/false);
  if (!json.is_object()) fail_input("{}: not a JSON object", label);
  return json;
}

double number(const ordered_json& object, const char* key, const std::string& label) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number()) fail_input("{}: no number '{}'", label, key);
  return at->get<double>();
}

std::array<double, 2> interval(const ordered_json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_array() || at->size() != 2 || !(*at)[0].is_number() ||
      !(*at)[1].is_number())
    return {kNan, kNan};
  return {(*at)[0].get<double>(), (*at)[1].get<double>()};
}

DirectionFigures direction(const ordered_json& json, const char* key, const std::string& label,
                           bool with_ranks) {
  const auto at = json.find(key);
  if (at == json.end() || !at->is_object()) fail_input("{}: no object '{}'", label, key);
  DirectionFigures out;
  out.mrr = number(*at, "mrr", label);
  out.ar = number(*at, "ar", label);
  out.median_rank = number(*at, "median_rank", label);
  out.mrr_interval = interval(*at, "mrr_interval");
  out.ar_interval = interval(*at, "ar_interval");
  const auto recall = at->find("recall_at");
  for (std::size_t i = 0; i < kRecallAt.size(); ++i)
    out.recall_at[i] = recall != at->end() && recall->is_object()
                           ? number(*recall, fmt::format("{}", kRecallAt[i]).c_str(), label)
                           : kNan;
  const auto ranks = at->find("ranks");
  if (!with_ranks) return out;
  if (ranks == at->end() || !ranks->is_array()) fail_input("{}: no list '{}.ranks'", label, key);
  for (const ordered_json& rank : *ranks) {
    if (!rank.is_number() || !(rank.get<double>() >= 1.0))
      fail_input("{}: '{}.ranks' holds no rank", label, key);
    out.ranks.push_back(rank.get<double>());
  }
  return out;
}

std::string text(const ordered_json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

void read_config(RunData& run) {
  const std::string path = run.folder + "/config.yaml";
  if (!std::filesystem::exists(path)) {
    run.remarks.push_back("There is no config.yaml: the configuration is not known.");
    return;
  }
  try {
    run.config_text = read_file(path);
    run.config = load_config(path);
  } catch (const Error& error) {
    run.remarks.push_back(fmt::format("The configuration cannot be read: {}", error.what()));
  }
}

void read_metrics(RunData& run) {
  const std::string path = run.folder + "/metrics.jsonl";
  if (!std::filesystem::exists(path)) {
    run.remarks.push_back("There is no metrics.jsonl: nothing is known of the training's course.");
    return;
  }
  run.metrics = parse_metrics(read_file(path));
  if (run.metrics.steps.empty()) run.remarks.push_back("metrics.jsonl holds no step yet.");
  if (run.metrics.unreadable > 0)
    run.remarks.push_back(fmt::format("{} line{} of metrics.jsonl could not be read and {} left out.",
                                      run.metrics.unreadable, run.metrics.unreadable == 1 ? "" : "s",
                                      run.metrics.unreadable == 1 ? "is" : "are"));
}

void read_environment(RunData& run) {
  const std::string path = run.folder + "/environment.json";
  if (!std::filesystem::exists(path)) return;
  try {
    run.environment = parsed(read_file(path), path);
  } catch (const Error& error) {
    run.remarks.push_back(fmt::format("The environment cannot be read: {}", error.what()));
  }
}

void read_checkpoints(RunData& run) {
  for (const char* name : {"last", "best"}) {
    const std::string path = find_complete(run.folder + "/checkpoints", name);
    if (path.empty()) continue;
    CheckpointFacts facts{name, path, 0, 0, false};
    try {
      const TrainingState state = load_state(path);
      facts.step = state.step;
      facts.epoch = state.position == 0 ? state.epoch - 1 : state.epoch;
      facts.stopped_early = state.stopped_early;
    } catch (const Error& error) {
      run.remarks.push_back(fmt::format("The checkpoint '{}' cannot be read: {}", name, error.what()));
    }
    run.checkpoints.push_back(facts);
  }
  if (run.checkpoints.empty()) {
    run.remarks.push_back("There is no complete checkpoint yet.");
    return;
  }
  const std::string path = find_checkpoint(run.folder) + "/evaluation.json";
  if (!std::filesystem::exists(path)) {
    run.remarks.push_back("The model has not been evaluated: emer evaluate on the run folder does it.");
    return;
  }
  try {
    run.evaluation = parse_evaluation(read_file(path), path);
  } catch (const Error& error) {
    run.remarks.push_back(fmt::format("The evaluation cannot be read: {}", error.what()));
  }
}

}  // namespace

EvaluationFigures parse_evaluation(std::string_view bytes, const std::string& label) {
  const ordered_json json = parsed(bytes, label);
  EvaluationFigures out;
  out.direction = {direction(json, "m2e", label, true), direction(json, "e2m", label, true)};
  out.songs = static_cast<int>(out.direction[0].ranks.size());
  if (out.songs == 0 || out.direction[1].ranks.size() != out.direction[0].ranks.size())
    fail_input("{}: {} and {} ranks", label, out.direction[0].ranks.size(), out.direction[1].ranks.size());
  for (const DirectionFigures& d : out.direction)
    for (const double rank : d.ranks)
      if (rank > out.songs) fail_input("{}: rank {} among {} songs", label, rank, out.songs);
  const auto whole = [&](const char* key, double otherwise) {
    const auto at = json.find(key);
    const double value = at != json.end() && at->is_number() ? at->get<double>() : otherwise;
    return value >= 0.0 && value < 2e9 ? static_cast<int>(value) : static_cast<int>(otherwise);
  };
  out.train_songs = whole("train_songs", 0);
  out.step = whole("step", -1);
  out.split = text(json, "split");
  out.data = text(json, "data");
  if (const auto eval = json.find("eval"); eval != json.end() && eval->is_object())
    for (const auto& [key, value] : eval->items())
      out.eval.push_back("eval." + key + "=" + (value.is_string() ? value.get<std::string>() : value.dump()));
  if (const auto list = json.find("baselines"); list != json.end() && list->is_object())
    for (const auto& [name, value] : list->items()) {
      if (!value.is_object()) fail_input("{}: a baseline is no object", label);
      out.baselines.push_back(
          {name,
           text(value, "what"),
           {direction(value, "m2e", label, false), direction(value, "e2m", label, false)}});
    }
  return out;
}

RunData read_run(const std::string& folder) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(folder)) fail_input("{}: no such run folder", folder);
  if (!fs::exists(folder + "/config.yaml") && !fs::exists(folder + "/metrics.jsonl") &&
      !fs::exists(folder + "/checkpoints"))
    fail_input(
        "{}: neither a run folder (config.yaml, metrics.jsonl, checkpoints) nor results (results.json)",
        folder);
  RunData run;
  run.folder = folder;
  run.name = fs::absolute(folder).lexically_normal().filename().string();
  if (run.name.empty()) run.name = fs::absolute(folder).lexically_normal().parent_path().filename().string();
  read_config(run);
  read_metrics(run);
  read_environment(run);
  read_checkpoints(run);
  return run;
}

std::vector<ChangedKey> changed_keys(const Config& config) {
  std::vector<ChangedKey> out;
  const Config usual;
  for (const schema::Key& key : schema::keys()) {
    const std::string value = schema::value_text(key, config), before = schema::value_text(key, usual);
    if (value != before) out.push_back({key.path, value, before});
  }
  return out;
}

}  // namespace emer::report
