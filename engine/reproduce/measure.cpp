#include "engine/reproduce/measure.h"

#include <cmath>
#include <filesystem>
#include <limits>

#include "core/check.h"
#include "core/crc32c.h"
#include "core/file.h"
#include "engine/checkpoint.h"
#include "engine/config_schema.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "emer-measure-1";
constexpr std::size_t kLargestFile = std::size_t{1}
                                     << 28;  // of measures: ranks of some thousand songs, many times

std::string crc_of(const std::string& path) {
  return fmt::format("{:08x}", crc32c(read_file(path)));
}

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

constexpr double kLargestScore = 1e9;

}  // namespace

std::string run_folder(const std::string& out, const PlannedRun& run) {
  return out + "/runs/" + run.id;
}

std::string measure_path(const std::string& out, const std::string& experiment, const PlannedRun& run) {
  return run_folder(out, run) + "/" + experiment + ".json";
}

const StudyData& data_of(const ExperimentPlan& plan, const PlannedRun& run) {
  for (const StudyData& data : plan.data)
    if (data.name == run.data) return data;
  fail_usage("{}: run {} needs a data set named {}, which the plan does not have", plan.name, run.id,
             run.data);
}

std::string split_key(const PlannedRun& run) {
  const SplitConfig& s = run.config.data.split;
  return fmt::format("{} {} {} {} {}/{} {}", run.data, s.method, s.seed, s.train, s.fold, s.folds, s.path);
}

bool measures_baselines(const ExperimentPlan& plan, const PlannedRun& run) {
  for (const PlannedRun& other : plan.runs)
    if (split_key(other) == split_key(run)) return other.id == run.id;
  return false;
}

Json fingerprint_of(const ExperimentPlan& plan, const PlannedRun& run, const std::string& out) {
  const std::string folder = run_folder(out, run) + "/checkpoints",
                    checkpoint = find_complete(folder, "last");
  if (checkpoint.empty())
    fail_input("{}: no complete checkpoint `last`; train the run first (the same command without --measure)",
               folder);
  Json print;
  print["experiment"] = plan.name;
  print["preset"] = plan.preset;
  print["step"] = load_state(checkpoint).step;
  const std::string average = checkpoint + "/ema.safetensors";
  print["weights"] = crc_of(std::filesystem::exists(average) ? average : checkpoint + "/model.safetensors");
  const StudyData& data = data_of(plan, run);
  print["data"] = {data.checksum, run.data_checksum};
  print["variant"] = run.variant;
  print["baselines"] = measures_baselines(plan, run);
  const StudySettings& s = plan.settings;
  print["lambdas"] = s.lambdas;
  print["thresholds"] = s.thresholds;
  print["svr"] = {{"c", s.svr_c}, {"gamma", s.svr_gamma}, {"epsilon", s.svr_epsilon}};
  for (const schema::Key& key : schema::keys())
    for (const char* section : {"eval.", "probe.", "analysis."})
      if (key.path.rfind(section, 0) == 0) print["keys"][key.path] = schema::value_text(key, run.config);
  return print;
}

Json load_measure(const std::string& path, const Json& wanted) {
  Json file;
  try {
    file = Json::parse(read_file(path, kLargestFile));
  } catch (const Json::exception&) {
    fail_input("{}: not a whole JSON file; the command that made it makes it again once it is removed", path);
  }
  if (!file.is_object() || file.value("format", Json()) != kFormat || !file.contains("fingerprint") ||
      !file.contains("values"))
    fail_input("{}: not a file of measures ({})", path, kFormat);
  if (file["fingerprint"] != wanted)
    fail_input(
        "{}: made from another checkpoint, data set or configuration than is there now; measure it again",
        path);
  return file["values"];
}

void save_measure(const std::string& path, const std::string& experiment, const std::string& run,
                  const Json& fingerprint, const Json& values) {
  const Json file = {{"format", kFormat},
                     {"experiment", experiment},
                     {"run", run},
                     {"fingerprint", fingerprint},
                     {"values", values}};
  write_file_atomically(path, file.dump() + "\n");
}

Json numbers(std::span<const double> values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

Json to_measure(const EvaluationResult& result) {
  return {{"m2e", {{"ranks", numbers(result.m2e.ranks)}}}, {"e2m", {{"ranks", numbers(result.e2m.ranks)}}}};
}

std::vector<double> read_numbers(const Json& values, const std::string& label) {
  if (!values.is_array()) fail_input("{}: not a list of numbers", label);
  std::vector<double> list;
  list.reserve(values.size());
  for (const Json& value : values) {
    if (!value.is_number() && !value.is_null())
      fail_input("{}: entry {} is not a number", label, list.size());
    list.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>());
  }
  return list;
}

std::vector<double> read_scores(const Json& values, const std::string& label) {
  std::vector<double> list = read_numbers(values, label);
  for (const double value : list)
    if (!(std::abs(value) <= kLargestScore)) fail_input("{}: {} is no score", label, value);
  return list;
}

const Json& value_at(const Json& values, const std::string& path, const std::string& label) {
  const Json* at = &values;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string key = path.substr(begin, end - begin);
    if (!at->is_object() || !at->contains(key)) fail_input("{}: no {}", label, path);
    at = &(*at)[key];
    begin = end + 1;
  }
  return *at;
}

}  // namespace emer
