// The retrieval experiment: every model and baseline under the released and the corrected evaluation, both directions.
#include <fmt/format.h>

#include <utility>

#include "engine/baselines.h"
#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/result_rows.h"
#include "engine/reproduce/run_outputs.h"
#include "engine/reproduce/study_baselines.h"

namespace emer {

nlohmann::ordered_json measure_retrieval(const ExperimentPlan& plan, const PlannedRun& run,
                                         const std::string& out, int threads) {
  const RunOutputs outputs = open_run(run, out, threads);
  RunScores scores(outputs);
  nlohmann::ordered_json values;
  values["step"] = outputs.session.step;
  values["train_songs"] = outputs.train_music.n;
  values["test_songs"] = outputs.test_music.n;
  values["evaluations"]["corrected"] = to_measure(scores.evaluate(corrected_evaluation(run.config.eval)));
  values["evaluations"]["released"] = to_measure(scores.evaluate(released_evaluation(run.config.eval)));
  if (measures_baselines(plan, run)) values["baselines"] = measure_baselines(data_of(plan, run), run);
  return values;
}

namespace {

struct Block {
  const char *evaluation, *direction;
  const char *evaluation_title, *direction_title;
};
constexpr Block kBlocks[] = {{"corrected", "m2e", "corrected evaluation", "music to emotion"},
                             {"corrected", "e2m", "corrected evaluation", "emotion to music"},
                             {"released", "m2e", "released evaluation", "music to emotion"},
                             {"released", "e2m", "released evaluation", "emotion to music"}};

struct Entry {
  std::string name, title;
  bool baseline = false;
  RanksBySeed ranks;
};

// Baselines have no KL term, so both evaluations rank them alike.
std::vector<Entry> entries_of(MeasuredRuns runs, const std::string& data, const Block& block) {
  std::vector<Entry> entries;
  for (const StudyBaseline& baseline : study_baselines()) {
    Entry entry{baseline.name, baseline.title, true, {}};
    for (const MeasuredRun& run : runs)
      if (run.run->data == data && run.values.contains("baselines"))
        add_ranks(entry.ranks, run, fmt::format("baselines/{}/{}", baseline.name, block.direction));
    if (!entry.ranks.empty()) entries.push_back(std::move(entry));
  }
  for (const std::string& model : models_of(runs, data)) {
    Entry entry{model, model, false, {}};
    for (const MeasuredRun& run : runs)
      if (run.run->data == data && model_of(*run.run) == model)
        add_ranks(entry.ranks, run, fmt::format("evaluations/{}/{}", block.evaluation, block.direction));
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<Cell> chance_row(int songs) {
  const ChanceLevel chance = chance_level(songs);
  const std::monostate none;
  return {"chance",
          chance.mrr,
          none,
          none,
          none,
          chance.ar,
          none,
          none,
          none,
          0.5 * (songs + 1),
          chance.recall_at[0],
          chance.recall_at[1],
          chance.recall_at[2]};
}

ResultTable block_table(const ExperimentPlan& plan, const StudyData& data, const Block& block,
                        const std::vector<Entry>& entries, const std::string& measured) {
  ResultTable table;
  table.id = fmt::format("retrieval_{}_{}_{}", data.name, block.evaluation, block.direction);
  table.title =
      fmt::format("Retrieval, {}, {}, {}", data.name, block.evaluation_title, block.direction_title);
  table.measured = measured;
  table.notes =
      std::string(block.evaluation) == "corrected"
          ? "The query's own rows of the KL term, mean rank of ties, terms standardised over the candidates."
          : "As the released code scores: ties by index, raw terms, and row i of the KL term belongs to the "
            "partner of "
            "query i (B1, B2). With that term alone the two directions are exchanged; mixed with the CCA "
            "term, a query "
            "is scored by its own answer too, which no real query has.";
  table.columns = {{"model", "model", "", -1}};
  add_columns(table.columns, "mrr", "MRR", "", 4);
  add_columns(table.columns, "ar", "AR", "rank", 1);
  table.columns.push_back({"median", "median rank", "", 1});
  for (const char* key : {"r1", "r5", "r10"}) table.columns.push_back({key, rank_metric(key).title, "", 4});
  int songs = 0;
  for (const Entry& entry : entries) songs = static_cast<int>(entry.ranks.begin()->second.size());
  table.rows.push_back(chance_row(songs));
  const int resamples = plan.settings.resamples;
  for (const Entry& entry : entries) {
    std::vector<Cell> row = {entry.title};
    for (const char* key : {"mrr", "ar"})
      add_cells(row, summarise_ranks_by_seed(entry.ranks, rank_metric(key), resamples));
    row.push_back(cell(mean_median_rank(entry.ranks)));
    for (const char* key : {"r1", "r5", "r10"})
      row.push_back(cell(summarise_ranks_by_seed(entry.ranks, rank_metric(key), 1).mean));
    table.rows.push_back(std::move(row));
  }
  return table;
}

// Every model and metric of every block, for figures and CSV.
ResultTable every_table(const StudyData& data, const std::string& measured) {
  ResultTable table{
      .id = fmt::format("retrieval_{}_all", data.name),
      .title = fmt::format("Retrieval, {}, every metric", data.name),
      .measured = measured,
      .notes = "",
      .columns = {{"block", "block", "", -1}, {"model", "model", "", -1}, {"seeds", "seeds", "", -1}},
      .rows = {},
      .listed = false};
  for (const RankMetric& metric : rank_metrics())
    add_columns(table.columns, metric.key, metric.title, metric.unit, metric.digits);
  return table;
}

void add_to_every(ResultTable& table, const Block& block, const std::vector<Entry>& entries, int resamples) {
  for (const Entry& entry : entries) {
    std::vector<Cell> row = {fmt::format("{}, {}", block.evaluation_title, block.direction_title),
                             entry.title, static_cast<std::int64_t>(entry.ranks.size())};
    for (const RankMetric& metric : rank_metrics())
      add_cells(row, summarise_ranks_by_seed(entry.ranks, metric, resamples));
    table.rows.push_back(std::move(row));
  }
}

// Each model against ridge regression in every block.
class AgainstRidge {
 public:
  AgainstRidge(const StudyData& data, const std::string& measured, int resamples) : resamples_(resamples) {
    table_.id = fmt::format("retrieval_{}_against_ridge", data.name);
    table_.title = fmt::format("Retrieval, {}, against ridge regression", data.name);
    table_.measured = measured;
    table_.notes =
        "Model minus ridge, paired over seeds and songs: MRR above 0 and AR below 0 are better than ridge. "
        "p: exact "
        "sign flips over seeds; adjusted by Holm within the column.";
    table_.columns = {
        {"evaluation", "evaluation", "", -1}, {"direction", "direction", "", -1}, {"model", "model", "", -1}};
    add_difference_columns(table_.columns, "mrr", "MRR", "", 4);
    add_difference_columns(table_.columns, "ar", "AR", "rank", 1);
  }

  void add(const Block& block, const std::vector<Entry>& entries) {
    for (const Entry& ridge : entries) {
      if (!ridge.baseline || ridge.name != "ridge") continue;
      for (const Entry& entry : entries) {
        if (&entry == &ridge) continue;
        table_.rows.push_back({block.evaluation_title, block.direction_title, entry.title});
        mrr_.push_back(compare_ranks(entry.ranks, ridge.ranks, rank_metric("mrr"), resamples_));
        ar_.push_back(compare_ranks(entry.ranks, ridge.ranks, rank_metric("ar"), resamples_));
      }
    }
  }

  ResultTable finish() {
    const auto adjusted = [](const std::vector<PairedComparison>& comparisons) {
      std::vector<double> p;
      for (const PairedComparison& c : comparisons) p.push_back(c.p_sign_flip);
      return holm(p);
    };
    const std::vector<double> mrr = adjusted(mrr_), ar = adjusted(ar_);
    for (std::size_t i = 0; i < table_.rows.size(); ++i) {
      add_cells(table_.rows[i], mrr_[i], mrr[i]);
      add_cells(table_.rows[i], ar_[i], ar[i]);
    }
    return std::move(table_);
  }

 private:
  int resamples_;
  ResultTable table_;
  std::vector<PairedComparison> mrr_, ar_;
};

Figure metric_figure(const ResultTable& every, const StudyData& data, const RankMetric& metric) {
  const std::string key = metric.key;
  return {.kind = Figure::Kind::kInterval,
          .id = fmt::format("retrieval_{}_{}", data.name, key),
          .title = fmt::format("{} of every model, {}", metric.title, data.name),
          .caption = "Mean over seeds and 95 % interval over seeds and songs.",
          .table = every.id,
          .x = key,
          .y = "model",
          .low = key + "_low",
          .high = key + "_high",
          .color = "",
          .facet = "block",
          .tooltip = {"seeds", key + "_sd"}};
}

}  // namespace

ExperimentResults gather_retrieval(const ExperimentPlan& plan, MeasuredRuns runs) {
  ExperimentResults results{plan.name, plan.preset, {}, {}, {}};
  const int resamples = plan.settings.resamples;
  for (const StudyData& data : plan.data) {
    if (models_of(runs, data.name).empty()) continue;
    const std::string measured =
        measured_on(plan, data, runs, "80/20 splits by seed, every test song ranked among all test songs");
    ResultTable every = every_table(data, measured);
    AgainstRidge against(data, measured, resamples);
    for (const Block& block : kBlocks) {
      const std::vector<Entry> entries = entries_of(runs, data.name, block);
      results.tables.push_back(block_table(plan, data, block, entries, measured));
      add_to_every(every, block, entries, resamples);
      against.add(block, entries);
    }
    for (const char* key : {"mrr", "ar"})
      results.figures.push_back(metric_figure(every, data, rank_metric(key)));
    results.tables.push_back(against.finish());
    results.tables.push_back(std::move(every));
    add_data_remarks(results, data);
  }
  return results;
}

}  // namespace emer
