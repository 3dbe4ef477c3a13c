#include "engine/reproduce/analysis_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "core/check.h"
#include "engine/reproduce/result_rows.h"
#include "engine/studies/analysis.h"

namespace emer::analysis_results {
namespace {

// Those of the first run: a plan has one set of shares.
AnalysisOptions options_of(const std::vector<Entry>& entries) {
  return entries.front().runs.front().first->run->config.analysis;
}

std::vector<Column> key_columns() {
  return {{"side", "switches", "", -1}, {"direction", "direction", "", -1}, {"model", "model", "", -1}};
}
std::vector<Cell> key_cells(const Entry& entry) {
  return {entry.side->title, entry.direction->title, entry.model};
}

// Mean and deviation over queries of the average cosine similarity (method.md 8).
struct Published {
  const char *data, *direction;
  double mean, deviation;
};
constexpr Published kPublished[] = {{"deam", "m2e", 0.740, 0.075},
                                    {"deam", "e2m", 0.706, 0.406},
                                    {"pmemo", "m2e", 0.831, 0.061},
                                    {"pmemo", "e2m", 0.990, 0.013}};

void add_published(std::vector<Cell>& row, const Entry& entry, const StudyData& data) {
  for (const Published& p : kPublished)
    if (data.name == p.data && std::string(p.direction) == entry.direction->key &&
        std::string(entry.side->key) == "released" && entry.model == "released") {
      row.insert(row.end(), {p.mean, p.deviation});
      return;
    }
  row.insert(row.end(), {std::monostate{}, std::monostate{}});
}

// What each switch of the analysis is worth, on the same rankings of one model.
class SwitchTable {
 public:
  SwitchTable(const StudyData& data, const std::string& model, const std::string& measured) {
    table_.id = fmt::format("analysis_{}_switches", data.name);
    table_.title = fmt::format("What each switch of the analysis is worth, {}", data.name);
    table_.measured = measured;
    table_.notes = fmt::format(
        "Model {}. First row of each base: its own figures; below, one switch turned alone to the other "
        "side: "
        "difference to the base, mean and sd over seeds. eval: the ranking itself under the other "
        "evaluation. "
        "Category moved: test songs in another category than with the base's mapping (B29). Wrong ids: "
        "queries, "
        "sorted by rank, beside which another song's id stands (B28).",
        model);
    table_.columns = {{"base", "base", "", -1}, {"switch", "switch turned", "", -1}};
    for (const auto& [key, title] : kFigures) {
      const bool counts = std::string(key) == "moved" || std::string(key) == "wrong_ids";
      table_.columns.push_back({key, title, counts ? "song" : "", counts ? 1 : 4});
      if (!counts) table_.columns.push_back({std::string(key) + "_sd", "sd", "", 4});
    }
  }

  void add(const Named& base, const std::vector<const MeasuredRun*>& runs) {
    std::vector<std::string> names;
    std::vector<std::vector<std::vector<double>>> figures;  // run, switch, figure
    for (const MeasuredRun* run : runs) {
      const std::string label = fmt::format("measures of {}", run->run->id);
      const auto& list = value_at(run->values, fmt::format("switches/{}", base.key), label);
      figures.emplace_back();
      names.clear();
      for (const auto& one : list) {
        const auto& name = value_at(one, "switch", label);
        names.push_back(name.is_string() ? name.get<std::string>() : "");
        figures.back().push_back(read_numbers(value_at(one, "figures", label), label));
        if (figures.back().back().size() != std::size(kFigures))
          fail_input("{}: {} figures of switch {}", label, figures.back().back().size(), names.back());
      }
      if (names.empty() || names.size() != figures.front().size())
        fail_input("{}: {} switches", label, names.size());
    }
    for (std::size_t s = 0; s < names.size(); ++s) {
      std::vector<Cell> row = {base.title, s == 0 ? "none" : names[s]};
      for (std::size_t f = 0; f < std::size(kFigures); ++f) {
        const bool counts = f >= kCounts;
        std::vector<double> values;
        for (const auto& of_run : figures) {
          const double value = of_run[s][f] - (s == 0 || counts ? 0.0 : of_run[0][f]);
          if (std::isfinite(value)) values.push_back(value);
        }
        const Summary summary = values.empty() ? summarised({}, 0) : summarise(values, 1, kTableSeed);
        row.push_back(cell(summary.mean));
        if (!counts) row.push_back(cell(summary.deviation));
      }
      table_.rows.push_back(std::move(row));
    }
  }
  ResultTable finish() { return std::move(table_); }

 private:
  static constexpr Named kFigures[] = {{"m2e_cosine", "M2E cosine"}, {"e2m_cosine", "E2M cosine"},
                                       {"e2m_map", "E2M mAP"},       {"e2m_entropy", "E2M entropy"},
                                       {"moved", "category moved"},  {"wrong_ids", "wrong ids"}};
  static constexpr std::size_t kCounts = 4;  // from here on
  ResultTable table_;
};

}  // namespace

ResultTable cosine_table(const ExperimentPlan& plan, const StudyData& data, const std::vector<Entry>& entries,
                         const std::string& measured) {
  ResultTable table;
  table.id = fmt::format("analysis_{}_cosine", data.name);
  table.title = fmt::format("Cosine similarity of the first answers, {}", data.name);
  table.measured = measured;
  table.notes = fmt::format(
      "Mean cosine similarity between the query's own raw features (music: means over time; emotion: mean "
      "valence "
      "and arousal) and those of the first {:g} % of the answers. Random order: the same of shuffled "
      "answers, for raw "
      "features may be alike for any two songs. Over queries: deviation and quartiles of all seeds' queries "
      "together. As "
      "released, the query's own match (cosine 1) counts among the answers, and the evaluation ranks by the "
      "query's "
      "partner (B1).",
      100 * options_of(entries).top);
  table.columns = key_columns();
  add_columns(table.columns, "cosine", "mean", "", 4);
  for (const auto& [key, title] : {std::pair{"spread", "sd over queries"},
                                   {"min", "min"},
                                   {"q25", "25 %"},
                                   {"median", "50 %"},
                                   {"q75", "75 %"},
                                   {"max", "max"}})
    table.columns.push_back({key, title, "", 4});
  if (data.as_published) {
    table.columns.push_back({"published", "published mean", "", 3});
    table.columns.push_back({"published_sd", "published sd", "", 3});
    table.notes += " Published: the authors' own model on this data.";
  }
  for (const Entry& entry : entries) {
    const auto seeds = by_seed(entry, &Queries::cosine, -1);
    std::vector<Cell> row = key_cells(entry);
    add_cells(row, summarised(seeds, plan.settings.resamples));
    std::vector<double> all;
    for (const auto& of_seed : seeds) all.insert(all.end(), of_seed.begin(), of_seed.end());
    std::sort(all.begin(), all.end());
    double mean = 0.0, squares = 0.0;
    for (const double v : all) mean += v / static_cast<double>(all.size());
    for (const double v : all) squares += (v - mean) * (v - mean);
    row.push_back(cell(all.size() > 1 ? std::sqrt(squares / static_cast<double>(all.size() - 1))
                                      : std::numeric_limits<double>::quiet_NaN()));
    for (const double share : {0.0, 0.25, 0.5, 0.75, 1.0})
      row.push_back(all.empty() ? Cell{} : cell(quantile(all, share)));
    if (data.as_published) add_published(row, entry, data);
    table.rows.push_back(std::move(row));
  }
  return table;
}

ResultTable group_table(const StudyData& data, const std::vector<Entry>& entries,
                        const std::string& measured) {
  ResultTable table;
  table.id = fmt::format("analysis_{}_groups", data.name);
  table.title = fmt::format("Good, middle and bad queries, {}", data.name);
  table.measured = measured;
  const AnalysisOptions options = options_of(entries);
  table.notes = fmt::format(
      "Good: the match ranks within the first {:g} %; bad: at or behind {:g} %; middle: in between. Means "
      "over seeds of "
      "each group's share of the queries and of their mean cosine similarity, average precision and entropy.",
      100 * options.good, 100 * options.bad);
  table.columns = key_columns();
  table.columns.push_back({"group", "group", "", -1});
  for (const auto& [key, title, digits] : {std::tuple{"share", "share of queries", 3},
                                           {"cosine", "cosine", 4},
                                           {"precision", "average precision", 4},
                                           {"entropy", "entropy", 4}})
    table.columns.push_back({key, title, std::string(key) == "entropy" ? "bit" : "", digits});
  for (const Entry& entry : entries) {
    if (entry.model == kChance) continue;
    for (int g = 0; g < kRankGroups; ++g) {
      std::vector<Cell> row = key_cells(entry);
      row.emplace_back(kRankGroupNames[g]);
      double share = 0.0;
      for (const auto& [run, queries] : entry.runs)
        share += static_cast<double>(std::count(queries.group.begin(), queries.group.end(), g)) /
                 static_cast<double>(queries.group.size() * entry.runs.size());
      row.push_back(cell(share));
      for (const auto value : {&Queries::cosine, &Queries::precision, &Queries::entropy}) {
        const bool told = value == &Queries::cosine || by_categories(entry);
        row.push_back(told ? cell(summarised(by_seed(entry, value, g), 1).mean) : Cell{});
      }
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

namespace {

// Where mAP is the mean over queries, its interval is theirs; a mean of groups' means has that of the seeds alone.
Summary map_summary(const Entry& entry, const std::vector<double>& maps, int resamples) {
  Summary summary = summarise(maps, resamples, kTableSeed);
  if (std::string(entry.side->key) == "textbook")
    summary.interval = summarised(by_seed(entry, &Queries::precision, -1), resamples).interval;
  for (double& end : summary.interval)
    if (!std::isnan(end)) end = std::clamp(end, 0.0, 1.0);
  return summary;
}

}  // namespace

ResultTable category_table(const ExperimentPlan& plan, const StudyData& data,
                           const std::vector<Entry>& entries, const std::string& measured) {
  ResultTable table;
  table.id = fmt::format("analysis_{}_categories", data.name);
  table.title = fmt::format("Emotion categories among the answers, {}", data.name);
  table.measured = measured;
  table.notes = fmt::format(
      "Five categories of mean valence and arousal (40 words on a circle, Dufour and Tzanetakis 2018). mAP: "
      "is the "
      "query's category found early? Textbook: over the first {:g} %, without the query's own match, mean "
      "over queries; "
      "as released: over the whole list, its own match included, mean of the good, middle and bad groups' "
      "means. Entropy "
      "of the categories among the first answers: 0 = one category, 2.32 = all alike. Undefined: queries "
      "that are alone "
      "in their category. The released code makes categories of DEAM alone.",
      100 * options_of(entries).top);
  table.columns = key_columns();
  add_columns(table.columns, "map", "mAP", "", 4);
  add_columns(table.columns, "entropy", "entropy", "bit", 4);
  table.columns.push_back({"undefined", "undefined", "query", 1});
  const int resamples = plan.settings.resamples;
  for (const Entry& entry : entries) {
    if (!by_categories(entry)) continue;
    std::vector<double> maps;
    double undefined = 0.0;
    for (const auto& [run, queries] : entry.runs) {
      maps.push_back(queries.map);
      undefined += static_cast<double>(queries.precision.size() - defined(queries.precision).size()) /
                   static_cast<double>(entry.runs.size());
    }
    std::vector<Cell> row = key_cells(entry);
    maps = defined(maps);
    if (maps.empty())
      row.insert(row.end(), 4, std::monostate{});
    else
      add_cells(row, map_summary(entry, maps, resamples));
    add_cells(row, summarised(by_seed(entry, &Queries::entropy, -1), resamples));
    row.push_back(cell(undefined));
    table.rows.push_back(std::move(row));
  }
  return table;
}

ResultTable switch_table(const StudyData& data, const std::string& model, MeasuredRuns runs,
                         const std::string& measured) {
  std::vector<const MeasuredRun*> of_model;
  for (const MeasuredRun& run : runs)
    if (run.run->data == data.name && model_of(*run.run) == model) of_model.push_back(&run);
  SwitchTable table(data, model, measured);
  for (const Named& side : {kSides[1], kSides[0]}) table.add(side, of_model);
  return table.finish();
}

}  // namespace emer::analysis_results
