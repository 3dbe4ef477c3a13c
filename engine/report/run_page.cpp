#include "engine/report/run_page.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <optional>

#include "core/check.h"
#include "engine/baselines.h"
#include "engine/report/run_charts.h"

namespace emer::report {
namespace {

constexpr const char* kNames[] = {"music to emotion", "emotion to music"};

std::string date_text(double seconds) {
  if (!(seconds > 0.0 && seconds < 4e9)) return "";
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", parts);
}

std::string duration_text(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds);
  if (s < 120) return fmt::format("{} s", s);
  if (s < 7200) return fmt::format("{} min", (s + 30) / 60);
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

// Time that passed while steps were taken: a pause between two sessions does not count (a step that takes a hundred
// times the median is taken for one).
double time_spent(const std::vector<MetricsFile::Step>& steps) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < steps.size(); ++i) {
    const double gap = steps[i].time - steps[i - 1].time;
    if (gap >= 0.0) gaps.push_back(gap);
  }
  if (gaps.empty()) return 0.0;
  std::vector<double> sorted = gaps;
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2),
                   sorted.end());
  const double most = std::max(100.0 * sorted[sorted.size() / 2], 60.0);
  double sum = 0.0;
  for (const double gap : gaps) sum += gap < most ? gap : 0.0;
  return sum;
}

// Four digits that count: "469,500", "0.01234".
std::string amount_text(double value) {
  if (!(std::abs(value) >= 1e4 && std::abs(value) < 1e12)) return fmt::format("{:.4g}", value);
  const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 3.0);
  std::string text = fmt::format("{:.0f}", std::round(value / unit) * unit);
  for (std::size_t at = text.size(); at > 3 + (text[0] == '-' ? 1u : 0u); at -= 3) text.insert(at - 3, ",");
  return text;
}

struct EpochLoss {
  double first = std::nan(""), last = std::nan("");
};
// Mean loss of the first and the last epoch.
EpochLoss epoch_loss(const std::vector<MetricsFile::Step>& steps) {
  if (steps.empty()) return {};
  const auto mean_of = [&](std::int64_t epoch) {
    double sum = 0.0;
    int count = 0;
    for (const MetricsFile::Step& step : steps)
      if (step.epoch == epoch) {
        sum += step.loss;
        ++count;
      }
    return sum / count;
  };
  return {mean_of(steps.front().epoch), mean_of(steps.back().epoch)};
}

std::string status_text(const RunData& run) {
  if (run.checkpoints.empty()) return "no checkpoint";
  const CheckpointFacts& last = run.checkpoints.front();
  if (last.stopped_early) return fmt::format("stopped early after epoch {}", last.epoch);
  if (!run.config) return fmt::format("at epoch {}", last.epoch);
  if (last.epoch >= run.config->train.epochs) return fmt::format("finished after {} epochs", last.epoch);
  return fmt::format("unfinished: epoch {} of {}", last.epoch, run.config->train.epochs);
}

std::string against_chance(const DirectionFigures& d, double chance) {
  if (std::isnan(d.ar_interval[0])) return "";
  if (d.ar_interval[1] < chance) return "better than chance";
  if (d.ar_interval[0] > chance) return "worse than chance";
  return "not clearly different from chance";
}

std::string verdict(const RunData& run, const std::optional<EvaluationFigures>& evaluation) {
  std::string text;
  const EpochLoss loss = epoch_loss(run.metrics.steps);
  if (std::isfinite(loss.first) && std::isfinite(loss.last))
    text = fmt::format("In {} steps the mean loss of an epoch went from {} to {}. ",
                       run.metrics.steps.back().step, amount_text(loss.first), amount_text(loss.last));
  else if (!run.metrics.steps.empty())
    text = "The loss is not a number at the beginning or the end of this run. ";
  if (!evaluation) return text + "How well it retrieves has not been evaluated.";
  const double chance = chance_level(evaluation->songs).ar;
  const auto side = [&](std::size_t d) {
    const DirectionFigures& f = evaluation->direction[d];
    const std::string interval = std::isnan(f.ar_interval[0])
                                     ? ""
                                     : fmt::format(" (95% interval {:.1f} to {:.1f}, {})", f.ar_interval[0],
                                                   f.ar_interval[1], against_chance(f, chance));
    return fmt::format("at rank {:.1f}{}", f.ar, interval);
  };
  return text +
         fmt::format(
             "Among {} test songs a song finds its own emotion curve {} on average, an emotion curve its "
             "own song {}; chance is {:.1f}.",
             evaluation->songs, side(0), side(1), chance);
}

std::string interval_note(const std::array<double, 2>& interval, double chance, int digits) {
  const std::string by_chance = fmt::format("chance {:.{}f}", chance, digits);
  if (std::isnan(interval[0])) return by_chance;
  return fmt::format("{:.{}f} to {:.{}f} · {}", interval[0], digits, interval[1], digits, by_chance);
}

std::vector<Tile> tiles(const RunData& run, const std::optional<EvaluationFigures>& evaluation) {
  std::vector<Tile> out;
  if (evaluation) {
    const ChanceLevel chance = chance_level(evaluation->songs);
    for (std::size_t d = 0; d < 2; ++d) {
      const DirectionFigures& f = evaluation->direction[d];
      out.push_back({fmt::format("MRR, {}", kNames[d]), fmt::format("{:.4f}", f.mrr),
                     interval_note(f.mrr_interval, chance.mrr, 4)});
      out.push_back({fmt::format("Average rank, {}", kNames[d]), fmt::format("{:.1f}", f.ar),
                     interval_note(f.ar_interval, chance.ar, 1)});
    }
  }
  if (!run.metrics.steps.empty()) {
    const MetricsFile::Step& last = run.metrics.steps.back();
    out.push_back(
        {"Last loss", amount_text(last.loss), fmt::format("step {}, epoch {}", last.step, last.epoch)});
    const double spent = time_spent(run.metrics.steps);
    if (spent > 0.0)
      out.push_back(
          {"Time in training", duration_text(spent), fmt::format("{} steps", run.metrics.steps.size())});
  }
  return out;
}

std::string measured_text(const RunData& run, const EvaluationFigures& e) {
  std::string text = fmt::format("{} {} songs", e.songs, e.split.empty() ? "test" : e.split);
  if (!e.data.empty()) text += fmt::format(" of {}", e.data.substr(e.data.find_last_of('/') + 1));
  if (e.train_songs > 0) text += fmt::format(", trained on {}", e.train_songs);
  if (e.step >= 0) text += fmt::format(", checkpoint of step {}", e.step);
  if (run.config) text += fmt::format(", split seed {}", run.config->data.split.seed);
  return text;
}

std::vector<Cell> retrieval_row(const std::string& way, const std::string& who, const DirectionFigures& f) {
  const auto cell = [](double v) { return std::isnan(v) ? Cell() : Cell(v); };
  return {way,
          who,
          cell(f.mrr),
          cell(f.mrr_interval[0]),
          cell(f.mrr_interval[1]),
          cell(f.ar),
          cell(f.ar_interval[0]),
          cell(f.ar_interval[1]),
          cell(f.median_rank),
          cell(100 * f.recall_at[0]),
          cell(100 * f.recall_at[1]),
          cell(100 * f.recall_at[2])};
}

ResultTable retrieval_table(const RunData& run, const EvaluationFigures& e) {
  ResultTable table{
      "retrieval",
      "Retrieval",
      measured_text(run, e),
      "MRR: mean of 1/rank, higher is better. AR: average rank, lower is better. Intervals: 95%, resampled "
      "queries.",
      {{"direction", "direction", "", -1},
       {"method", "method", "", -1},
       {"mrr", "MRR", "", 4},
       {"mrr_low", "from", "", 4},
       {"mrr_high", "to", "", 4},
       {"ar", "AR", "rank", 1},
       {"ar_low", "from", "", 1},
       {"ar_high", "to", "", 1},
       {"median", "median", "rank", 1},
       {"r1", "R@1", "%", 1},
       {"r5", "R@5", "%", 1},
       {"r10", "R@10", "%", 1}},
      {}};
  const ChanceLevel level = chance_level(e.songs);
  const double nan = std::nan("");
  for (std::size_t d = 0; d < 2; ++d) {
    table.rows.push_back(retrieval_row(kNames[d], "this model", e.direction[d]));
    for (const auto& baseline : e.baselines)
      table.rows.push_back(retrieval_row(
          kNames[d],
          baseline.what.empty() ? baseline.name : fmt::format("{}: {}", baseline.name, baseline.what),
          baseline.direction[d]));
    table.rows.push_back(retrieval_row(kNames[d], "chance",
                                       {.mrr = level.mrr,
                                        .ar = level.ar,
                                        .median_rank = nan,
                                        .recall_at = level.recall_at,
                                        .mrr_interval = {nan, nan},
                                        .ar_interval = {nan, nan},
                                        .ranks = {}}));
  }
  return table;
}

ResultTable song_table(const RunData& run, const RetrievalMap& map) {
  ResultTable table{"songs",
                    "Every test song",
                    measured_text(run, map.evaluation),
                    "Rank of the match, 1 is best; click a heading to sort.",
                    {{"song", "song", "", -1},
                     {"title", "title", "", -1},
                     {"valence", "valence", "", 2},
                     {"arousal", "arousal", "", 2},
                     {"m2e", "rank, music to emotion", "", -1},
                     {"e2m", "rank, emotion to music", "", -1},
                     {"answer", "first emotion found", "", -1},
                     {"song_answer", "first song found", "", -1}},
                    {}};
  const auto name = [&](int index) {
    const MapSong& song = map.songs[static_cast<std::size_t>(index)];
    return song.title.empty() ? fmt::format("{}", song.id) : fmt::format("{} {}", song.id, song.title);
  };
  for (std::size_t i = 0; i < map.queries[0].size(); ++i) {
    const MapQuery &m2e = map.queries[0][i], &e2m = map.queries[1][i];
    const MapSong& song = map.songs[static_cast<std::size_t>(m2e.song)];
    table.rows.push_back({song.id, song.title, song.valence, song.arousal, m2e.rank, e2m.rank,
                          name(m2e.answers.front()), name(e2m.answers.front())});
  }
  const bool titled =
      std::any_of(map.songs.begin(), map.songs.end(), [](const MapSong& s) { return !s.title.empty(); });
  if (titled) return table;
  table.columns.erase(table.columns.begin() + 1);
  for (std::vector<Cell>& row : table.rows) row.erase(row.begin() + 1);
  return table;
}

void add_charts(Section& section, std::vector<Chart> charts) {
  for (Chart& chart : charts) section.blocks.emplace_back(std::move(chart));
}

Section configuration_section(const RunData& run) {
  Section section{"configuration", "Configuration", {}};
  if (run.config) {
    ResultTable table{"changed_keys",
                      "What differs from the program's defaults",
                      "the run's own config.yaml",
                      "All other keys have their defaults.",
                      {{"key", "key", "", -1}, {"value", "this run", "", -1}, {"usual", "default", "", -1}},
                      {}};
    for (const ChangedKey& key : changed_keys(*run.config))
      table.rows.push_back({key.key, key.value, key.usual});
    section.blocks.emplace_back(std::move(table));
  }
  if (!run.config_text.empty())
    section.blocks.emplace_back(Listing{"The whole configuration", run.config_text});
  return section;
}

std::string subtitle(const RunData& run) {
  std::string text = "Training run";
  if (!run.metrics.steps.empty()) {
    const std::string date = date_text(run.metrics.steps.back().time);
    if (!date.empty()) text += " · " + date;
  }
  if (run.config && !run.config->data.path.empty())
    text += " · " + run.config->data.path.substr(run.config->data.path.find_last_of('/') + 1);
  return text + " · " + status_text(run);
}

void add_environment(const nlohmann::ordered_json& value, const std::string& name, int depth, Facts& facts) {
  if (depth < 6 && value.is_object()) {
    for (const auto& [key, inner] : value.items())
      add_environment(inner, name.empty() ? key : name + "." + key, depth + 1, facts);
    return;
  }
  const std::string text = value.is_string()
                               ? value.get<std::string>()
                               : value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  if (!text.empty()) facts.pairs.emplace_back(name, text);
}

}  // namespace

Facts environment_facts(const nlohmann::ordered_json& environment) {
  Facts facts;
  add_environment(environment, "", 0, facts);
  return facts;
}

Page run_page(const std::string& folder, const std::string& data_path) {
  const RunData run = read_run(folder);
  std::optional<RetrievalMap> map;
  std::string no_map;
  if (!run.checkpoints.empty()) {
    try {
      map = retrieval_map(folder, data_path,
                          run.evaluation ? run.evaluation->eval : std::vector<std::string>{});
    } catch (const Error& error) {
      no_map = fmt::format("Single songs are not shown: {}", error.what());
    }
  }
  std::optional<EvaluationFigures> evaluation = run.evaluation;
  if (!evaluation && map) evaluation = map->evaluation;

  Page page;
  page.title = run.name;
  page.subtitle = subtitle(run);
  page.verdict = verdict(run, evaluation);
  page.tiles = tiles(run, evaluation);
  Section remarks{"remarks", "Remarks", {}};
  for (const std::string& remark : run.remarks)
    remarks.blocks.emplace_back(Paragraph{remark, Paragraph::Tone::kRemark});
  page.sections.push_back(std::move(remarks));

  Section retrieval{"retrieval", "Retrieval", {}};
  if (evaluation) {
    add_charts(retrieval, rank_charts(*evaluation));
    if (map && !map->canonical_correlations.empty())
      retrieval.blocks.emplace_back(
          correlation_chart(map->canonical_correlations, map->correlation_threshold));
    retrieval.blocks.emplace_back(retrieval_table(run, *evaluation));
  }
  page.sections.push_back(std::move(retrieval));
  Section places{"map", "Queries and answers", {}};
  if (map) {
    places.blocks.emplace_back(map_chart(*map, Direction::kMusicToEmotion));
    places.blocks.emplace_back(map_chart(*map, Direction::kEmotionToMusic));
    places.blocks.emplace_back(song_table(run, *map));
  } else if (!no_map.empty()) {
    places.blocks.emplace_back(Paragraph{no_map, Paragraph::Tone::kRemark});
  }
  page.sections.push_back(std::move(places));
  Section training{"training", "Training", {}};
  add_charts(training, training_charts(run));
  page.sections.push_back(std::move(training));
  Section validation{"validation", "Validation", {}};
  add_charts(validation, validation_charts(run));
  page.sections.push_back(std::move(validation));
  page.sections.push_back(configuration_section(run));
  Section environment{"environment", "Environment", {}};
  if (run.environment) environment.blocks.emplace_back(environment_facts(*run.environment));
  page.sections.push_back(std::move(environment));
  return page;
}

}  // namespace emer::report
