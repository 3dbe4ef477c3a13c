// Tables of the defects experiment.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "core/check.h"
#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/result_rows.h"
#include "engine/reproduce/switches.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kSignificant = 0.05;

// What is compared: a figure of ranks in one direction, or a score of one regression target.
struct Measure {
  const char *family, *part, *title, *part_title;
  int digits;
  bool of_ranks;
};
constexpr std::array kMeasures = {
    Measure{"mrr", "m2e", "M2E MRR", "music to emotion", 4, true},
    Measure{"mrr", "e2m", "E2M MRR", "emotion to music", 4, true},
    Measure{"ar", "m2e", "M2E AR", "music to emotion", 1, true},
    Measure{"ar", "e2m", "E2M AR", "emotion to music", 1, true},
    Measure{"r2", "valence", "R² valence", "valence", 3, false},
    Measure{"r2", "arousal", "R² arousal", "arousal", 3, false},
    Measure{"r", "valence", "R valence", "valence", 3, false},
    Measure{"r", "arousal", "R arousal", "arousal", 3, false},
};
constexpr std::pair<const char*, const char*> kFamilies[] = {
    {"mrr", "MRR"}, {"ar", "AR"}, {"r2", "R²"}, {"r", "R"}};

// Values of one measure, by seed: of queries, or one number.
using BySeed = RanksBySeed;

struct Effect {
  PairedComparison comparison{0, kNone, {kNone, kNone}, kNone, kNone, kNone};
  double base = kNone, value = kNone;
  double adjusted_p = kNone;
};

struct SwitchRow {
  std::string kind, key, change;
  std::array<Effect, kMeasures.size()> effects;
};

// One base model on one data set, judged from one side.
struct Judged {
  const ExperimentPlan& plan;
  const StudyData& data;
  std::string model;
  Side judge;
  std::vector<MeasuredRun> base;
  // Changes in order of appearance, each with its runs.
  std::vector<std::pair<std::string, std::vector<MeasuredRun>>> variants;
  std::string measured;
};

double over_seeds(const Measure& measure, const BySeed& values) {
  double sum = 0.0;
  for (const auto& [seed, of_seed] : values) {
    double mean = 0.0;
    for (const double value : of_seed)
      mean += measure.of_ranks ? rank_metric(measure.family).of(value) : value;
    sum += mean / static_cast<double>(of_seed.size());
  }
  return values.empty() ? kNone : sum / static_cast<double>(values.size());
}

// The measure under `path` of the runs' values; seeds where a score is undefined are left out.
BySeed read(const Measure& measure, const std::vector<MeasuredRun>& runs, const std::string& path) {
  BySeed values;
  for (const MeasuredRun& run : runs) {
    if (measure.of_ranks) {
      add_ranks(values, run, path + "/" + measure.part);
      continue;
    }
    const std::string label = fmt::format("measures of {}", run.run->id);
    const Json& score =
        value_at(run.values, fmt::format("{}/{}/{}", path, measure.part, measure.family), label);
    if (!score.is_null())
      values[run.run->seed] = read_scores(Json::array({score}), fmt::format("{}, {}", label, path));
  }
  return values;
}

Effect effect_of(const Measure& measure, const BySeed& variant, const BySeed& base, int resamples) {
  Effect effect;
  effect.value = over_seeds(measure, variant);
  effect.base = over_seeds(measure, base);
  if (measure.of_ranks) {
    effect.comparison = compare_ranks(variant, base, rank_metric(measure.family), resamples);
    return effect;
  }
  std::vector<double> ours, theirs;
  for (const auto& [seed, value] : variant)
    if (const auto found = base.find(seed); found != base.end()) {
      ours.push_back(value.front());
      theirs.push_back(found->second.front());
    }
  if (!ours.empty()) effect.comparison = compare_paired(ours, theirs, resamples, kTableSeed);
  return effect;
}

std::string home_of(const Measure& measure, Side judge) {
  return fmt::format("{}/{}", measure.of_ranks ? "evaluations" : "probes", name_of(judge));
}

// "loss.cca.centring", "sample -> feature": what differs from the base's run of the same seed.
std::pair<std::string, std::string> key_and_change(const Judged& j, const MeasuredRun& variant) {
  for (const MeasuredRun& base : j.base) {
    if (base.run->seed != variant.run->seed) continue;
    std::string keys, changes;
    for (const std::string& text : differing_keys(base.run->config, variant.run->config)) {
      const std::size_t at = text.find(" (");
      const std::string key = text.substr(0, at);
      if (key == "data.path") continue;  // another preparation of the same songs: its own key says which
      keys += (keys.empty() ? "" : ", ") + key;
      if (at != std::string::npos)
        changes += (changes.empty() ? "" : ", ") + text.substr(at + 2, text.size() - at - 3);
    }
    return {keys, changes};
  }
  return {change_of(*variant.run), ""};
}

std::vector<SwitchRow> rows_of(const Judged& j) {
  const int resamples = j.plan.settings.resamples;
  std::vector<SwitchRow> rows;
  for (const auto& [change, runs] : j.variants) {
    const auto [key, from_to] = key_and_change(j, runs.front());
    SwitchRow row{key.rfind("data.", 0) == 0 ? "data" : "training", key, from_to, {}};
    for (std::size_t i = 0; i < kMeasures.size(); ++i) {
      const std::string home = home_of(kMeasures[i], j.judge);
      row.effects[i] = effect_of(kMeasures[i], read(kMeasures[i], runs, home),
                                 read(kMeasures[i], j.base, home), resamples);
    }
    rows.push_back(std::move(row));
  }
  // Turned from the model's own side, so only the judge of that side knows them.
  const Side own = side_of(j.base.front().run->config);
  if (own == j.judge) {
    const Side to = own == Side::kTextbook ? Side::kReleased : Side::kTextbook;
    for (const char* section : {"eval", "probe"})
      for (const std::string& key : switches_of(section)) {
        SwitchRow row{std::string(section) == "eval" ? "evaluation" : "regression",
                      key,
                      fmt::format("{} -> {}", value_on(key, own), value_on(key, to)),
                      {}};
        for (std::size_t i = 0; i < kMeasures.size(); ++i)
          if (kMeasures[i].of_ranks == (row.kind == "evaluation"))
            row.effects[i] = effect_of(kMeasures[i], read(kMeasures[i], j.base, "turned/" + key),
                                       read(kMeasures[i], j.base, home_of(kMeasures[i], j.judge)), resamples);
        rows.push_back(std::move(row));
      }
  }
  for (std::size_t i = 0; i < kMeasures.size(); ++i) {
    std::vector<double> p;
    for (const SwitchRow& row : rows) p.push_back(row.effects[i].comparison.p_sign_flip);
    const std::vector<double> adjusted = holm(p);
    for (std::size_t k = 0; k < rows.size(); ++k) rows[k].effects[i].adjusted_p = adjusted[k];
  }
  return rows;
}

std::string text_of(const Effect& effect, int digits) {
  const PairedComparison& c = effect.comparison;
  if (!std::isfinite(c.difference)) return "";
  std::string text = fmt::format("{:+.{}f}", c.difference, digits);
  if (std::isfinite(c.interval[0]))
    text += fmt::format(" [{:+.{}f}, {:+.{}f}]", c.interval[0], digits, c.interval[1], digits);
  if (effect.adjusted_p < kSignificant) text += " *";
  return text;
}

// Switches that no data at hand can show.
constexpr std::pair<const char*, const char*> kNotMeasured[] = {
    {"data.rater_mean", "not measured: needs every rater's own ratings"},
    {"data.resampler", "not measured: needs the songs' audio"}};

std::string judge_title(Side judge) {
  return judge == Side::kTextbook ? "corrected evaluation and regression"
                                  : "released evaluation and regression";
}

std::string id_of(const Judged& j) {
  return as_id(fmt::format("defects_{}_{}_by_{}", j.data.name, j.model, name_of(j.judge)));
}

Cell text_cell(std::string text) {
  if (text.empty()) return std::monostate{};
  return text;
}

ResultTable summary_table(const Judged& j, const std::vector<SwitchRow>& rows) {
  ResultTable table{
      .id = id_of(j),
      .title = fmt::format("What each switch is worth, {}, from {}; judged by the {}", j.data.name, j.model,
                           judge_title(j.judge)),
      .measured = j.measured,
      .notes = fmt::format("First row: the unchanged runs. Below: change of the mean when this switch alone "
                           "is turned, paired over seeds, with its 95 % interval; * where p (exact sign "
                           "flips over seeds, Holm within the column) is below {}. MRR, R² and R: above "
                           "0 is better; AR: below 0 is better. R², R: support vector regression on all "
                           "heads of the music encoder, test songs of the run's own split.",
                           kSignificant),
      .columns = {{"kind", "kind", "", -1}, {"switch", "switch", "", -1}, {"turned", "turned", "", -1}},
      .rows = {},
      .listed = true};
  std::vector<Cell> base = {"base", j.model, std::monostate{}};
  for (const Measure& measure : kMeasures) {
    table.columns.push_back({fmt::format("{}_{}", measure.family, measure.part), measure.title, "", -1});
    const double value = over_seeds(measure, read(measure, j.base, home_of(measure, j.judge)));
    base.push_back(text_cell(std::isfinite(value) ? fmt::format("{:.{}f}", value, measure.digits) : ""));
  }
  table.rows.push_back(std::move(base));
  for (const SwitchRow& row : rows) {
    std::vector<Cell> cells = {row.kind, row.key, text_cell(row.change)};
    for (std::size_t i = 0; i < kMeasures.size(); ++i)
      cells.push_back(text_cell(text_of(row.effects[i], kMeasures[i].digits)));
    table.rows.push_back(std::move(cells));
  }
  for (const auto& [key, why] : kNotMeasured) {
    std::vector<Cell> cells = {"data", key, why};
    cells.resize(table.columns.size());
    table.rows.push_back(std::move(cells));
  }
  return table;
}

// The numbers of one family, for figures and CSV.
ResultTable family_table(const Judged& j, const std::vector<SwitchRow>& rows, const std::string& family,
                         const std::string& title) {
  ResultTable table{.id = fmt::format("{}_{}", id_of(j), family),
                    .title = fmt::format("{} of each switch, {}, from {}; judged by the {}", title,
                                         j.data.name, j.model, judge_title(j.judge)),
                    .measured = j.measured,
                    .notes = "",
                    .columns = {{"kind", "kind", "", -1},
                                {"switch", "switch", "", -1},
                                {"turned", "turned", "", -1},
                                {"part", "of", "", -1},
                                {"seeds", "seeds", "", -1},
                                {"base", "base", "", -1},
                                {"value", "value", "", -1}},
                    .rows = {},
                    .listed = false};
  add_difference_columns(table.columns, family, "change of " + title, "", -1);
  add_test_columns(table.columns, family);
  for (std::size_t i = 0; i < kMeasures.size(); ++i) {
    if (kMeasures[i].family != family) continue;
    for (const SwitchRow& row : rows) {
      const Effect& effect = row.effects[i];
      if (effect.comparison.n == 0) continue;
      std::vector<Cell> cells = {row.kind,
                                 row.key,
                                 text_cell(row.change),
                                 kMeasures[i].part_title,
                                 std::int64_t{effect.comparison.n},
                                 cell(effect.base),
                                 cell(effect.value)};
      add_cells(cells, effect.comparison, effect.adjusted_p);
      add_test_cells(cells, effect.comparison);
      table.rows.push_back(std::move(cells));
    }
  }
  return table;
}

void add_tables(ExperimentResults& results, const Judged& j) {
  const std::vector<SwitchRow> rows = rows_of(j);
  results.tables.push_back(summary_table(j, rows));
  for (const auto& [family, title] : kFamilies) {
    ResultTable table = family_table(j, rows, family, title);
    const std::string key = std::string(family) + "_change";
    results.figures.push_back(
        {.kind = Figure::Kind::kInterval,
         .id = table.id,
         .title = table.title,
         .caption = "Change of the mean over seeds when the switch alone is turned, 95 % interval.",
         .table = table.id,
         .x = key,
         .y = "switch",
         .low = key + "_low",
         .high = key + "_high",
         .color = "kind",
         .facet = "part",
         .tooltip = {"turned", "base", "value"}});
    results.tables.push_back(std::move(table));
  }
}

}  // namespace

ExperimentResults gather_defects(const ExperimentPlan& plan, MeasuredRuns runs) {
  ExperimentResults results{plan.name, plan.preset, {}, {}, {}};
  for (const StudyData& data : plan.data) {
    for (const std::string& model : models_of(runs, data.name)) {
      std::vector<MeasuredRun> all;
      for (const MeasuredRun& run : runs)
        if (run.run->data == data.name && model_of(*run.run) == model) all.push_back(run);
      for (const Side judge : {Side::kTextbook, Side::kReleased}) {
        Judged j{plan, data, model, judge, {}, {}, measured_on(plan, data, all, "80/20 splits by seed")};
        for (const MeasuredRun& run : all) {
          const std::string change = change_of(*run.run);
          if (change.empty()) {
            j.base.push_back(run);
            continue;
          }
          auto found = std::find_if(j.variants.begin(), j.variants.end(),
                                    [&](const auto& v) { return v.first == change; });
          if (found == j.variants.end()) found = j.variants.insert(j.variants.end(), {change, {}});
          found->second.push_back(run);
        }
        if (j.base.empty())
          fail_usage("{}: {} on {} has changed runs and no unchanged one to compare them with", plan.name,
                     model, data.name);
        add_tables(results, j);
      }
    }
    if (!models_of(runs, data.name).empty()) add_data_remarks(results, data);
  }
  results.remarks.push_back(
      "data.rater_mean and data.resampler are not measured: they need every rater's own ratings and the "
      "songs' audio.");
  results.remarks.push_back(
      "analysis.* changes no MRR, AR or R²: the analysis experiment shows what it changes.");
  return results;
}

}  // namespace emer
