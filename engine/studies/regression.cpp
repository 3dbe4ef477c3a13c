#include "engine/studies/regression.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "core/parallel.h"
#include "engine/baselines.h"
#include "engine/studies/regression_parts.h"

namespace emer {
namespace {

using regression::Part;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kReleasedEpsilon = 0.1;  // scikit-learn's default (B13)

// Range below 1e-12 of the size is rounding.
bool all_the_same(std::span<const double> values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return *high - *low <= 1e-12 * std::max(std::abs(*low), std::abs(*high));
}

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

const char* name_of(FeatureSet set) {
  switch (set) {
    case FeatureSet::kEmbedding:
      return "embedding";
    case FeatureSet::kMeanLogVariance:
      return "mean_log_variance";
    case FeatureSet::kAll:
      return "all";
  }
  return "";
}

FeatureRows music_features(const EncodedRows& encoded, FeatureSet set,
                           ProbeOptions::LogVariance log_variance) {
  std::vector<const std::vector<float>*> heads;
  if (set != FeatureSet::kMeanLogVariance) heads.push_back(&encoded.music_embedding);
  if (set != FeatureSet::kEmbedding) {
    heads.push_back(&encoded.music_mean);
    if (log_variance == ProbeOptions::LogVariance::kUsed) heads.push_back(&encoded.music_log_variance);
  }
  FeatureRows rows{encoded.n, encoded.d * static_cast<int>(heads.size()), {}};
  const std::size_t n = static_cast<std::size_t>(encoded.n), d = static_cast<std::size_t>(encoded.d);
  for (const std::vector<float>* head : heads)
    EMER_CHECK(head->size() == n * d, "regression: a head of {} values for {} rows of {}", head->size(), n,
               d);
  for (std::size_t i = 0; i < n; ++i)
    for (const std::vector<float>* head : heads)
      rows.values.insert(rows.values.end(), head->begin() + static_cast<std::ptrdiff_t>(i * d),
                         head->begin() + static_cast<std::ptrdiff_t>((i + 1) * d));
  return rows;
}

FeatureRows raw_music_features(const Dataset& dataset, const std::vector<std::int64_t>& rows) {
  FlatViews views = flatten_views(dataset, rows);
  return {views.n, views.music_width, std::move(views.music)};
}

SongTargets song_targets(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                         const ProbeOptions& options) {
  const bool last = options.target == ProbeOptions::Target::kLast ||
                    (options.target == ProbeOptions::Target::kByDataset && dataset.name.starts_with("pmemo"));
  std::array<std::vector<double>, 2> columns;
  for (const std::int64_t row : rows) {
    const int steps = dataset.emotion_length[static_cast<std::size_t>(row)];
    const float* at = dataset.emotion.data() + row * dataset.emotion_steps * 2;
    for (std::size_t k = 0; k < 2; ++k) {
      double sum = 0.0;
      for (int s = last ? steps - 1 : 0; s < steps; ++s) sum += static_cast<double>(at[2 * s + k]);
      columns[k].push_back(last ? sum : sum / steps);
    }
  }
  if (options.columns == ProbeOptions::Columns::kArousalFirst) std::swap(columns[0], columns[1]);
  return {std::move(columns[0]), std::move(columns[1])};
}

FoldData fold_data(FeatureRows train, FeatureRows test, const SongTargets& train_targets,
                   const SongTargets& test_targets) {
  return {std::move(train),
          std::move(test),
          {{"valence", train_targets.valence, test_targets.valence},
           {"arousal", train_targets.arousal, test_targets.arousal}}};
}

std::vector<GridPoint> grid_points(const SvrGrid& grid, const ProbeOptions& options) {
  const std::vector<double> epsilons =
      options.select_epsilon ? grid.epsilon : std::vector<double>{kReleasedEpsilon};
  const auto check = [](const char* name, const std::vector<double>& values, bool zero) {
    if (values.empty()) fail_usage("regression: no values of {} to choose from", name);
    for (const double v : values)
      if (!std::isfinite(v) || v < 0.0 || (v == 0.0 && !zero))
        fail_usage("regression: {} is {}; it must be a number {} 0", name, v, zero ? "of at least" : "above");
  };
  check("C", grid.c, false);
  check("gamma", grid.gamma, true);
  check("epsilon", epsilons, true);
  std::vector<GridPoint> points;
  for (const double c : grid.c)
    for (const double gamma : grid.gamma)
      for (const double epsilon : epsilons)
        points.push_back({.c = c, .gamma = gamma, .epsilon = epsilon, .penalty = 0.0});
  return points;
}

TestScores score_predictions(std::span<const double> truth, std::span<const double> predicted) {
  EMER_CHECK(!truth.empty() && truth.size() == predicted.size(), "regression: {} predictions for {} songs",
             predicted.size(), truth.size());
  const double n = static_cast<double>(truth.size()), truth_mean = mean_of(truth),
               predicted_mean = mean_of(predicted);
  double error = 0.0, truth_squares = 0.0, predicted_squares = 0.0, products = 0.0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const double t = truth[i] - truth_mean, p = predicted[i] - predicted_mean;
    error += (truth[i] - predicted[i]) * (truth[i] - predicted[i]);
    truth_squares += t * t;
    predicted_squares += p * p;
    products += t * p;
  }
  const bool no_truth = all_the_same(truth), no_predictions = all_the_same(predicted);
  return {.rmse = std::sqrt(error / n),
          .r = no_truth || no_predictions
                   ? kNaN
                   : std::clamp(products / std::sqrt(truth_squares * predicted_squares), -1.0, 1.0),
          .r2 = no_truth ? kNaN : 1.0 - error / truth_squares};
}

namespace {

// Everything that is fitted on one part shares its distances.
class Fits {
 public:
  Fits(Part part, bool scale_inputs) : part_(std::move(part)) {
    if (scale_inputs) regression::standardise(part_);
    train_distances_ = squared_distances(part_.train);
    test_distances_ = squared_distances(part_.test, part_.train);
    scale_ = scale_gamma(part_.train);
  }

  const Part& part() const { return part_; }

  // take(index, predictions of the part's test songs) for those `points` whose gamma is this one. Once no weight is
  // held back by C, larger ones have the same machine and are not fitted again: in a flat kernel, which most of the
  // paper's gammas make of standardised features, that is nearly all of them.
  template <class Take>
  void sweep(double gamma, std::span<const double> target, const std::vector<GridPoint>& points,
             double tolerance, Take&& take) const {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < points.size(); ++i)
      if (points[i].gamma == gamma) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return points[a].epsilon != points[b].epsilon ? points[a].epsilon < points[b].epsilon
                                                    : points[a].c < points[b].c;
    });
    const double value = gamma == 0.0 ? scale_ : gamma;
    const SvrKernel kernel(train_distances_, part_.train.rows, value);
    const std::vector<double> test_kernel = rbf(test_distances_, value);
    std::vector<double> predicted;
    bool reusable = false;
    double epsilon = kNaN;
    for (const std::size_t i : order) {
      if (!reusable || points[i].epsilon != epsilon) {
        epsilon = points[i].epsilon;
        const SvrMachine machine = SvrMachine::fit(
            kernel, target, {.c = points[i].c, .gamma = value, .epsilon = epsilon, .tolerance = tolerance});
        predicted = machine.predict(test_kernel);
        reusable = machine.free_of_bound();
      }
      take(i, predicted);
    }
  }

 private:
  Part part_;
  std::vector<double> train_distances_, test_distances_;
  double scale_ = 0.0;
};

std::vector<double> distinct_gammas(const std::vector<GridPoint>& points) {
  std::vector<double> gammas;
  for (const GridPoint& p : points)
    if (std::find(gammas.begin(), gammas.end(), p.gamma) == gammas.end()) gammas.push_back(p.gamma);
  return gammas;
}

// Mean squared error of each target and point over all songs of the training part, each held out once.
std::vector<std::vector<double>> held_out_errors(const FoldData& fold, const std::vector<GridPoint>& points,
                                                 const ProbeOptions& options, double tolerance,
                                                 std::uint32_t seed) {
  std::vector<Fits> fits;
  for (Part& part : regression::inner_parts(fold.train, options.inner_folds, seed))
    fits.emplace_back(std::move(part), options.scale_inputs);
  const std::vector<double> gammas = distinct_gammas(points);
  const std::size_t targets = fold.targets.size();
  std::vector<std::vector<double>> of_part(fits.size(), std::vector<double>(targets * points.size(), kNaN));
  const auto tasks = static_cast<std::int64_t>(fits.size() * targets * gammas.size());
  parallel_for(tasks, 1, [&](std::int64_t begin, std::int64_t) {
    const std::size_t task = static_cast<std::size_t>(begin), t = task / gammas.size() % targets,
                      p = task / gammas.size() / targets;
    const Part& part = fits[p].part();
    const std::vector<double> held = regression::picked(fold.targets[t].train, part.test_rows);
    fits[p].sweep(gammas[task % gammas.size()], regression::picked(fold.targets[t].train, part.train_rows),
                  points, tolerance, [&](std::size_t i, const std::vector<double>& predicted) {
                    of_part[p][t * points.size() + i] = regression::squared_error(held, predicted);
                  });
  });
  std::vector<std::vector<double>> errors(targets, std::vector<double>(points.size(), 0.0));
  for (const std::vector<double>& one : of_part)
    for (std::size_t k = 0; k < one.size(); ++k)
      errors[k / points.size()][k % points.size()] += one[k] / fold.train.rows;
  return errors;
}

// Scores on the fold's test songs of those points of each target that are asked for, in the order of `points`.
std::vector<FoldOutcome> scored(const FoldData& fold, const std::vector<std::vector<GridPoint>>& points,
                                const ProbeOptions& options, double tolerance) {
  const Fits fits({fold.train, fold.test, {}, {}}, options.scale_inputs);
  std::vector<FoldOutcome> outcomes;
  std::vector<std::pair<std::size_t, double>> tasks;  // target, gamma
  for (std::size_t t = 0; t < fold.targets.size(); ++t) {
    FoldOutcome outcome = regression::outcome_of(fold, fold.targets[t], "svr");
    outcome.selection = options.selection;
    for (const GridPoint& point : points[t]) outcome.points.push_back({point, kNaN, {}});
    outcomes.push_back(std::move(outcome));
    for (const double gamma : distinct_gammas(points[t])) tasks.emplace_back(t, gamma);
  }
  parallel_for(static_cast<std::int64_t>(tasks.size()), 1, [&](std::int64_t begin, std::int64_t) {
    const auto [target, gamma] = tasks[static_cast<std::size_t>(begin)];
    const std::size_t t = target;
    fits.sweep(gamma, fold.targets[t].train, points[t], tolerance,
               [&](std::size_t i, const std::vector<double>& predicted) {
                 outcomes[t].points[i].test = score_predictions(fold.targets[t].test, predicted);
               });
  });
  return outcomes;
}

}  // namespace

std::vector<FoldOutcome> regress_fold(const FoldData& fold, const SvrGrid& grid, const ProbeOptions& options,
                                      std::uint32_t seed) {
  regression::check_fold(fold);
  const std::vector<GridPoint> points = grid_points(grid, options);
  if (options.selection == ProbeOptions::Selection::kTestFolds)
    return scored(fold, std::vector<std::vector<GridPoint>>(fold.targets.size(), points), options,
                  grid.tolerance);
  const std::vector<std::vector<double>> errors =
      held_out_errors(fold, points, options, grid.tolerance, seed);
  std::vector<std::vector<GridPoint>> chosen;
  std::vector<double> error_of_chosen;
  for (const std::vector<double>& of_target : errors) {
    const auto best = std::min_element(of_target.begin(), of_target.end());
    chosen.push_back({points[static_cast<std::size_t>(best - of_target.begin())]});
    error_of_chosen.push_back(*best);
  }
  std::vector<FoldOutcome> outcomes = scored(fold, chosen, options, grid.tolerance);
  for (std::size_t t = 0; t < outcomes.size(); ++t) outcomes[t].points[0].inner_error = error_of_chosen[t];
  return outcomes;
}

}  // namespace emer
