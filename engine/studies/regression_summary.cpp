#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "engine/studies/regression.h"

namespace emer {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

OverFolds over_folds(const std::vector<double>& values) {
  OverFolds out{0, 0.0, 0.0};
  for (const double v : values)
    if (!std::isnan(v)) {
      out.mean += v;
      ++out.folds;
    }
  out.mean = out.folds > 0 ? out.mean / out.folds : kNaN;
  for (const double v : values)
    if (!std::isnan(v)) out.deviation += (v - out.mean) * (v - out.mean);
  out.deviation = out.folds > 1 ? std::sqrt(out.deviation / (out.folds - 1)) : kNaN;
  return out;
}

template <class Get>
OverFolds over_folds(std::span<const FoldOutcome> outcomes, std::size_t point, Get get) {
  std::vector<double> values;
  for (const FoldOutcome& outcome : outcomes) values.push_back(get(outcome.points[point].test));
  return over_folds(values);
}

void check_together(std::span<const FoldOutcome> outcomes, const ProbeOptions& options) {
  if (outcomes.empty()) fail(ErrorKind::kRunFailed, "regression: no folds to summarise");
  const FoldOutcome& first = outcomes.front();
  const bool grid = first.method == "svr" && options.selection == ProbeOptions::Selection::kTestFolds;
  for (std::size_t f = 0; f < outcomes.size(); ++f) {
    const FoldOutcome& o = outcomes[f];
    bool same = o.target == first.target && o.method == first.method && o.selection == first.selection &&
                o.points.size() == first.points.size() && !o.points.empty();
    if (o.method == "svr") same = same && o.selection == options.selection;
    if (!grid) same = same && o.points.size() == 1;
    for (std::size_t p = 0; same && grid && p < o.points.size(); ++p)
      same = o.points[p].point == first.points[p].point;
    if (!same)
      fail(ErrorKind::kRunFailed,
           "regression: fold {} ({} of {}, {} points) was not made with the options of the others ({} of {}, "
           "{} points): measure the folds again",
           f + 1, o.method, o.target, o.points.size(), first.method, first.target, first.points.size());
  }
}

// B11: the point whose mean test R^2 is best; where there is none, whose mean RMSE is.
std::size_t best_over_folds(std::span<const FoldOutcome> outcomes, std::vector<std::string>& notes) {
  std::size_t best = 0;
  double best_value = -std::numeric_limits<double>::infinity();
  bool by_rmse = false;
  for (std::size_t p = 0; p < outcomes.front().points.size(); ++p) {
    const double r2 = over_folds(outcomes, p, [](const TestScores& s) { return s.r2; }).mean;
    by_rmse = std::isnan(r2);  // a matter of the targets: the same for every point
    const double value =
        by_rmse ? -over_folds(outcomes, p, [](const TestScores& s) { return s.rmse; }).mean : r2;
    if (value > best_value) {
      best_value = value;
      best = p;
    }
  }
  if (by_rmse) notes.push_back("no fold has an R^2: the point of the grid was chosen by RMSE");
  return best;
}

void note_undefined(const std::vector<int>& folds, std::size_t all, const char* what, const char* why,
                    std::vector<std::string>& notes) {
  if (folds.empty()) return;
  std::string list;
  for (const int fold : folds) list += (list.empty() ? "" : ", ") + std::to_string(fold);
  notes.push_back(
      fmt::format("{} undefined in {} of {} folds (fold {}), where all test songs have the same {}", what,
                  folds.size(), all, list, why));
}

}  // namespace

RegressionSummary summarise_folds(std::span<const FoldOutcome> outcomes, const ProbeOptions& options) {
  check_together(outcomes, options);
  RegressionSummary summary;
  summary.target = outcomes.front().target;
  summary.method = outcomes.front().method;
  summary.folds = static_cast<int>(outcomes.size());
  const bool grid = summary.method == "svr" && options.selection == ProbeOptions::Selection::kTestFolds;
  const std::size_t chosen = grid ? best_over_folds(outcomes, summary.notes) : 0;
  if (grid) summary.points = {outcomes.front().points[chosen].point};
  std::vector<int> same_target, same_prediction;
  for (std::size_t f = 0; f < outcomes.size(); ++f) {
    const PointOutcome& point = outcomes[f].points[chosen];
    TestScores scores = point.test;
    if (std::isnan(scores.r2))
      same_target.push_back(static_cast<int>(f) + 1);
    else if (std::isnan(scores.r))
      same_prediction.push_back(static_cast<int>(f) + 1);
    if (options.correlation == ProbeOptions::Correlation::kRootR2)
      scores.r = std::isnan(scores.r2) ? kNaN : std::sqrt(std::max(0.0, scores.r2));
    summary.of_folds.push_back(scores);
    if (!grid) summary.points.push_back(point.point);
  }
  note_undefined(same_target, outcomes.size(), "R and R^2", "target", summary.notes);
  if (options.correlation == ProbeOptions::Correlation::kPearson)
    note_undefined(same_prediction, outcomes.size(), "R", "prediction", summary.notes);
  std::vector<double> rmse, r, r2;
  for (const TestScores& s : summary.of_folds) {
    rmse.push_back(s.rmse);
    r.push_back(s.r);
    r2.push_back(s.r2);
  }
  summary.rmse = over_folds(rmse);
  summary.r = over_folds(r);
  summary.r2 = over_folds(r2);
  return summary;
}

}  // namespace emer
