#include "engine/reproduce/results_file.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <set>

#include "core/build_info.h"
#include "core/check.h"
#include "core/file.h"
#include "core/text.h"
#include "engine/environment.h"
#include "engine/reproduce/json_reader.h"
#include "engine/reproduce/table_rules.h"

namespace emer {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "emer-results-1";
constexpr const char* kFile = "results.json";

std::string now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

void put(Json& json, const ResultsOrigin& origin) {
  json["created_by"] = origin.created_by;
  json["date"] = origin.date;
  json["command"] = origin.command;
}

ResultsOrigin origin_of(const JsonPlace& place) {
  return {place.text("created_by"), place.text("date"), place.text("command")};
}

StudyData data_of(const JsonPlace& place) {
  StudyData data;
  data.name = place.text("name");
  data.label = place.text("label");
  data.path = place.text("path");
  data.checksum = place.text("checksum");
  data.as_published = place.truth("as_published");
  data.generated = place.truth("generated");
  const JsonPlace variants = place.at("variants");
  if (!variants.json().is_object()) variants.refuse("must be an object");
  for (const auto& [name, value] : variants.json().items())
    data.variants[name] = JsonPlace(value, variants.place() + "." + in_quotes(name)).text();
  return data;
}

const ExperimentResults* find(const std::vector<ExperimentResults>& all, const std::string& name) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const ExperimentResults& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

// Names of experiments and ids of tables are names of files.
std::string problem_of(const std::vector<ExperimentResults>& experiments) {
  std::set<std::string> names, tables;
  for (const ExperimentResults& experiment : experiments) {
    if (const std::string problem = problem_of(experiment); !problem.empty())
      return fmt::format("{}: {}", in_quotes(experiment.name), problem);
    if (!names.insert(experiment.name).second) return fmt::format("two experiments '{}'", experiment.name);
    for (const ResultTable& table : experiment.tables)
      if (!tables.insert(table.id).second)
        return fmt::format("two tables '{}', the second in '{}'", table.id, experiment.name);
  }
  return {};
}

std::string inside(const std::string& path, const std::string& folder) {
  const std::string relative = fs::path(path).lexically_relative(folder).generic_string();
  return relative.empty() || relative.starts_with("..") ? path : relative;
}

// What the old file has and the new one has not; both in one.
void keep_old(ResultsFile& whole, const ResultsFile& old, const std::string& label) {
  bool kept = false;
  for (const ExperimentResults& experiment : old.experiments) {
    if (find(whole.experiments, experiment.name) != nullptr) continue;
    kept = true;
    whole.experiments.push_back(experiment);
    const auto made = old.made.find(experiment.name);
    whole.made[experiment.name] = made == old.made.end() ? old.origin : made->second;
  }
  if (!kept) return;
  for (const StudyData& data : old.data) {
    const auto same = std::find_if(whole.data.begin(), whole.data.end(),
                                   [&](const StudyData& one) { return one.name == data.name; });
    if (same == whole.data.end())
      whole.data.push_back(data);
    else if (same->checksum != data.checksum)
      fail_usage(
          "{}: it holds results on another data set of the name {} ({}): use another --out, or move it away",
          label, in_quotes(data.name), data.label);
  }
}

// Tables that old results have and new ones have not.
void remove_old_tables(const std::string& out, const ResultsFile& old, const ResultsFile& whole) {
  std::set<std::string> ids;
  for (const ExperimentResults& experiment : whole.experiments)
    for (const ResultTable& table : experiment.tables) ids.insert(table.id);
  for (const ExperimentResults& experiment : old.experiments)
    for (const ResultTable& table : experiment.tables) {
      std::error_code gone;
      if (!ids.count(table.id)) fs::remove(fs::path(out) / (table.id + ".csv"), gone);
    }
}

}  // namespace

ResultsFile new_results(const std::string& command) {
  ResultsFile results;
  results.origin = {fmt::format("emer {} ({})", version(), git_hash()), now(), command};
  results.environment = environment_facts(*local_communicator());
  return results;
}

Json to_json(const ResultsFile& results) {
  Json json = {{"format", kFormat}};
  put(json, results.origin);
  json["environment"] = results.environment;
  json["data"] = Json::array();
  for (const StudyData& data : results.data)
    json["data"].push_back({{"name", data.name},
                            {"label", data.label},
                            {"path", data.path},
                            {"checksum", data.checksum},
                            {"as_published", data.as_published},
                            {"generated", data.generated},
                            {"variants", data.variants}});
  json["experiments"] = Json::array();
  for (const ExperimentResults& experiment : results.experiments) {
    Json one = to_json(experiment);
    const auto made = results.made.find(experiment.name);
    put(one["made"], made == results.made.end() ? results.origin : made->second);
    json["experiments"].push_back(std::move(one));
  }
  return json;
}

ResultsFile parse_results(const std::string& text, const std::string& label) {
  const Json json = parse_json(text, label);
  const JsonPlace root(json, label);
  if (!root.has("format") || root.at("format").json() != kFormat)
    fail_input("{}: not a results file of `emer reproduce` (its `format` is not `{}`)", label, kFormat);
  ResultsFile results;
  results.origin = origin_of(root);
  results.environment = root.at("environment").json();
  for (const JsonPlace& item : root.at("data").items()) results.data.push_back(data_of(item));
  for (const JsonPlace& item : root.at("experiments").items()) {
    results.experiments.push_back(experiment_from_json(item.json(), item.place()));
    results.made[results.experiments.back().name] = origin_of(item.at("made"));
  }
  if (const std::string problem = problem_of(results.experiments); !problem.empty())
    fail_input("{}: {}", label, problem);
  return results;
}

ResultsFile load_results(const std::string& path) {
  std::error_code ignored;
  const std::string file = fs::is_directory(path, ignored) ? (fs::path(path) / kFile).string() : path;
  return parse_results(read_file(file), file);
}

ResultsFile write_results(const std::string& out, const ResultsFile& results) {
  const std::string file = (fs::path(out) / kFile).string();
  ResultsFile whole = results, old;
  for (StudyData& data : whole.data) {
    data.path = inside(data.path, out);
    for (auto& [name, path] : data.variants) path = inside(path, out);
  }
  std::error_code ignored;
  if (fs::exists(file, ignored)) {
    old = load_results(file);
    keep_old(whole, old, file);
  }
  if (const std::string problem = problem_of(whole.experiments); !problem.empty())
    fail(ErrorKind::kRunFailed, "results: {}", problem);

  make_folders(out);
  for (const ExperimentResults& experiment : results.experiments) {
    write_file_atomically((fs::path(out) / (experiment.name + ".md")).string(), to_markdown(experiment));
    for (const ResultTable& table : experiment.tables)
      write_file_atomically((fs::path(out) / (table.id + ".csv")).string(), to_csv(table));
  }
  remove_old_tables(out, old, whole);
  write_file_atomically(file, to_json(whole).dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  return whole;
}

}  // namespace emer
