#include "engine/reproduce/result_rows.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "engine/text.h"

namespace emer {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::string view_size(const ViewConfig& view, int gru_hidden) {
  std::vector<std::string> each;
  for (const int width : view.widths) each.push_back(std::to_string(width));
  const std::string widths = joined(each, "-");
  return is_recurrent(view.kind) ? fmt::format("BiGRU {} + {}", gru_hidden, widths) : "MLP " + widths;
}

std::string size_of(const Config& c) {
  return fmt::format("music {}, emotion {}, d {}, {} epochs, batch {}, learning rate {:g}",
                     view_size(c.model.music, c.model.gru_hidden),
                     view_size(c.model.emotion, c.model.gru_hidden), c.model.embedding_dim, c.train.epochs,
                     c.train.batch_size, c.train.learning_rate);
}

}  // namespace

const std::vector<RankMetric>& rank_metrics() {
  static const std::vector<RankMetric> kMetrics = {
      {"mrr", "MRR", "", 4, [](double rank) { return 1.0 / rank; }},
      {"ar", "AR", "rank", 1, [](double rank) { return rank; }},
      {"r1", "R@1", "", 4, [](double rank) { return rank <= 1.0 ? 1.0 : 0.0; }},
      {"r5", "R@5", "", 4, [](double rank) { return rank <= 5.0 ? 1.0 : 0.0; }},
      {"r10", "R@10", "", 4, [](double rank) { return rank <= 10.0 ? 1.0 : 0.0; }},
  };
  return kMetrics;
}

const RankMetric& rank_metric(const std::string& key) {
  for (const RankMetric& metric : rank_metrics())
    if (key == metric.key) return metric;
  EMER_CHECK(false, "no rank metric {}", key);
}

std::vector<std::vector<double>> values_by_seed(const RanksBySeed& ranks, const RankMetric& metric) {
  std::vector<std::vector<double>> values;
  for (const auto& [seed, of_seed] : ranks) {
    values.emplace_back();
    for (const double rank : of_seed) values.back().push_back(metric.of(rank));
  }
  return values;
}

Summary summarise_ranks_by_seed(const RanksBySeed& ranks, const RankMetric& metric, int resamples) {
  return summarise_queries(values_by_seed(ranks, metric), resamples, kTableSeed);
}

PairedComparison compare_ranks(const RanksBySeed& variant, const RanksBySeed& base, const RankMetric& metric,
                               int resamples) {
  RanksBySeed ours, theirs;
  for (const auto& [seed, ranks] : variant) {
    const auto found = base.find(seed);
    if (found == base.end() || found->second.size() != ranks.size()) continue;
    ours[seed] = ranks;
    theirs[seed] = found->second;
  }
  if (ours.empty()) return {0, kNone, {kNone, kNone}, kNone, kNone, kNone};
  return compare_paired_queries(values_by_seed(ours, metric), values_by_seed(theirs, metric), resamples,
                                kTableSeed);
}

double mean_median_rank(const RanksBySeed& ranks) {
  double sum = 0.0;
  for (const auto& [seed, of_seed] : ranks) {
    std::vector<double> sorted = of_seed;
    std::sort(sorted.begin(), sorted.end());
    sum += quantile(sorted, 0.5);
  }
  return sum / static_cast<double>(ranks.size());
}

void add_ranks(RanksBySeed& to, const MeasuredRun& run, const std::string& path) {
  const std::string label = fmt::format("measures of {}", run.run->id);
  std::vector<double> ranks = read_numbers(value_at(run.values, path + "/ranks", label), label + ", " + path);
  if (ranks.empty()) fail_input("{}: {} has no ranks", label, path);
  for (const double rank : ranks)
    if (!(rank >= 1.0 && rank <= static_cast<double>(ranks.size())))
      fail_input("{}: {} has a rank of {} among {}", label, path, rank, ranks.size());
  to[run.run->seed] = std::move(ranks);
}

std::string as_id(std::string text) {
  for (char& c : text)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return text;
}

Cell cell(double value) {
  if (!std::isfinite(value)) return std::monostate{};
  return value;
}

void add_columns(std::vector<Column>& columns, const std::string& key, const std::string& title,
                 const std::string& unit, int digits) {
  columns.push_back({key, title, unit, digits});
  columns.push_back({key + "_sd", "sd", "", digits});
  columns.push_back({key + "_low", "95 % from", "", digits});
  columns.push_back({key + "_high", "to", "", digits});
}

void add_cells(std::vector<Cell>& row, const Summary& s) {
  for (const double value : {s.mean, s.deviation, s.interval[0], s.interval[1]}) row.push_back(cell(value));
}

void add_difference_columns(std::vector<Column>& columns, const std::string& key, const std::string& title,
                            const std::string& unit, int digits) {
  columns.push_back({key + "_change", title, unit, digits});
  columns.push_back({key + "_change_low", "95 % from", "", digits});
  columns.push_back({key + "_change_high", "to", "", digits});
  columns.push_back({key + "_p", "p", "", 3});
  columns.push_back({key + "_p_holm", "p adjusted", "", 3});
}

void add_cells(std::vector<Cell>& row, const PairedComparison& c, double adjusted_p) {
  for (const double value : {c.difference, c.interval[0], c.interval[1], c.p_sign_flip, adjusted_p})
    row.push_back(cell(value));
}

void add_test_columns(std::vector<Column>& columns, const std::string& key) {
  columns.push_back({key + "_p_t", "p, t test", "", 3});
  columns.push_back({key + "_p_wilcoxon", "p, signed ranks", "", 3});
}

void add_test_cells(std::vector<Cell>& row, const PairedComparison& c) {
  for (const double value : {c.p_t, c.p_wilcoxon}) row.push_back(cell(value));
}

std::string model_of(const PlannedRun& run) {
  return run.variant.substr(0, run.variant.find(", "));
}

std::string change_of(const PlannedRun& run) {
  const std::size_t comma = run.variant.find(", ");
  return comma == std::string::npos ? "" : run.variant.substr(comma + 2);
}

std::vector<std::string> models_of(MeasuredRuns runs, const std::string& data) {
  std::vector<std::string> models;
  for (const MeasuredRun& run : runs) {
    if (run.run->data != data) continue;
    const std::string model = model_of(*run.run);
    if (std::find(models.begin(), models.end(), model) == models.end()) models.push_back(model);
  }
  return models;
}

std::string measured_on(const ExperimentPlan& plan, const StudyData& data, MeasuredRuns runs,
                        const std::string& protocol) {
  std::vector<std::pair<std::string, std::vector<std::string>>> sizes;  // models of one size, together
  std::vector<std::string> seeds;
  for (const MeasuredRun& run : runs) {
    if (run.run->data != data.name) continue;
    const std::string size = size_of(run.run->config), model = model_of(*run.run),
                      seed = std::to_string(run.run->seed);
    auto found = std::find_if(sizes.begin(), sizes.end(), [&](const auto& s) { return s.first == size; });
    if (found == sizes.end()) found = sizes.insert(sizes.end(), {size, {}});
    if (std::find(found->second.begin(), found->second.end(), model) == found->second.end())
      found->second.push_back(model);
    if (std::find(seeds.begin(), seeds.end(), seed) == seeds.end()) seeds.push_back(seed);
  }
  std::string text = data.generated ? "GENERATED FEATURES: SAYS NOTHING ABOUT MUSIC. " : "";
  text += data.label + fmt::format("; preset {}: ", plan.preset);
  for (std::size_t i = 0; i < sizes.size(); ++i)
    text += fmt::format("{}{} ({})", i > 0 ? "; " : "", joined(sizes[i].second, ", "), sizes[i].first);
  text += fmt::format("; seed{} {}", seeds.size() > 1 ? "s" : "", joined(seeds, ", "));
  if (!protocol.empty()) text += "; " + protocol;
  return text;
}

void add_data_remarks(ExperimentResults& results, const StudyData& data) {
  if (data.generated)
    results.remarks.push_back(
        fmt::format("{}: the features are generated; its tables say nothing about music.", data.name));
  if (!data.as_published)
    results.remarks.push_back(fmt::format(
        "{}: not the paper's own features and ratings, so nothing here compares with its figures.",
        data.name));
}

}  // namespace emer
