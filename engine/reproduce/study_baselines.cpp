#include "engine/reproduce/study_baselines.h"

#include <algorithm>

#include "core/check.h"
#include "core/parallel.h"
#include "engine/baselines.h"
#include "engine/reproduce/measure.h"
#include "engine/reproduce/run_outputs.h"
#include "engine/studies/regression_parts.h"
#include "engine/studies/svr.h"

namespace emer {
namespace {

constexpr int kCurvePoints = 15;  // of a curve that support vector regression predicts, each of two ratings

// Means of runs of steps: at most kCurvePoints a curve.
FeatureRows shorter_curves(const FlatViews& views) {
  const int steps = views.emotion_width / 2, run = std::max(1, steps / kCurvePoints), points = steps / run;
  FeatureRows rows{views.n, 2 * points,
                   std::vector<double>(static_cast<std::size_t>(views.n) * 2 * points, 0.0)};
  for (std::size_t i = 0; i < static_cast<std::size_t>(views.n); ++i)
    for (int step = 0; step < points * run; ++step)
      for (int k = 0; k < 2; ++k)
        rows.values[i * rows.width + static_cast<std::size_t>(step / run * 2 + k)] +=
            views.emotion[i * views.emotion_width + static_cast<std::size_t>(step * 2 + k)] / run;
  return rows;
}

DirectionResult ranked(const FeatureRows& queries, const FeatureRows& candidates, const EvalOptions& eval,
                       Direction direction) {
  const auto width = static_cast<std::size_t>(queries.width), n = static_cast<std::size_t>(queries.rows);
  const auto totals = [&](int begin, int end, std::span<double> out) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
      for (std::size_t j = 0; j < n; ++j) {
        double sum = 0.0;
        for (std::size_t k = 0; k < width; ++k) {
          const double apart = queries.values[i * width + k] - candidates.values[j * width + k];
          sum += apart * apart;
        }
        out[(i - static_cast<std::size_t>(begin)) * n + j] = sum;
      }
  };
  return summarise_ranks(ranks_of_matches(queries.rows, totals, eval.tie_rule), eval, direction);
}

// One machine a point of the curve, everything standardised, libsvm's usual C = 1 and epsilon = .1; songs and curves are
// compared by the squared distance between predicted and true curve.
BaselineResult svr_baseline(const FlatViews& train, const FlatViews& test, const EvalOptions& eval) {
  regression::Part music{
      {train.n, train.music_width, train.music}, {test.n, test.music_width, test.music}, {}, {}};
  regression::Part curves{shorter_curves(train), shorter_curves(test), {}, {}};
  for (regression::Part* part : {&music, &curves}) regression::standardise(*part);
  const FeatureRows &x = music.train, &x_test = music.test, &y = curves.train, &y_test = curves.test;
  const double gamma = scale_gamma(x);
  const SvrKernel kernel(squared_distances(x), x.rows, gamma);
  const std::vector<double> between = rbf(squared_distances(x_test, x), gamma);
  FeatureRows predicted{test.n, y.width, std::vector<double>(y_test.values.size())};
  parallel_for(y.width, 1, [&](std::int64_t first, std::int64_t) {
    const auto k = static_cast<std::size_t>(first), width = static_cast<std::size_t>(y.width);
    std::vector<double> target(static_cast<std::size_t>(y.rows));
    for (std::size_t i = 0; i < target.size(); ++i) target[i] = y.values[i * width + k];
    const std::vector<double> column =
        SvrMachine::fit(kernel, target, {.c = 1.0, .epsilon = 0.1}).predict(between);
    for (std::size_t i = 0; i < column.size(); ++i) predicted.values[i * width + k] = column[i];
  });
  return {ranked(predicted, y_test, eval, Direction::kMusicToEmotion),
          ranked(y_test, predicted, eval, Direction::kEmotionToMusic)};
}

}  // namespace

const std::vector<StudyBaseline>& study_baselines() {
  static const std::vector<StudyBaseline> kBaselines = {
      {"ridge", "ridge regression, music to ratings"},
      {"cca", "linear CCA"},
      {"svr", "support vector regression, music to ratings"},
  };
  return kBaselines;
}

nlohmann::ordered_json measure_baselines(const StudyData& data, const PlannedRun& run) {
  const Dataset songs = load_dataset(data.path);
  SplitConfig config = run.config.data.split;
  config.validation = 0.0;
  const Split split = make_split(songs, config);
  const FlatViews train = flatten_views(songs, rows_of(songs, split.train, "train")),
                  test = flatten_views(songs, rows_of(songs, split.test, "test"));
  EvalOptions eval = corrected_evaluation({});
  eval.bootstrap = 0;
  const auto ranks = [](const BaselineResult& result) {
    EvaluationResult both;
    both.m2e = result.m2e;
    both.e2m = result.e2m;
    return to_measure(both);
  };
  nlohmann::ordered_json values;
  values["ridge"] = ranks(ridge_baseline(train, test, {}, eval));
  values["cca"] = ranks(cca_baseline(train, test, {}, eval));
  values["svr"] = ranks(svr_baseline(train, test, eval));
  return values;
}

}  // namespace emer
