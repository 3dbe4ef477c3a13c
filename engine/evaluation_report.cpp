#include "engine/evaluation_report.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/config_schema.h"

namespace emer {
namespace {

using nlohmann::ordered_json;

ordered_json rank_number(double rank) {
  if (rank == std::floor(rank)) return static_cast<std::int64_t>(rank);
  return rank;
}

ordered_json interval_json(const std::array<double, 2>& interval) {
  if (std::isnan(interval[0])) return nullptr;
  return {interval[0], interval[1]};
}

ordered_json recall_json(const std::array<double, 3>& recall) {
  ordered_json out;
  for (std::size_t k = 0; k < kRecallAt.size(); ++k) out[fmt::format("{}", kRecallAt[k])] = recall[k];
  return out;
}

ordered_json direction_json(const DirectionResult& result, bool with_ranks) {
  ordered_json out;
  out["mrr"] = result.mrr;
  out["ar"] = result.ar;
  out["median_rank"] = rank_number(result.median_rank);
  out["recall_at"] = recall_json(result.recall_at);
  out["mrr_interval"] = interval_json(result.mrr_interval);
  out["ar_interval"] = interval_json(result.ar_interval);
  if (with_ranks) {
    out["ranks"] = ordered_json::array();
    for (const double rank : result.ranks) out["ranks"].push_back(rank_number(rank));
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> switches(const Config& config) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const schema::Key& key : schema::keys())
    if (key.path.rfind("eval.", 0) == 0)
      out.emplace_back(key.path.substr(5), schema::value_text(key, config));
  return out;
}

std::string interval_text(const std::array<double, 2>& interval, int digits) {
  if (std::isnan(interval[0])) return "-";
  return fmt::format("[{:.{}f}, {:.{}f}]", interval[0], digits, interval[1], digits);
}

std::string row(const std::string& name, const DirectionResult& r) {
  return fmt::format("{:<14}{:>7.4f}  {:<18}{:>7.1f}  {:<18}{:>7.1f}{:>8.1f}%{:>7.1f}%{:>7.1f}%\n", name,
                     r.mrr, interval_text(r.mrr_interval, 4), r.ar, interval_text(r.ar_interval, 1),
                     r.median_rank, 100 * r.recall_at[0], 100 * r.recall_at[1], 100 * r.recall_at[2]);
}

}  // namespace

nlohmann::ordered_json to_json(const EvaluationReport& report) {
  ordered_json out;
  out["m2e"] = direction_json(report.result.m2e, true);
  out["e2m"] = direction_json(report.result.e2m, true);
  out["songs"] = report.songs;
  out["train_songs"] = report.train_songs;
  out["split"] = report.split;
  out["source"] = report.source;
  if (!report.data.empty()) out["data"] = report.data;
  if (report.step >= 0) out["step"] = report.step;
  for (const auto& [key, text] : switches(report.config)) {
    const ordered_json value = ordered_json::parse(text, nullptr, false);  // words are no JSON, numbers are
    out["eval"][key] = value.is_discarded() ? ordered_json(text) : value;
  }
  if (!report.result.canonical_correlations.empty()) {
    out["directions_kept"] = report.result.directions_kept;
    out["directions"] = report.result.canonical_correlations.size();
  }
  const ChanceLevel chance = chance_level(report.songs);
  out["chance"] = {{"mrr", chance.mrr}, {"ar", chance.ar}, {"recall_at", recall_json(chance.recall_at)}};
  for (const EvaluationReport::Baseline& baseline : report.baselines)
    out["baselines"][baseline.name] = {{"what", baseline.what},
                                       {"m2e", direction_json(baseline.result.m2e, false)},
                                       {"e2m", direction_json(baseline.result.e2m, false)}};
  return out;
}

// What the figures mean, for a reader who does not think in MRR: how often the match is near the top, and
// whether the average rank is better than chance by more than the resampling interval.
std::string sentence(const EvaluationReport& report) {
  const ChanceLevel chance = chance_level(report.songs);
  const auto near_top = [](const DirectionResult& result) { return 100 * result.recall_at[2]; };
  std::string text = fmt::format(
      "\nGiven a song, its own emotion curve is among the first 10 of {} in {:.1f}% of queries; given a "
      "curve, its song "
      "in {:.1f}%; by chance {:.1f}%.",
      report.songs, near_top(report.result.m2e), near_top(report.result.e2m), 100 * chance.recall_at[2]);
  if (report.config.eval.bootstrap > 0) {
    const bool both =
        report.result.m2e.ar_interval[1] < chance.ar && report.result.e2m.ar_interval[1] < chance.ar;
    text += both ? " Both directions rank better than chance." : " This is not clearly better than chance.";
  }
  return text + "\n";
}

std::string to_table(const EvaluationReport& report) {
  std::string text = fmt::format("evaluated    {}", report.source);
  if (report.step >= 0) text += fmt::format(", {} steps trained", report.step);
  if (!report.data.empty()) text += fmt::format("\ndata         {}", report.data);
  text += fmt::format("\nsongs        {} {} songs ranked, {} training songs\n", report.songs, report.split,
                      report.train_songs);
  text += "scoring     ";
  for (const auto& [key, value] : switches(report.config)) text += fmt::format(" {} {},", key, value);
  text.back() = '\n';
  if (!report.result.canonical_correlations.empty())
    text += fmt::format("CCA          {} of {} directions at or above the correlation threshold\n",
                        report.result.directions_kept, report.result.canonical_correlations.size());
  text += fmt::format("\n{:<14}{:>7}  {:<18}{:>7}  {:<18}{:>7}{:>9}{:>8}{:>8}\n", "", "MRR", "95 % interval",
                      "AR", "95 % interval", "median", "R@1", "R@5", "R@10");
  text += row("M2E", report.result.m2e) + row("E2M", report.result.e2m);
  for (const EvaluationReport::Baseline& baseline : report.baselines)
    text +=
        row(baseline.name + " M2E", baseline.result.m2e) + row(baseline.name + " E2M", baseline.result.e2m);
  const ChanceLevel chance = chance_level(report.songs);
  text += fmt::format("{:<14}{:>7.4f}  {:<18}{:>7.1f}  {:<18}{:>7.1f}{:>8.1f}%{:>7.1f}%{:>7.1f}%\n", "chance",
                      chance.mrr, "", chance.ar, "", chance.ar, 100 * chance.recall_at[0],
                      100 * chance.recall_at[1], 100 * chance.recall_at[2]);
  for (const EvaluationReport::Baseline& baseline : report.baselines)
    text += fmt::format("{}: {}\n", baseline.name, baseline.what);
  return text + sentence(report);
}

}  // namespace emer
