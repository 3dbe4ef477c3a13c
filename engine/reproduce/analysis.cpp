// The detailed analysis: all its tables, the figures and what they are drawn from.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "engine/reproduce/analysis_tables.h"
#include "engine/reproduce/result_rows.h"
#include "engine/studies/analysis.h"

namespace emer {
namespace {

using namespace analysis_results;

// Every query of the first seed, for the figures.
ResultTable query_table(const StudyData& data, const std::vector<Entry>& entries,
                        const std::string& measured) {
  ResultTable table{.id = fmt::format("analysis_{}_queries", data.name),
                    .title = fmt::format("Every query, {}", data.name),
                    .measured = measured + "; first seed",
                    .notes = "",
                    .columns = {{"panel", "panel", "", -1},
                                {"model", "model", "", -1},
                                {"song", "song id", "", -1},
                                {"place", "place by rank", "", -1},
                                {"rank", "rank", "rank", 1},
                                {"group", "group", "", -1},
                                {"category", "category", "", -1},
                                {"cosine", "cosine similarity", "", 4},
                                {"precision", "average precision", "", 4},
                                {"entropy", "entropy", "bit", 4}},
                    .rows = {},
                    .listed = false};
  for (const Entry& entry : entries) {
    if (entry.model == kChance) continue;
    const auto& [run, q] = entry.runs.front();
    const std::string label = fmt::format("measures of {}", run->run->id);
    const bool told = by_categories(entry);  // else the same as beside it
    const std::vector<std::int64_t> songs = ids(run->values, "song_id", label);
    std::vector<std::size_t> order(q.rank.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return q.rank[a] < q.rank[b]; });
    for (std::size_t place = 0; place < order.size(); ++place) {
      const std::size_t i = order[place];
      table.rows.push_back({fmt::format("{}, {}", entry.side->title, entry.direction->title), entry.model,
                            songs[i], static_cast<std::int64_t>(place + 1), q.rank[i],
                            kRankGroupNames[static_cast<int>(q.group[i])],
                            category_name(static_cast<int>(q.category[i])), cell(q.cosine[i]),
                            told ? cell(q.precision[i]) : Cell{}, told ? cell(q.entropy[i]) : Cell{}});
    }
  }
  return table;
}

// Emotion to music, textbook side: of the answers to queries of a category, the share of each category.
ResultTable share_table(const StudyData& data, const std::vector<Entry>& entries,
                        const std::string& measured) {
  ResultTable table{.id = fmt::format("analysis_{}_shares", data.name),
                    .title = fmt::format("Categories retrieved for each category, {}", data.name),
                    .measured = measured,
                    .notes = "",
                    .columns = {{"model", "model", "", -1},
                                {"asked", "query's category", "", -1},
                                {"retrieved", "category retrieved", "", -1},
                                {"queries", "queries", "", -1},
                                {"share", "share of the answers", "", 4}},
                    .rows = {},
                    .listed = false};
  for (const Entry& entry : entries) {
    if (std::string(entry.direction->key) != "e2m" || std::string(entry.side->key) != "textbook") continue;
    for (int asked = 0; asked < kEmotionCategories; ++asked) {
      std::array<double, kEmotionCategories> counts{};
      std::int64_t queries = 0;
      double answers = 0.0;
      for (const auto& [run, q] : entry.runs)
        for (std::size_t i = 0; i < q.category.size(); ++i) {
          if (q.category[i] != asked) continue;
          ++queries;
          for (int c = 0; c < kEmotionCategories; ++c) {
            counts[c] += q.retrieved[i * kEmotionCategories + static_cast<std::size_t>(c)];
            answers += q.retrieved[i * kEmotionCategories + static_cast<std::size_t>(c)];
          }
        }
      if (queries == 0) continue;
      for (int c = 0; c < kEmotionCategories; ++c)
        table.rows.push_back(
            {entry.model, category_name(asked), category_name(c), queries, cell(counts[c] / answers)});
    }
  }
  return table;
}

void add_figures(ExperimentResults& results, const StudyData& data) {
  const std::string queries = fmt::format("analysis_{}_queries", data.name);
  const auto box = [&](const char* value, const char* title) {
    results.figures.push_back(
        {.kind = Figure::Kind::kBox,
         .id = fmt::format("analysis_{}_{}_box", data.name, value),
         .title = fmt::format("{} by group, {}", title, data.name),
         .caption = "Queries of the first seed; good, middle and bad by their match's rank.",
         .table = queries,
         .x = "group",
         .y = value,
         .low = "",
         .high = "",
         .color = "model",
         .facet = "panel",
         .tooltip = {}});
  };
  box("cosine", "Cosine similarity of the first answers");
  box("precision", "Average precision");
  box("entropy", "Entropy of the categories retrieved");
  results.figures.push_back(
      {.kind = Figure::Kind::kScatter,
       .id = fmt::format("analysis_{}_cosine_by_place", data.name),
       .title = fmt::format("Cosine similarity of every query, {}", data.name),
       .caption = "Queries of the first seed in the order of their match's rank, as the paper's bars.",
       .table = queries,
       .x = "place",
       .y = "cosine",
       .low = "",
       .high = "",
       .color = "model",
       .facet = "panel",
       .tooltip = {"song", "rank", "group", "category"}});
  results.figures.push_back(
      {.kind = Figure::Kind::kBar,
       .id = fmt::format("analysis_{}_shares", data.name),
       .title = fmt::format("Categories retrieved for each category, {}", data.name),
       .caption =
           "Emotion to music, textbook side, all seeds together; one panel for each category asked for.",
       .table = fmt::format("analysis_{}_shares", data.name),
       .x = "share",
       .y = "retrieved",
       .low = "",
       .high = "",
       .color = "model",
       .facet = "asked",
       .tooltip = {"queries"}});
}

void add_remarks(ExperimentResults& results, const StudyData& data, const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    std::size_t songs = 0;
    for (const auto& [run, queries] : entry.runs) songs = std::max(songs, queries.zero_features.size());
    if (songs == 0 || entry.model == kChance || std::string(entry.side->key) != "textbook") continue;
    const auto& first = std::find_if(entry.runs.begin(), entry.runs.end(), [&](const auto& run) {
                          return run.second.zero_features.size() == songs;
                        })->second;
    results.remarks.push_back(
        fmt::format("{}, {}, {}: {} of a seed's test songs have features of zeros, whose cosine is undefined "
                    "and left out: song {}{}.",
                    data.name, entry.direction->title, entry.model, songs, first.zero_features.front(),
                    songs > 1 ? " and others" : ""));
  }
}

}  // namespace

ExperimentResults gather_analysis(const ExperimentPlan& plan, MeasuredRuns runs) {
  ExperimentResults results{plan.name, plan.preset, {}, {}, {}};
  for (const StudyData& data : plan.data) {
    const std::vector<std::string> models = models_of(runs, data.name);
    if (models.empty()) continue;
    const std::string measured =
        measured_on(plan, data, runs, "80/20 splits by seed, every test song ranked among all test songs");
    const std::vector<Entry> entries = entries_of(runs, data.name);
    results.tables.push_back(cosine_table(plan, data, entries, measured));
    results.tables.push_back(group_table(data, entries, measured));
    results.tables.push_back(category_table(plan, data, entries, measured));
    results.tables.push_back(switch_table(data, models.front(), runs, measured));
    results.tables.push_back(query_table(data, entries, measured));
    results.tables.push_back(share_table(data, entries, measured));
    add_figures(results, data);
    add_data_remarks(results, data);
    add_remarks(results, data, entries);
  }
  return results;
}

}  // namespace emer
