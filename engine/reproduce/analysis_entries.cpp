// Measures of the detailed analysis, read and checked.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "engine/reproduce/analysis_tables.h"
#include "engine/reproduce/result_rows.h"
#include "engine/studies/analysis.h"

namespace emer::analysis_results {
namespace {

std::vector<double> column(const nlohmann::ordered_json& values, const std::string& path,
                           const std::string& label, std::size_t count, double low, double high) {
  std::vector<double> list = read_numbers(value_at(values, path, label), label + ", " + path);
  if (list.size() != count) fail_input("{}: {} has {} values for {}", label, path, list.size(), count);
  for (const double value : list)
    if (value < low || value > high) fail_input("{}: {} has {}", label, path, value);
  return list;
}

Queries read_queries(const MeasuredRun& run, const std::string& path) {
  const std::string label = fmt::format("measures of {}", run.run->id);
  const std::size_t n = value_at(run.values, "song_id", label).size();
  const double songs = static_cast<double>(n), bits = std::log2(kEmotionCategories) + 1e-9;
  const auto read = [&](const char* key, std::size_t count, double low, double high) {
    return column(run.values, path + "/" + key, label, count, low, high);
  };
  return {.rank = read("rank", n, 1, songs),
          .group = read("group", n, 0, kRankGroups - 1),
          .category = read("category", n, 0, kEmotionCategories - 1),
          .cosine = read("cosine", n, -1.000001, 1.000001),
          .precision = read("precision", n, 0, 1),
          .entropy = read("entropy", n, 0, bits),
          .retrieved = read("retrieved", n * kEmotionCategories, 0, songs),
          .map = read("map", 1, 0, 1)[0],
          .zero_features = ids(run.values, path + "/zero_features", label)};
}

}  // namespace

std::vector<std::int64_t> ids(const nlohmann::ordered_json& values, const std::string& path,
                              const std::string& label) {
  std::vector<std::int64_t> list;
  for (const double value : read_numbers(value_at(values, path, label), label + ", " + path))
    list.push_back(static_cast<std::int64_t>(value));
  return list;
}

std::vector<Entry> entries_of(MeasuredRuns runs, const std::string& data) {
  std::vector<std::string> models = models_of(runs, data);
  models.insert(models.begin(), kChance);
  std::vector<Entry> entries;
  for (const Named& side : kSides)
    for (const Named& direction : kDirections)
      for (const std::string& model : models) {
        Entry entry{&side, &direction, model, {}};
        const std::string path =
            fmt::format("{}/{}/{}", model == kChance ? "chance" : "sides", side.key, direction.key);
        for (const MeasuredRun& run : runs)
          if (run.run->data == data && (model == kChance || model_of(*run.run) == model) &&
              run.values.contains(nlohmann::ordered_json::json_pointer("/" + path)))
            entry.runs.emplace_back(&run, read_queries(run, path));
        if (!entry.runs.empty()) entries.push_back(std::move(entry));
      }
  return entries;
}

std::vector<double> defined(const std::vector<double>& values) {
  std::vector<double> kept;
  for (const double value : values)
    if (!std::isnan(value)) kept.push_back(value);
  return kept;
}

std::vector<std::vector<double>> by_seed(const Entry& entry, std::vector<double> Queries::*value, int group) {
  std::vector<std::vector<double>> seeds;
  for (const auto& [run, queries] : entry.runs) {
    std::vector<double> of_seed;
    for (std::size_t i = 0; i < queries.rank.size(); ++i)
      if (group < 0 || queries.group[i] == group) of_seed.push_back((queries.*value)[i]);
    of_seed = defined(of_seed);
    if (!of_seed.empty()) seeds.push_back(std::move(of_seed));
  }
  return seeds;
}

Summary summarised(const std::vector<std::vector<double>>& seeds, int resamples) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  return seeds.empty() ? Summary{0, kNone, kNone, {kNone, kNone}}
                       : summarise_queries(seeds, resamples, kTableSeed);
}

bool by_categories(const Entry& entry) {
  return std::string(entry.direction->key) != "m2e_standardised";  // the same answers as m2e
}

}  // namespace emer::analysis_results
