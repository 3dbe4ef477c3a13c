// The lambda experiment: trained at each lambda, and lambda and correlation threshold swept over the scores of the runs
// trained at one half.
#include <fmt/format.h>

#include <cmath>
#include <set>
#include <utility>

#include "core/check.h"
#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/result_rows.h"
#include "engine/reproduce/run_outputs.h"
#include "engine/reproduce/study_baselines.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kSweptAt = 0.5;  // the paper's own lambda

bool is_swept(double trained) {
  return std::abs(trained - kSweptAt) < 1e-9;
}

struct Scored {
  const char *key, *evaluation, *title;
  bool as_trained;  // lambda of the evaluation: that of the training, or 0
};
constexpr Scored kScored[] = {{"corrected", "corrected", "corrected evaluation, lambda as trained", true},
                              {"corrected_kl", "corrected", "corrected evaluation, KL term alone", false},
                              {"released", "released", "released evaluation, lambda as trained", true},
                              {"released_kl", "released", "released evaluation, KL term alone", false}};
constexpr std::pair<const char*, const char*> kDirections[] = {{"m2e", "music to emotion"},
                                                               {"e2m", "emotion to music"}};

EvalOptions options_of(const std::string& evaluation, const EvalOptions& configured) {
  return evaluation == "corrected" ? corrected_evaluation(configured) : released_evaluation(configured);
}

Json sweep_of(RunScores& scores, const EvalOptions& options, const StudySettings& settings) {
  const auto grid = scores.sweep(options, settings.lambdas, settings.thresholds);
  Json values = {{"lambdas", settings.lambdas}, {"thresholds", settings.thresholds}};
  for (const char* direction : {"m2e", "e2m"})
    for (const auto& row : grid) {
      std::vector<double> mrr, ar;
      for (const EvaluationResult& result : row) {
        const DirectionResult& d = std::string(direction) == "m2e" ? result.m2e : result.e2m;
        mrr.push_back(d.mrr);
        ar.push_back(d.ar);
      }
      values[direction]["mrr"].push_back(numbers(mrr));
      values[direction]["ar"].push_back(numbers(ar));
    }
  return values;
}

}  // namespace

Json measure_lambda(const ExperimentPlan& plan, const PlannedRun& run, const std::string& out, int threads) {
  const RunOutputs outputs = open_run(run, out, threads);
  RunScores scores(outputs);
  Json values;
  const double trained = run.config.loss.lambda;
  values["lambda"] = trained;
  values["test_songs"] = outputs.test_music.n;
  for (const Scored& scored : kScored) {
    EvalOptions options = options_of(scored.evaluation, run.config.eval);
    options.lambda = scored.as_trained ? trained : 0.0;
    values["evaluations"][scored.key] = to_measure(scores.evaluate(options));
  }
  const StudySettings& settings = plan.settings;
  if (is_swept(trained) && !settings.lambdas.empty() && !settings.thresholds.empty())
    for (const char* evaluation : {"corrected", "released"})
      values["sweep"][evaluation] = sweep_of(scores, options_of(evaluation, run.config.eval), settings);
  if (measures_baselines(plan, run)) values["baselines"] = measure_baselines(data_of(plan, run), run);
  return values;
}

namespace {

// The runs of one model on one data set, and what every table of them says.
struct ModelRuns {
  const ExperimentPlan& plan;
  const StudyData& data;
  std::string model;
  std::vector<MeasuredRun> runs;
  std::string measured;
  int resamples() const { return plan.settings.resamples; }
  std::string id(const std::string& rest) const {
    return fmt::format("lambda_{}_{}_{}", data.name, model, rest);
  }
};

std::set<double> trained_lambdas(const ModelRuns& m) {
  std::set<double> lambdas;
  for (const MeasuredRun& run : m.runs) lambdas.insert(run.run->config.loss.lambda);
  return lambdas;
}

RanksBySeed ranks_at(const ModelRuns& m, double lambda, const std::string& scored,
                     const std::string& direction) {
  RanksBySeed ranks;
  for (const MeasuredRun& run : m.runs)
    if (run.run->config.loss.lambda == lambda)
      add_ranks(ranks, run, fmt::format("evaluations/{}/{}", scored, direction));
  return ranks;
}

std::vector<Cell> rank_cells(const RanksBySeed& ranks, int resamples) {
  std::vector<Cell> cells = {static_cast<std::int64_t>(ranks.size())};
  for (const char* key : {"mrr", "ar"})
    add_cells(cells, summarise_ranks_by_seed(ranks, rank_metric(key), resamples));
  return cells;
}

void append(std::vector<Cell>& row, const std::vector<Cell>& cells) {
  row.insert(row.end(), cells.begin(), cells.end());
}

void add_rank_columns(std::vector<Column>& columns) {
  columns.push_back({"seeds", "seeds", "", -1});
  add_columns(columns, "mrr", "MRR", "", 4);
  add_columns(columns, "ar", "AR", "rank", 1);
}

ResultTable trained_table(const ModelRuns& m, const Scored& scored) {
  ResultTable table{
      .id = as_id(m.id(scored.key)),
      .title = fmt::format("Lambda of the training, {}, {}: {}", m.data.name, m.model, scored.title),
      .measured = m.measured,
      .notes = scored.as_trained
                   ? "Lambda weighs the CCA term: at 0 the encoders see the KL ranking alone, at 1 the "
                     "correlation alone; they are scored with the same lambda."
                   : "Trained with lambda, scored by the KL term alone.",
      .columns = {{"direction", "direction", "", -1}, {"lambda", "lambda", "", 2}},
      .rows = {},
      .listed = true};
  add_rank_columns(table.columns);
  for (const auto& [direction, title] : kDirections)
    for (const double lambda : trained_lambdas(m)) {
      std::vector<Cell> row = {title, lambda};
      append(row, rank_cells(ranks_at(m, lambda, scored.key, direction), m.resamples()));
      table.rows.push_back(std::move(row));
    }
  return table;
}

// All of the above in one, for the figures.
ResultTable every_table(const ModelRuns& m) {
  ResultTable table{.id = as_id(m.id("all")),
                    .title = fmt::format("Lambda of the training, {}, {}", m.data.name, m.model),
                    .measured = m.measured,
                    .notes = "",
                    .columns = {{"scored", "scored by", "", -1},
                                {"direction", "direction", "", -1},
                                {"lambda", "lambda", "", 2}},
                    .rows = {},
                    .listed = false};
  add_rank_columns(table.columns);
  for (const Scored& scored : kScored)
    for (const auto& [direction, title] : kDirections)
      for (const double lambda : trained_lambdas(m)) {
        std::vector<Cell> row = {scored.title, title, lambda};
        append(row, rank_cells(ranks_at(m, lambda, scored.key, direction), m.resamples()));
        table.rows.push_back(std::move(row));
      }
  return table;
}

Figure line_figure(const ResultTable& table, const std::string& metric, const std::string& title,
                   const std::string& color) {
  return {.kind = Figure::Kind::kLine,
          .id = table.id + "_" + metric,
          .title = title,
          .caption = "Mean over seeds; the band is the 95 % interval.",
          .table = table.id,
          .x = "lambda",
          .y = metric,
          .low = metric + "_low",
          .high = metric + "_high",
          .color = color,
          .facet = "direction",
          .tooltip = {}};
}

// --- the sweep at evaluation time ---

struct Swept {
  std::vector<double> lambdas, thresholds;
  // [run][lambda][threshold]
  std::vector<std::vector<std::vector<double>>> mrr, ar;
};

Swept read_sweep(const ModelRuns& m, const std::string& evaluation, const std::string& direction) {
  Swept swept;
  for (const MeasuredRun& run : m.runs) {
    if (!run.values.contains("sweep")) continue;
    const std::string label = fmt::format("measures of {}", run.run->id);
    const Json& sweep = value_at(run.values, "sweep/" + evaluation, label);
    const std::vector<double> lambdas = read_scores(value_at(sweep, "lambdas", label), label),
                              thresholds = read_scores(value_at(sweep, "thresholds", label), label);
    if (!swept.mrr.empty() && (lambdas != swept.lambdas || thresholds != swept.thresholds))
      fail_input("{}: swept over other lambdas or thresholds than the runs before it", label);
    swept.lambdas = lambdas;
    swept.thresholds = thresholds;
    for (const auto& [key, to] : {std::pair{"mrr", &swept.mrr}, std::pair{"ar", &swept.ar}}) {
      to->emplace_back();
      for (const Json& row : value_at(sweep, direction + "/" + key, label)) {
        to->back().push_back(read_scores(row, label));
        if (to->back().back().size() != swept.thresholds.size())
          fail_input("{}: a row of the sweep has not one value a threshold", label);
      }
      if (to->back().size() != swept.lambdas.size())
        fail_input("{}: the sweep has not one row a lambda", label);
    }
  }
  return swept;
}

Summary over_runs(const std::vector<std::vector<std::vector<double>>>& values, std::size_t l, std::size_t t,
                  int resamples) {
  std::vector<double> of_seeds;
  for (const auto& run : values) of_seeds.push_back(run[l][t]);
  return summarise(of_seeds, resamples, kTableSeed);
}

void add_sweep(ExperimentResults& results, const ModelRuns& m, const std::string& evaluation) {
  ResultTable every{.id = as_id(m.id("sweep_" + evaluation)),
                    .title = fmt::format("Lambda and threshold of the evaluation, {}, {}, {} evaluation",
                                         m.data.name, m.model, evaluation),
                    .measured = m.measured,
                    .notes = "",
                    .columns = {{"direction", "direction", "", -1},
                                {"lambda", "lambda", "", 2},
                                {"threshold", "threshold", "", -1},
                                {"seeds", "seeds", "", -1}},
                    .rows = {},
                    .listed = false};
  add_columns(every.columns, "mrr", "MRR", "", 4);
  add_columns(every.columns, "ar", "AR", "rank", 1);
  for (const auto& [direction, title] : kDirections) {
    const Swept swept = read_sweep(m, evaluation, direction);
    if (swept.mrr.empty()) return;
    ResultTable grid{
        .id = as_id(m.id(fmt::format("sweep_{}_{}_mrr", evaluation, direction))),
        .title = fmt::format("Lambda and threshold of the evaluation, {}, {}, {} evaluation, {}: MRR",
                             m.data.name, m.model, evaluation, title),
        .measured = fmt::format("{}; the runs trained at lambda {:g}", m.measured, kSweptAt),
        .notes =
            "Rows: lambda of the evaluation. Columns: least training correlation of a direction "
            "that counts. Mean over seeds; the CSV of the sweep has deviations and intervals, and AR.",
        .columns = {{"lambda", "lambda", "", 2}},
        .rows = {},
        .listed = true};
    for (const double threshold : swept.thresholds)
      grid.columns.push_back(
          {as_id(fmt::format("threshold_{:g}", threshold)), fmt::format("{:g}", threshold), "", 4});
    for (std::size_t l = 0; l < swept.lambdas.size(); ++l) {
      std::vector<Cell> row = {swept.lambdas[l]};
      for (std::size_t t = 0; t < swept.thresholds.size(); ++t) {
        const Summary mrr = over_runs(swept.mrr, l, t, m.resamples());
        row.push_back(cell(mrr.mean));
        std::vector<Cell> line = {title, swept.lambdas[l], fmt::format("{:g}", swept.thresholds[t]),
                                  std::int64_t{mrr.n}};
        add_cells(line, mrr);
        add_cells(line, over_runs(swept.ar, l, t, m.resamples()));
        every.rows.push_back(std::move(line));
      }
      grid.rows.push_back(std::move(row));
    }
    results.tables.push_back(std::move(grid));
  }
  results.figures.push_back(
      line_figure(every, "mrr",
                  fmt::format("MRR over lambda of the evaluation, {}, {}, {} evaluation", m.data.name,
                              m.model, evaluation),
                  "threshold"));
  results.tables.push_back(std::move(every));
}

// --- the two losses alone, beside baselines ---

ResultTable alone_table(const ExperimentPlan& plan, const StudyData& data,
                        const std::vector<ModelRuns>& models, MeasuredRuns runs,
                        const std::string& measured) {
  ResultTable table{
      .id = fmt::format("lambda_{}_alone", data.name),
      .title = fmt::format("The two losses alone, {}, beside single-direction baselines", data.name),
      .measured = measured,
      .notes =
          "Trained and scored with one term alone, or with both halves. Baselines have no KL term "
          "and the same ranks under both evaluations.",
      .columns = {{"evaluation", "evaluation", "", -1},
                  {"direction", "direction", "", -1},
                  {"what", "what", "", -1}},
      .rows = {},
      .listed = true};
  add_rank_columns(table.columns);
  const auto add = [&](const char* evaluation, const char* direction, const std::string& what,
                       const RanksBySeed& ranks) {
    if (ranks.empty()) return;
    std::vector<Cell> row = {evaluation, direction, what};
    append(row, rank_cells(ranks, plan.settings.resamples));
    table.rows.push_back(std::move(row));
  };
  for (const char* evaluation : {"corrected", "released"})
    for (const auto& [direction, title] : kDirections) {
      for (const StudyBaseline& baseline : study_baselines()) {
        RanksBySeed ranks;
        for (const MeasuredRun& run : runs)
          if (run.run->data == data.name && run.values.contains("baselines"))
            add_ranks(ranks, run, fmt::format("baselines/{}/{}", baseline.name, direction));
        add(evaluation, title, baseline.title, ranks);
      }
      for (const ModelRuns& m : models) {
        if (trained_lambdas(m).size() == 1) {
          add(evaluation, title, m.model, ranks_at(m, *trained_lambdas(m).begin(), evaluation, direction));
          continue;
        }
        for (const auto& [lambda, what] : {std::pair{0.0, "KL ranking alone"}, std::pair{1.0, "CCA alone"},
                                           std::pair{0.5, "both, lambda 0.5"}})
          add(evaluation, title, fmt::format("{}: {}", m.model, what),
              ranks_at(m, lambda, evaluation, direction));
      }
    }
  return table;
}

}  // namespace

ExperimentResults gather_lambda(const ExperimentPlan& plan, MeasuredRuns runs) {
  ExperimentResults results{plan.name, plan.preset, {}, {}, {}};
  for (const StudyData& data : plan.data) {
    std::vector<ModelRuns> models;
    for (const std::string& model : models_of(runs, data.name)) {
      ModelRuns m{plan, data, model, {}, ""};
      for (const MeasuredRun& run : runs)
        if (run.run->data == data.name && model_of(*run.run) == model) m.runs.push_back(run);
      m.measured = measured_on(plan, data, m.runs, "80/20 splits by seed");
      models.push_back(std::move(m));
    }
    if (models.empty()) continue;
    results.tables.push_back(
        alone_table(plan, data, models, runs, measured_on(plan, data, runs, "80/20 splits by seed")));
    for (const ModelRuns& m : models) {
      if (trained_lambdas(m).size() == 1) continue;  // a baseline: nothing varies
      for (const Scored& scored : kScored) results.tables.push_back(trained_table(m, scored));
      results.tables.push_back(every_table(m));
      for (const char* metric : {"mrr", "ar"})
        results.figures.push_back(line_figure(results.tables.back(), metric,
                                              fmt::format("{} over lambda of the training, {}, {}",
                                                          rank_metric(metric).title, data.name, m.model),
                                              "scored"));
      for (const char* evaluation : {"corrected", "released"}) add_sweep(results, m, evaluation);
    }
    add_data_remarks(results, data);
  }
  return results;
}

}  // namespace emer
