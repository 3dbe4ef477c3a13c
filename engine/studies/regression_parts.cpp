#include "engine/studies/regression_parts.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "data/split.h"

namespace emer {

std::vector<std::vector<int>> inner_folds(int songs, int folds, std::uint32_t seed) {
  EMER_CHECK(songs >= 1 && folds >= 1, "inner folds: {} of {} songs", folds, songs);
  const std::vector<std::int64_t> order = numpy_permutation(seed, songs);
  std::vector<std::vector<int>> parts(static_cast<std::size_t>(folds));
  auto at = order.begin();
  for (int f = 0; f < folds; ++f) {
    const int size = songs / folds + (f < songs % folds ? 1 : 0);
    parts[static_cast<std::size_t>(f)].assign(at, at + size);
    at += size;
  }
  return parts;
}

namespace regression {
namespace {

FeatureRows rows_of(const FeatureRows& songs, const std::vector<int>& rows) {
  FeatureRows out{static_cast<int>(rows.size()), songs.width, {}};
  for (const int row : rows) {
    const auto begin = songs.values.begin() + static_cast<std::ptrdiff_t>(row) * songs.width;
    out.values.insert(out.values.end(), begin, begin + songs.width);
  }
  return out;
}

void check_finite(const std::vector<double>& values, std::size_t width, const std::string& what) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      fail(ErrorKind::kRunFailed,
           "regression: {} of song {} of the fold is not finite: look for what diverged in the run", what,
           i / width + 1);
}

}  // namespace

void standardise(Part& part) {
  const std::size_t width = static_cast<std::size_t>(part.train.width);
  const double songs = part.train.rows;
  std::vector<double> mean(width, 0.0), deviation(width, 0.0);
  const std::vector<double>& x = part.train.values;
  for (std::size_t i = 0; i < x.size(); ++i) mean[i % width] += x[i] / songs;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double centred = x[i] - mean[i % width];
    deviation[i % width] += centred * centred / songs;
  }
  for (std::size_t k = 0; k < width; ++k) {
    deviation[k] = std::sqrt(deviation[k]);
    // What is below 1e-12 of the feature's size is rounding: the feature is constant.
    if (deviation[k] <= 1e-12 * std::abs(mean[k])) deviation[k] = 1.0;
  }
  for (FeatureRows* rows : {&part.train, &part.test})
    for (std::size_t i = 0; i < rows->values.size(); ++i)
      rows->values[i] = (rows->values[i] - mean[i % width]) / deviation[i % width];
}

std::vector<Part> inner_parts(const FeatureRows& songs, int folds, std::uint32_t seed) {
  if (folds < 2 || songs.rows < folds || songs.rows - (songs.rows + folds - 1) / folds < 2)
    fail_usage("regression: {} training songs are too few for {} inner folds (probe.inner_folds)", songs.rows,
               folds);
  const std::vector<std::vector<int>> held = inner_folds(songs.rows, folds, seed);
  std::vector<Part> parts;
  for (std::size_t f = 0; f < held.size(); ++f) {
    Part part;
    part.test_rows = held[f];
    for (std::size_t other = 0; other < held.size(); ++other)
      if (other != f) part.train_rows.insert(part.train_rows.end(), held[other].begin(), held[other].end());
    part.train = rows_of(songs, part.train_rows);
    part.test = rows_of(songs, part.test_rows);
    parts.push_back(std::move(part));
  }
  return parts;
}

std::vector<double> picked(const std::vector<double>& values, const std::vector<int>& rows) {
  std::vector<double> out;
  for (const int row : rows) out.push_back(values[static_cast<std::size_t>(row)]);
  return out;
}

double squared_error(const std::vector<double>& truth, const std::vector<double>& predicted) {
  double sum = 0.0;
  for (std::size_t i = 0; i < truth.size(); ++i) sum += (truth[i] - predicted[i]) * (truth[i] - predicted[i]);
  return sum;
}

void check_fold(const FoldData& fold) {
  for (const FeatureRows* rows : {&fold.train, &fold.test}) {
    EMER_CHECK(rows->rows >= 1 && rows->width >= 1 && rows->width == fold.train.width &&
                   rows->values.size() == static_cast<std::size_t>(rows->rows) * rows->width,
               "regression: {} values for {} rows of {} features", rows->values.size(), rows->rows,
               rows->width);
    check_finite(rows->values, static_cast<std::size_t>(rows->width), "a feature");
  }
  if (fold.train.rows < 2)
    fail_usage("regression: {} training songs, at least 2 are needed", fold.train.rows);
  for (const FoldTarget& target : fold.targets) {
    EMER_CHECK(target.train.size() == static_cast<std::size_t>(fold.train.rows) &&
                   target.test.size() == static_cast<std::size_t>(fold.test.rows),
               "regression: {} and {} targets for {} and {} songs", target.train.size(), target.test.size(),
               fold.train.rows, fold.test.rows);
    check_finite(target.train, 1, target.name);
    check_finite(target.test, 1, target.name);
  }
}

FoldOutcome outcome_of(const FoldData& fold, const FoldTarget& target, const char* method) {
  FoldOutcome outcome;
  outcome.target = target.name;
  outcome.method = method;
  outcome.train_songs = fold.train.rows;
  outcome.test_songs = fold.test.rows;
  outcome.width = fold.train.width;
  return outcome;
}

}  // namespace regression
}  // namespace emer
