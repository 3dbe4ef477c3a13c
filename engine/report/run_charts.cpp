#include "engine/report/run_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace emer::report {
namespace {

constexpr int kBuckets = 700;

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return !(low <= high); }
  const char* format() const { return high >= 1e4 ? "~s" : high < 1e-2 ? "~e" : "~r"; }
  bool log() const { return low > 0.0 && high / low > 5.0; }
};

ordered_json points_json(const std::vector<Point>& points, const char* kind) {
  ordered_json values = ordered_json::array();
  for (const Point& p : points)
    values.push_back({{"step", shortened(p.x)}, {"value", shortened(p.y)}, {"series", kind}});
  return values;
}

// The mean of each epoch at its last step; nothing where an epoch is a step.
std::vector<Point> epoch_means(const std::vector<MetricsFile::Step>& steps,
                               double MetricsFile::Step::*field) {
  std::vector<Point> out;
  double sum = 0.0;
  std::size_t count = 0, most = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    sum += steps[i].*field;
    ++count;
    if (i + 1 < steps.size() && steps[i + 1].epoch == steps[i].epoch) continue;
    out.push_back({static_cast<double>(steps[i].step), sum / static_cast<double>(count)});
    most = std::max(most, count);
    sum = 0.0;
    count = 0;
  }
  return most > 1 ? out : std::vector<Point>{};
}

// Steps whose value is not a number, as vertical lines: at most 200 of them, evenly spaced.
ordered_json gaps_json(const std::vector<MetricsFile::Step>& steps, double MetricsFile::Step::*field,
                       std::size_t& count) {
  std::vector<std::int64_t> at;
  for (const MetricsFile::Step& step : steps)
    if (!std::isfinite(step.*field)) at.push_back(step.step);
  count = at.size();
  ordered_json values = ordered_json::array();
  const std::size_t shown = std::min<std::size_t>(at.size(), 200);
  for (std::size_t i = 0; i < shown; ++i) values.push_back({{"step", at[i * at.size() / shown]}});
  return values;
}

ordered_json axis(const std::string& title, const char* format = "~s") {
  return {{"title", title}, {"format", format}};
}

struct Curve {
  const char* id;
  const char* title;
  const char* what;  // the vertical axis
  double MetricsFile::Step::*field;
  bool means;
};

ordered_json step_axis() {
  return {{"field", "step"},
          {"type", "quantitative"},
          {"axis", axis("optimiser step")},
          {"scale", {{"nice", false}}}};
}

// Empty spec where there is nothing to draw.
Chart curve_chart(const RunData& run, const Curve& curve, const std::vector<Point>& validation) {
  std::vector<Point> all;
  Range range;
  for (const MetricsFile::Step& step : run.metrics.steps) {
    all.push_back({static_cast<double>(step.step), step.*(curve.field)});
    range.add(step.*(curve.field));
  }
  Chart chart{curve.id, curve.title, "", {}, false};
  if (range.empty()) return chart;
  const std::vector<Point> means =
      curve.means ? epoch_means(run.metrics.steps, curve.field) : std::vector<Point>{};
  const bool several = !means.empty() || !validation.empty();
  const ordered_json y = {{"field", "value"},
                          {"type", "quantitative"},
                          {"axis", axis(curve.what, range.format())},
                          {"scale", range.log() ? ordered_json{{"type", "log"}, {"nice", false}}
                                                : ordered_json{{"zero", false}}}};
  // With means the single steps stand back.
  ordered_json domain = ordered_json::array();
  if (!means.empty()) domain.push_back("mean of the epoch");
  domain.push_back("each step");
  if (!validation.empty()) domain.push_back("validation");
  const auto layer = [&](const std::vector<Point>& points, const char* name, ordered_json mark) {
    ordered_json out = {{"data", {{"values", points_json(points, name)}}},
                        {"mark", std::move(mark)},
                        {"encoding", {{"x", step_axis()}, {"y", y}}}};
    if (several)
      out["encoding"]["color"] = {
          {"field", "series"},
          {"type", "nominal"},
          {"scale", {{"domain", domain}, {"range", means.empty() ? "category" : "ordinal"}}},
          {"legend", ordered_json::object()}};
    out["encoding"]["tooltip"] = {
        {{"field", "step"}, {"type", "quantitative"}, {"title", "step"}},
        {{"field", "value"}, {"type", "quantitative"}, {"title", curve.what}, {"format", ".6~g"}}};
    return out;
  };
  chart.spec = {{"width", "container"}, {"height", 240}, {"layer", ordered_json::array()}};
  const double faint = means.empty() ? 1.0 : 0.45;
  chart.spec["layer"].push_back(
      layer(thinned(all, kBuckets), "each step",
            {{"type", "line"}, {"strokeWidth", means.empty() ? 1.8 : 1}, {"opacity", faint}}));
  if (!means.empty())
    chart.spec["layer"].push_back(layer(thinned(means, kBuckets), "mean of the epoch", {{"type", "line"}}));
  if (!validation.empty())
    chart.spec["layer"].push_back(layer(thinned(validation, kBuckets), "validation",
                                        {{"type", "line"}, {"point", validation.size() <= 60}}));
  std::size_t gaps = 0;
  const ordered_json missing = gaps_json(run.metrics.steps, curve.field, gaps);
  if (gaps > 0) {
    chart.spec["layer"].push_back({{"data", {{"values", missing}}},
                                   {"mark", {{"type", "rule"}, {"style", "warning"}}},
                                   {"encoding", {{"x", step_axis()}}}});
    chart.caption =
        fmt::format("Upright lines: {} of {} steps had no finite value. ", gaps, run.metrics.steps.size());
  }
  if (range.log()) chart.caption += "Logarithmic scale.";
  return chart;
}

std::vector<Point> validation_points(const RunData& run, double MetricsFile::Validation::*field) {
  std::vector<Point> out;
  for (const MetricsFile::Validation& v : run.metrics.validations)
    if (std::isfinite(v.*field)) out.push_back({static_cast<double>(v.step), v.*field});
  return out;
}

constexpr const char* kDirections[] = {"music to emotion", "emotion to music"};

ordered_json direction_color() {
  return {{"field", "direction"},
          {"type", "nominal"},
          {"scale", {{"domain", {kDirections[0], kDirections[1]}}}},
          {"legend", ordered_json::object()}};
}

Chart validation_chart(const RunData& run, const char* id, const char* title, const char* what,
                       const char* caption, double MetricsFile::Validation::*m2e,
                       double MetricsFile::Validation::*e2m) {
  ordered_json values = ordered_json::array();
  std::size_t most = 0;
  for (const auto& [field, name] : {std::pair{m2e, kDirections[0]}, std::pair{e2m, kDirections[1]}}) {
    const std::vector<Point> points = thinned(validation_points(run, field), kBuckets);
    most = std::max(most, points.size());
    for (const Point& p : points)
      values.push_back({{"step", p.x}, {"value", shortened(p.y)}, {"direction", name}});
  }
  Chart chart{id, title, caption, {}, false};
  if (values.empty()) return chart;
  chart.spec = {{"width", "container"},
                {"height", 240},
                {"data", {{"values", std::move(values)}}},
                {"mark", {{"type", "line"}, {"point", most <= 60}}},
                {"encoding",
                 {{"x", step_axis()},
                  {"y",
                   {{"field", "value"},
                    {"type", "quantitative"},
                    {"axis", axis(what, "~r")},
                    {"scale", {{"zero", false}}}}},
                  {"color", direction_color()},
                  {"tooltip",
                   {{{"field", "direction"}, {"type", "nominal"}},
                    {{"field", "step"}, {"type", "quantitative"}},
                    {{"field", "value"}, {"type", "quantitative"}, {"title", what}, {"format", ".4~g"}}}}}}};
  return chart;
}

}  // namespace

double shortened(double value) {
  if (value == 0.0 || !std::isfinite(value)) return value;
  const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 5.0);
  const double whole = std::round(value / unit);
  // Dividing by a power of ten that is exact gives the shortest text.
  return unit >= 1.0 ? whole * unit : whole / std::round(1.0 / unit);
}

std::vector<Chart> training_charts(const RunData& run) {
  using Step = MetricsFile::Step;
  const Curve curves[] = {
      {"loss", "Loss", "loss", &Step::loss, true},
      {"loss-cca", "CCA part of the loss, before its weight", "CCA loss", &Step::loss_cca, true},
      {"loss-kl", "KL ranking part of the loss, before its weight", "KL loss", &Step::loss_kl, true},
      {"gradient-norm", "Gradient norm", "norm of the whole gradient", &Step::gradient_norm, true},
      {"learning-rate", "Learning rate", "learning rate", &Step::learning_rate, false},
      {"throughput", "Throughput", "songs per second", &Step::songs_per_second, true},
  };
  std::vector<Chart> out;
  for (const Curve& curve : curves) {
    const bool loss = std::string_view(curve.id) == "loss";
    Chart chart = curve_chart(
        run, curve, loss ? validation_points(run, &MetricsFile::Validation::loss) : std::vector<Point>{});
    if (!chart.spec.is_null()) out.push_back(std::move(chart));
  }
  return out;
}

std::vector<Chart> validation_charts(const RunData& run) {
  using Validation = MetricsFile::Validation;
  std::vector<Chart> out;
  for (Chart& chart : std::vector<Chart>{
           validation_chart(run, "validation-mrr", "Mean reciprocal rank on validation songs", "MRR",
                            "Higher is better.", &Validation::m2e_mrr, &Validation::e2m_mrr),
           validation_chart(run, "validation-ar", "Average rank on validation songs", "average rank",
                            "Lower is better.", &Validation::m2e_ar, &Validation::e2m_ar)})
    if (!chart.spec.is_null()) out.push_back(std::move(chart));
  return out;
}

std::vector<Chart> rank_charts(const EvaluationFigures& evaluation) {
  constexpr int kBins = 20;
  const double n = evaluation.songs;
  const int bins = std::min(kBins, evaluation.songs);
  ordered_json bars = ordered_json::array(), found = ordered_json::array();
  for (std::size_t d = 0; d < 2; ++d) {
    std::vector<double> ranks = evaluation.direction[d].ranks;
    std::sort(ranks.begin(), ranks.end());
    std::vector<int> counts(static_cast<std::size_t>(bins));
    for (const double rank : ranks)
      ++counts[static_cast<std::size_t>(std::min(bins - 1, static_cast<int>((rank - 0.5) / n * bins)))];
    for (int b = 0; b < bins; ++b)
      bars.push_back({{"from", shortened(100.0 * b / bins)},
                      {"to", shortened(100.0 * (b + 1) / bins)},
                      {"queries", counts[static_cast<std::size_t>(b)]},
                      {"direction", kDirections[d]}});
    std::vector<Point> steps;
    for (std::size_t i = 0; i < ranks.size(); ++i)
      if (i + 1 == ranks.size() || ranks[i + 1] > ranks[i])
        steps.push_back({ranks[i], static_cast<double>(i + 1) / n});
    if (steps.front().x > 1.0) steps.insert(steps.begin(), {1.0, 0.0});
    for (const Point& p : thinned(steps, kBuckets))
      found.push_back({{"k", p.x}, {"share", shortened(p.y)}, {"direction", kDirections[d]}});
  }
  ordered_json chance = ordered_json::array();
  for (int i = 0; i <= 60; ++i) {
    const double k = std::round(std::pow(n, i / 60.0));
    if (chance.empty() || chance.back()["k"].get<double>() < k)
      chance.push_back({{"k", k}, {"share", shortened(k / n)}});
  }
  Chart histogram{
      "rank-histogram",
      "Where the match was ranked",
      fmt::format(
          "Queries by the rank of their match among {} songs, in {} equal steps; left is best. Dashed: "
          "what chance would give.",
          evaluation.songs, bins),
      {},
      false};
  histogram.spec = {
      {"width", "container"},
      {"height", 240},
      {"layer",
       {{{"data", {{"values", bars}}},
         {"mark", {{"type", "bar"}, {"cornerRadiusEnd", 2}}},
         {"encoding",
          {{"x",
            {{"field", "from"},
             {"type", "ordinal"},
             {"axis",
              {{"title", "rank, percent of the songs"},
               {"format", "~r"},
               {"labelAngle", 0},
               {"bandPosition", 0}}},
             {"scale", {{"paddingInner", 0.15}}}}},
           {"xOffset", {{"field", "direction"}, {"type", "nominal"}}},
           {"y", {{"field", "queries"}, {"type", "quantitative"}, {"axis", axis("queries", "d")}}},
           {"color", direction_color()},
           {"tooltip",
            {{{"field", "direction"}, {"type", "nominal"}},
             {{"field", "from"}, {"type", "quantitative"}, {"title", "from %"}},
             {{"field", "to"}, {"type", "quantitative"}, {"title", "to %"}},
             {{"field", "queries"}, {"type", "quantitative"}}}}}}},
        {{"data", {{"values", {{{"queries", shortened(n / bins)}}}}}},
         {"mark", {{"type", "rule"}, {"style", "chance"}}},
         {"encoding", {{"y", {{"field", "queries"}, {"type", "quantitative"}}}}}}}}};
  const ordered_json k_axis = {{"field", "k"},
                               {"type", "quantitative"},
                               {"scale", {{"type", "log"}, {"domain", {1, n}}}},
                               {"axis", {{"title", "first k answers"}, {"format", "~d"}}}};
  const ordered_json share = {{"field", "share"},
                              {"type", "quantitative"},
                              {"axis", axis("queries whose match is among them", ".0%")}};
  Chart cdf{"rank-cdf",
            "How soon the match is found",
            "Share of queries whose match is among the first k answers; dashed: chance.",
            {},
            false};
  cdf.spec = {{"width", "container"},
              {"height", 240},
              {"layer",
               {{{"data", {{"values", chance}}},
                 {"mark", {{"type", "line"}, {"style", "chance"}}},
                 {"encoding", {{"x", k_axis}, {"y", share}}}},
                {{"data", {{"values", found}}},
                 {"mark", {{"type", "line"}, {"interpolate", "step-after"}}},
                 {"encoding",
                  {{"x", k_axis},
                   {"y", share},
                   {"color", direction_color()},
                   {"tooltip",
                    {{{"field", "direction"}, {"type", "nominal"}},
                     {{"field", "k"}, {"type", "quantitative"}},
                     {{"field", "share"}, {"type", "quantitative"}, {"format", ".1%"}}}}}}}}}};
  return {histogram, cdf};
}

Chart correlation_chart(const std::vector<double>& correlations, double threshold) {
  ordered_json values = ordered_json::array();
  int kept = 0;
  for (std::size_t k = 0; k < correlations.size(); ++k) {
    if (!std::isfinite(correlations[k])) continue;
    const bool used = correlations[k] >= threshold;
    kept += used ? 1 : 0;
    values.push_back({{"direction", k + 1},
                      {"correlation", shortened(correlations[k])},
                      {"use", used ? "used" : "left out"}});
  }
  ordered_json labels = ordered_json::array({1});
  const std::size_t stride = std::max<std::size_t>(1, (correlations.size() + 7) / 8 / 5 * 5);
  for (std::size_t k = stride; k <= correlations.size(); k += stride)
    if (k > 1) labels.push_back(k);
  Chart chart{
      "canonical-correlations",
      "Canonical correlations of the two embeddings",
      fmt::format(
          "Directions of the evaluation's CCA, on the training songs; {} of {} reach the threshold {:g} "
          "(dashed) and are used for ranking.",
          kept, correlations.size(), threshold),
      {},
      true};
  chart.spec = {
      {"width", "container"},
      {"height", 190},
      {"layer",
       {{{"data", {{"values", values}}},
         {"mark", {{"type", "bar"}}},
         {"encoding",
          {{"x",
            {{"field", "direction"},
             {"type", "ordinal"},
             {"axis", {{"title", "direction"}, {"labelAngle", 0}, {"ticks", false}, {"values", labels}}}}},
           {"y", {{"field", "correlation"}, {"type", "quantitative"}, {"axis", axis("correlation", "~r")}}},
           {"color",
            {{"field", "use"},
             {"type", "nominal"},
             {"scale", {{"domain", {"used", "left out"}}, {"range", "ordinal"}}},
             {"legend", ordered_json::object()}}},
           {"tooltip",
            {{{"field", "direction"}, {"type", "quantitative"}},
             {{"field", "correlation"}, {"type", "quantitative"}, {"format", ".4f"}}}}}}},
        {{"data", {{"values", {{{"correlation", threshold}}}}}},
         {"mark", {{"type", "rule"}, {"style", "chance"}}},
         {"encoding", {{"y", {{"field", "correlation"}, {"type", "quantitative"}}}}}}}}};
  return chart;
}

}  // namespace emer::report
