#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "engine/studies/regression.h"
#include "engine/studies/regression_parts.h"
#include "kernels/cpu/blas.h"

namespace emer {
namespace {

using regression::Part;

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// X'X of standardised features, for every penalty and target.
class Ridge {
 public:
  explicit Ridge(Part part) : part_(std::move(part)) {
    regression::standardise(part_);
    const std::int64_t n = part_.train.rows, k = part_.train.width;
    gram_.resize(static_cast<std::size_t>(k * k));
    const double* x = part_.train.values.data();
    cpu::gemm(cpu::Op::kTranspose, cpu::Op::kNone, k, k, n, 1.0, x, k, x, k, 0.0, gram_.data(), k);
  }

  const Part& part() const { return part_; }

  std::vector<double> predict(const std::vector<double>& target, double penalty) const {
    const std::size_t k = static_cast<std::size_t>(part_.train.width);
    const double mean = mean_of(target);
    std::vector<double> matrix = gram_, weights(k, 0.0);
    for (std::size_t i = 0; i < k; ++i) matrix[i * k + i] += penalty;
    for (std::size_t i = 0; i < part_.train.values.size(); ++i)
      weights[i % k] += part_.train.values[i] * (target[i / k] - mean);
    const lapack_int order = part_.train.width;
    const lapack_int info =
        LAPACKE_dposv(LAPACK_ROW_MAJOR, 'U', order, 1, matrix.data(), order, weights.data(), 1);
    if (info != 0)
      fail(ErrorKind::kRunFailed, "ridge regression: penalty {} leaves the equations singular", penalty);
    std::vector<double> predicted(static_cast<std::size_t>(part_.test.rows), mean);
    for (std::size_t i = 0; i < part_.test.values.size(); ++i)
      predicted[i / k] += part_.test.values[i] * weights[i % k];
    return predicted;
  }

 private:
  Part part_;
  std::vector<double> gram_;
};

}  // namespace

std::vector<FoldOutcome> ridge_fold(const FoldData& fold, std::span<const double> penalties, int inner,
                                    std::uint32_t seed) {
  regression::check_fold(fold);
  EMER_CHECK(!penalties.empty() && std::all_of(penalties.begin(), penalties.end(),
                                               [](double p) { return p > 0 && std::isfinite(p); }),
             "ridge regression: penalties must be above 0");
  std::vector<Ridge> parts;
  for (Part& part : regression::inner_parts(fold.train, inner, seed)) parts.emplace_back(std::move(part));
  const Ridge whole({fold.train, fold.test, {}, {}});
  std::vector<FoldOutcome> outcomes;
  for (const FoldTarget& target : fold.targets) {
    PointOutcome best;
    best.inner_error = std::numeric_limits<double>::infinity();
    for (const double penalty : penalties) {
      double error = 0.0;
      for (const Ridge& ridge : parts)
        error += regression::squared_error(
                     regression::picked(target.train, ridge.part().test_rows),
                     ridge.predict(regression::picked(target.train, ridge.part().train_rows), penalty)) /
                 fold.train.rows;
      if (error < best.inner_error) {
        best.inner_error = error;
        best.point.penalty = penalty;
      }
    }
    best.test = score_predictions(target.test, whole.predict(target.train, best.point.penalty));
    outcomes.push_back(regression::outcome_of(fold, target, "ridge"));
    outcomes.back().points = {best};
  }
  return outcomes;
}

std::vector<FoldOutcome> mean_fold(const FoldData& fold) {
  regression::check_fold(fold);
  std::vector<FoldOutcome> outcomes;
  for (const FoldTarget& target : fold.targets) {
    const std::vector<double> predicted(target.test.size(), mean_of(target.train));
    outcomes.push_back(regression::outcome_of(fold, target, "mean"));
    outcomes.back().points = {
        {{}, std::numeric_limits<double>::quiet_NaN(), score_predictions(target.test, predicted)}};
  }
  return outcomes;
}

}  // namespace emer
