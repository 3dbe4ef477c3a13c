// The regression experiment: valence and arousal from the learnt music features over ten folds, by the textbook protocol
// and by the released one.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "core/check.h"
#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/published_figures.h"
#include "engine/reproduce/regression_literature.h"
#include "engine/reproduce/result_rows.h"
#include "engine/reproduce/run_outputs.h"
#include "engine/reproduce/run_probes.h"
#include "engine/reproduce/switches.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

constexpr Side kProtocols[] = {Side::kTextbook, Side::kReleased};

ProbeOptions options_of(const Config& config, Side protocol) {
  return on_side(config, "probe", protocol).probe;
}

Json listed(const std::vector<FoldOutcome>& outcomes) {
  Json list = Json::array();
  for (const FoldOutcome& outcome : outcomes) list.push_back(to_json(outcome));
  return list;
}

// Baselines, from the music as it came: key, title.
constexpr std::pair<const char*, const char*> kBaselines[] = {
    {"mean", "mean of the training songs"},
    {"ridge", "ridge regression, raw features"},
    {"svr", "support vector regression, raw features"}};

}  // namespace

Json measure_regression(const ExperimentPlan& plan, const PlannedRun& run, const std::string& out,
                        int threads) {
  const RunOutputs outputs = open_run(run, out, threads);
  const ProbedRun probed(outputs, run, plan.settings);
  Json values;
  values["fold"] = run.fold;
  for (const Side protocol : kProtocols) {
    const ProbeOptions options = options_of(run.config, protocol);
    for (const FeatureSet set : kFeatureSets)
      values["protocols"][name_of(protocol)][name_of(set)] = listed(probed.outcomes(set, options));
    if (!measures_baselines(plan, run)) continue;
    Json& baselines = values["baselines"][name_of(protocol)];
    baselines["mean"] = listed(probed.mean_only(options));
    baselines["ridge"] = listed(probed.raw_ridge(options));
    baselines["svr"] = listed(probed.raw_outcomes(options));
  }
  return values;
}

namespace {

struct Predictor {
  std::string title;
  std::map<std::string, RegressionSummary> targets;  // by name
};

// Outcomes under `path` of every run, a fold each, by target.
Predictor predictor_of(const std::string& title, const std::vector<MeasuredRun>& runs,
                       const std::string& path, Side protocol) {
  std::map<std::string, std::vector<FoldOutcome>> by_target;
  for (const MeasuredRun& run : runs) {
    const std::string label = fmt::format("measures of {}", run.run->id);
    const Json& list = value_at(run.values, path, label);
    if (!list.is_array()) fail_input("{}: {} is not a list", label, path);
    for (const Json& json : list) {
      FoldOutcome outcome = fold_outcome_from_json(json, label + ", " + path);
      by_target[outcome.target].push_back(std::move(outcome));
    }
  }
  Predictor predictor{title, {}};
  for (const auto& [target, outcomes] : by_target) try {
      predictor.targets[target] = summarise_folds(outcomes, options_of(runs.front().run->config, protocol));
    } catch (const Error& error) {
      fail_input("measures of {} and other runs, {}: {}", runs.front().run->id, path, error.what());
    }
  return predictor;
}

std::vector<Predictor> predictors_of(MeasuredRuns runs, const std::string& data, Side protocol) {
  std::vector<Predictor> predictors;
  std::vector<MeasuredRun> with_baselines;
  for (const MeasuredRun& run : runs)
    if (run.run->data == data && run.values.contains("baselines")) with_baselines.push_back(run);
  if (!with_baselines.empty())
    for (const auto& [key, title] : kBaselines)
      predictors.push_back(predictor_of(title, with_baselines,
                                        fmt::format("baselines/{}/{}", name_of(protocol), key), protocol));
  for (const std::string& model : models_of(runs, data)) {
    std::vector<MeasuredRun> own;
    for (const MeasuredRun& run : runs)
      if (run.run->data == data && model_of(*run.run) == model) own.push_back(run);
    for (const FeatureSet set : kFeatureSets)
      predictors.push_back(predictor_of(fmt::format("{}: {}", model, name_of(set)), own,
                                        fmt::format("protocols/{}/{}", name_of(protocol), name_of(set)),
                                        protocol));
  }
  return predictors;
}

std::string protocol_title(Side protocol) {
  return protocol == Side::kTextbook ? "textbook protocol" : "released protocol";
}

std::string protocol_notes(Side protocol) {
  return protocol == Side::kTextbook
             ? "Features standardised inside the fold; C, gamma and epsilon chosen by inner folds of the "
               "training songs; "
               "R is Pearson's; the target is the mean rating. Mean and deviation over folds."
             : "As the released script: raw features, parameters chosen by the mean R² of the test folds "
               "themselves, R "
               "the root of R², log-variance features lost (mean_log_variance is the mean alone), and the "
               "names of "
               "valence and arousal swapped. Mean and deviation over folds.";
}

void add_score_columns(std::vector<Column>& columns) {
  for (const auto& [key, title] : {std::pair{"rmse", "RMSE"}, std::pair{"r", "R"}, std::pair{"r2", "R²"}}) {
    columns.push_back({key, title, "", 4});
    columns.push_back({std::string(key) + "_sd", "sd", "", 4});
  }
}

ResultTable protocol_table(const StudyData& data, Side protocol, const std::vector<Predictor>& predictors,
                           const std::string& measured) {
  ResultTable table{
      .id = fmt::format("regression_{}_{}", data.name, name_of(protocol)),
      .title = fmt::format("Regression, {}, {}", data.name, protocol_title(protocol)),
      .measured = measured,
      .notes = protocol_notes(protocol),
      .columns = {{"target", "target", "", -1}, {"features", "features", "", -1}, {"folds", "folds", "", -1}},
      .rows = {},
      .listed = true};
  add_score_columns(table.columns);
  for (const char* target : {"valence", "arousal"})
    for (const Predictor& predictor : predictors) {
      const auto found = predictor.targets.find(target);
      if (found == predictor.targets.end()) continue;
      const RegressionSummary& s = found->second;
      std::vector<Cell> row = {target, predictor.title, std::int64_t{s.folds}};
      for (const OverFolds* over : {&s.rmse, &s.r, &s.r2}) {
        row.push_back(cell(over->mean));
        row.push_back(cell(over->deviation));
      }
      table.rows.push_back(std::move(row));
    }
  return table;
}

// Every fold, for box plots.
ResultTable folds_table(const StudyData& data, Side protocol, const std::vector<Predictor>& predictors,
                        const std::string& measured) {
  ResultTable table{
      .id = fmt::format("regression_{}_{}_folds", data.name, name_of(protocol)),
      .title = fmt::format("Regression, {}, {}, fold by fold", data.name, protocol_title(protocol)),
      .measured = measured,
      .notes = "",
      .columns = {{"target", "target", "", -1},
                  {"features", "features", "", -1},
                  {"fold", "fold", "", -1},
                  {"rmse", "RMSE", "", -1},
                  {"r", "R", "", -1},
                  {"r2", "R²", "", -1}},
      .rows = {},
      .listed = false};
  for (const Predictor& predictor : predictors)
    for (const auto& [target, summary] : predictor.targets)
      for (std::size_t fold = 0; fold < summary.of_folds.size(); ++fold) {
        const TestScores& s = summary.of_folds[fold];
        table.rows.push_back(
            {target, predictor.title, static_cast<std::int64_t>(fold), cell(s.rmse), cell(s.r), cell(s.r2)});
      }
  return table;
}

// The learnt features against the raw ones, fold by fold.
ResultTable against_raw(const StudyData& data, const std::vector<Predictor>& predictors,
                        const std::string& measured, int resamples) {
  ResultTable table{
      .id = fmt::format("regression_{}_against_raw", data.name),
      .title = fmt::format("Regression, {}, learnt features against raw ones", data.name),
      .measured = measured,
      .notes =
          "Textbook protocol: R² of the learnt features minus R² of support vector regression on the "
          "raw features, paired over folds. Folds share training songs, so interval and p are too "
          "sure of themselves.",
      .columns = {{"target", "target", "", -1}, {"features", "features", "", -1}, {"folds", "folds", "", -1}},
      .rows = {},
      .listed = true};
  add_difference_columns(table.columns, "r2", "R²", "", 4);
  const Predictor* raw = nullptr;
  for (const Predictor& predictor : predictors)
    if (predictor.title == kBaselines[2].second) raw = &predictor;
  if (raw == nullptr) return table;
  std::vector<PairedComparison> comparisons;
  for (const char* target : {"valence", "arousal"})
    for (const Predictor& predictor : predictors) {
      if (predictor.title.find(": ") == std::string::npos) continue;
      const auto ours = predictor.targets.find(target), theirs = raw->targets.find(target);
      if (ours == predictor.targets.end() || theirs == raw->targets.end()) continue;
      std::vector<double> a, b;
      for (std::size_t i = 0; i < std::min(ours->second.of_folds.size(), theirs->second.of_folds.size());
           ++i) {
        const double x = ours->second.of_folds[i].r2, y = theirs->second.of_folds[i].r2;
        if (!std::isfinite(x - y)) continue;
        a.push_back(x);
        b.push_back(y);
      }
      if (a.empty()) continue;
      comparisons.push_back(compare_paired(a, b, resamples, kTableSeed));
      table.rows.push_back({target, predictor.title, static_cast<std::int64_t>(a.size())});
    }
  std::vector<double> p;
  for (const PairedComparison& comparison : comparisons) p.push_back(comparison.p_sign_flip);
  const std::vector<double> adjusted = holm(p);
  for (std::size_t i = 0; i < comparisons.size(); ++i) add_cells(table.rows[i], comparisons[i], adjusted[i]);
  return table;
}

ResultTable published_table(const StudyData& data, const std::vector<Predictor>& released,
                            const std::string& measured) {
  ResultTable table{
      .id = fmt::format("regression_{}_published", data.name),
      .title = fmt::format("Regression, {}, released protocol, beside the published figures", data.name),
      .measured = measured + (data.as_published
                                  ? ""
                                  : "; the published figures are of other features and ratings (VGGish, "
                                    "every rater's own): the rows are not a comparison"),
      .notes =
          "Targets carry the labels of the authors' file. Their script reads column 0 as arousal, where the "
          "files "
          "hold valence, so the two are probably swapped; our rows of the released protocol are swapped "
          "alike. "
          "mean_log_variance: the script never finds the log-variance.",
      .columns = {{"features", "features", "", -1},
                  {"label", "target, as labelled", "", -1},
                  {"source", "source", "", -1},
                  {"rmse", "RMSE", "", 4},
                  {"r", "R", "", 4},
                  {"r2", "R²", "", 4}},
      .rows = {},
      .listed = true};
  for (const PublishedRegression& published : kPublishedRegression) {
    if (data.name != published.data) continue;
    table.rows.push_back(
        {published.features, published.label, "published", published.rmse, published.r, published.r2});
    for (const Predictor& predictor : released) {
      const std::string features = ": " + std::string(published.features);
      const std::size_t at = predictor.title.rfind(features);
      if (at == std::string::npos || at + features.size() != predictor.title.size()) continue;
      const auto found = predictor.targets.find(published.label);
      if (found == predictor.targets.end()) continue;
      const RegressionSummary& s = found->second;
      table.rows.push_back({published.features, published.label,
                            "ours, model " + predictor.title.substr(0, at), cell(s.rmse.mean), cell(s.r.mean),
                            cell(s.r2.mean)});
    }
  }
  return table;
}

void add_notes(ExperimentResults& results, const StudyData& data, Side protocol,
               const std::vector<Predictor>& predictors) {
  for (const Predictor& predictor : predictors)
    for (const auto& [target, summary] : predictor.targets)
      for (const std::string& note : summary.notes)
        results.remarks.push_back(fmt::format("{}, {}, {}, {}: {}", data.name, protocol_title(protocol),
                                              predictor.title, target, note));
}

}  // namespace

ExperimentResults gather_regression(const ExperimentPlan& plan, MeasuredRuns runs) {
  ExperimentResults results{plan.name, plan.preset, {}, {}, {}};
  for (const StudyData& data : plan.data) {
    if (models_of(runs, data.name).empty()) continue;
    const std::string measured =
        measured_on(plan, data, runs, "folds of one permutation, encoders trained per fold");
    for (const Side protocol : kProtocols) {
      const std::vector<Predictor> predictors = predictors_of(runs, data.name, protocol);
      results.tables.push_back(protocol_table(data, protocol, predictors, measured));
      ResultTable folds = folds_table(data, protocol, predictors, measured);
      results.figures.push_back(
          {.kind = Figure::Kind::kBox,
           .id = folds.id,
           .title = fmt::format("R² over folds, {}, {}", data.name, protocol_title(protocol)),
           .caption = "A box a feature set, of the folds' R².",
           .table = folds.id,
           .x = "features",
           .y = "r2",
           .low = "",
           .high = "",
           .color = "",
           .facet = "target",
           .tooltip = {}});
      results.tables.push_back(std::move(folds));
      if (protocol == Side::kTextbook)
        results.tables.push_back(against_raw(data, predictors, measured, plan.settings.resamples));
      else
        results.tables.push_back(published_table(data, predictors, measured));
      add_notes(results, data, protocol, predictors);
    }
    if (std::optional<ResultTable> literature = regression_literature(data.name))
      results.tables.push_back(std::move(*literature));
    add_data_remarks(results, data);
  }
  return results;
}

}  // namespace emer
