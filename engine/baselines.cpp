#include "engine/baselines.h"

#include <lapacke.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "engine/curve.h"
#include "engine/linear_cca.h"
#include "kernels/cpu/blas.h"

namespace emer {
namespace {

constexpr int kCurveSteps = 60;     // DEAM's; longer curves are interpolated down to it
constexpr double kMaxFit = 0.9999;  // a fitted correlation of 1 would divide by zero

using cpu::gemm;
using cpu::Op;

struct Scaling {
  std::vector<double> mean, deviation;
};

Scaling fit_scaling(const std::vector<double>& x, int n, int width) {
  Scaling s{std::vector<double>(width, 0.0), std::vector<double>(width, 0.0)};
  for (std::size_t i = 0; i < x.size(); ++i) s.mean[i % width] += x[i] / n;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double centred = x[i] - s.mean[i % width];
    s.deviation[i % width] += centred * centred / n;
  }
  for (int k = 0; k < width; ++k) {
    s.deviation[k] = std::sqrt(s.deviation[k]);
    // What is below 1e-12 of the feature's size is rounding: the feature is constant.
    if (s.deviation[k] <= 1e-12 * std::abs(s.mean[k])) s.deviation[k] = 1.0;
  }
  return s;
}

std::vector<double> scaled(std::vector<double> x, const Scaling& s) {
  const std::size_t width = s.mean.size();
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = (x[i] - s.mean[i % width]) / s.deviation[i % width];
  return x;
}

void check_views(const FlatViews& train, const FlatViews& test) {
  EMER_CHECK(train.music_width == test.music_width && train.emotion_width == test.emotion_width,
             "baseline: widths {} x {} in training, {} x {} in test", train.music_width, train.emotion_width,
             test.music_width, test.emotion_width);
  if (train.n < 2)
    fail(ErrorKind::kRunFailed, "a baseline needs at least 2 training songs, there are {}", train.n);
}

// Queries and candidates [n, width], compared by squared distance.
DirectionResult rank_by_distance(const std::vector<double>& queries, const std::vector<double>& candidates,
                                 int n, int width, const EvalOptions& eval, Direction direction) {
  const auto totals = [&](int begin, int end, std::span<double> out) {
    for (int i = begin; i < end; ++i)
      for (int j = 0; j < n; ++j) {
        const double* q = queries.data() + static_cast<std::size_t>(i) * width;
        const double* c = candidates.data() + static_cast<std::size_t>(j) * width;
        double sum = 0.0;
        for (int k = 0; k < width; ++k) sum += (q[k] - c[k]) * (q[k] - c[k]);
        out[static_cast<std::size_t>(i - begin) * n + j] = sum;
      }
  };
  return summarise_ranks(ranks_of_matches(n, totals, eval.tie_rule), eval, direction);
}

}  // namespace

ChanceLevel chance_level(int n) {
  EMER_CHECK(n >= 1, "chance: no songs");
  ChanceLevel chance;
  for (int rank = 1; rank <= n; ++rank) chance.mrr += 1.0 / rank;
  chance.mrr /= n;
  chance.ar = 0.5 * (n + 1);
  for (std::size_t k = 0; k < kRecallAt.size(); ++k)
    chance.recall_at[k] = static_cast<double>(std::min(kRecallAt[k], n)) / n;
  return chance;
}

namespace {

// [2 * 64]: means, then deviations.
std::vector<double> band_statistics(const Dataset& dataset, std::int64_t row) {
  constexpr std::size_t kBands = Dataset::kPatchBands;
  const std::size_t first = static_cast<std::size_t>(dataset.patch_offset[row] * Dataset::kPatchFrames),
                    last = static_cast<std::size_t>(dataset.patch_offset[row + 1] * Dataset::kPatchFrames);
  std::vector<double> statistics(2 * kBands, 0.0);
  const double frames = static_cast<double>(last - first);
  for (std::size_t frame = first; frame < last; ++frame)
    for (std::size_t k = 0; k < kBands; ++k) statistics[k] += dataset.patches[frame * kBands + k] / frames;
  for (std::size_t frame = first; frame < last; ++frame)
    for (std::size_t k = 0; k < kBands; ++k) {
      const double centred = dataset.patches[frame * kBands + k] - statistics[k];
      statistics[kBands + k] += centred * centred / frames;
    }
  for (std::size_t k = kBands; k < 2 * kBands; ++k) statistics[k] = std::sqrt(statistics[k]);
  return statistics;
}

}  // namespace

FlatViews flatten_views(const Dataset& dataset, const std::vector<std::int64_t>& rows) {
  FlatViews flat;
  const int longest = dataset.emotion_length.empty()
                          ? 0
                          : *std::max_element(dataset.emotion_length.begin(), dataset.emotion_length.end());
  const int steps = std::min(longest, kCurveSteps), width = dataset.music_width;
  const bool from_patches = width == 0 && dataset.has_patches();
  flat.n = static_cast<int>(rows.size());
  flat.music_width = from_patches ? static_cast<int>(2 * Dataset::kPatchBands) : width;
  flat.emotion_width = steps * 2;
  for (const std::int64_t row : rows) {
    if (from_patches) {
      const std::vector<double> bands = band_statistics(dataset, row);
      flat.music.insert(flat.music.end(), bands.begin(), bands.end());
    }
    const int valid = dataset.music_is_sequence() ? dataset.music_length[row] : 1;
    const float* music = dataset.music.data() + row * std::max(dataset.music_steps, 1) * width;
    for (int k = 0; k < width; ++k) {
      double sum = 0.0;
      for (int t = 0; t < valid; ++t) sum += music[static_cast<std::size_t>(t) * width + k];
      flat.music.push_back(sum / valid);
    }
    const float* curve = dataset.emotion.data() + row * dataset.emotion_steps * 2;
    const std::vector<float> flattened = resampled_curve(curve, dataset.emotion_length[row], steps);
    flat.emotion.insert(flat.emotion.end(), flattened.begin(), flattened.end());
  }
  return flat;
}

BaselineResult ridge_baseline(const FlatViews& train, const FlatViews& test, const BaselineOptions& options,
                              const EvalOptions& eval) {
  check_views(train, test);
  EMER_CHECK(options.ridge_penalty > 0.0, "ridge baseline: penalty {}", options.ridge_penalty);
  const int f = train.music_width, w = train.emotion_width;
  const Scaling features = fit_scaling(train.music, train.n, f);
  Scaling curves = fit_scaling(train.emotion, train.n, w);
  std::fill(curves.deviation.begin(), curves.deviation.end(),
            1.0);  // centred only: distances are between ratings
  const std::vector<double> x = scaled(train.music, features), y = scaled(train.emotion, curves);
  std::vector<double> gram(static_cast<std::size_t>(f) * f), weight(static_cast<std::size_t>(f) * w);
  gemm(Op::kTranspose, Op::kNone, f, f, train.n, 1.0, x.data(), f, x.data(), f, 0.0, gram.data(), f);
  gemm(Op::kTranspose, Op::kNone, f, w, train.n, 1.0, x.data(), f, y.data(), w, 0.0, weight.data(), w);
  for (int k = 0; k < f; ++k) gram[static_cast<std::size_t>(k) * f + k] += options.ridge_penalty;
  if (LAPACKE_dposv(LAPACK_ROW_MAJOR, 'U', f, w, gram.data(), f, weight.data(), w) != 0)
    fail(ErrorKind::kRunFailed,
         "ridge baseline: X'X + {} I is not positive definite; are all features finite?",
         options.ridge_penalty);
  const std::vector<double> test_x = scaled(test.music, features), truth = scaled(test.emotion, curves);
  std::vector<double> predicted(static_cast<std::size_t>(test.n) * w);
  gemm(Op::kNone, Op::kNone, test.n, w, f, 1.0, test_x.data(), f, weight.data(), w, 0.0, predicted.data(), w);
  return {rank_by_distance(predicted, truth, test.n, w, eval, Direction::kMusicToEmotion),
          rank_by_distance(truth, predicted, test.n, w, eval, Direction::kEmotionToMusic)};
}

BaselineResult cca_baseline(const FlatViews& train, const FlatViews& test, const BaselineOptions& options,
                            const EvalOptions& eval) {
  check_views(train, test);
  const Scaling features = fit_scaling(train.music, train.n, train.music_width);
  const Scaling curves = fit_scaling(train.emotion, train.n, train.emotion_width);
  const std::vector<double> x1 = scaled(train.music, features), x2 = scaled(train.emotion, curves);
  const LinearCca cca =
      fit_linear_cca(x1, x2, train.n, train.music_width, train.emotion_width, options.cca_ridge);
  const int all = cca.directions, kept = std::min(options.cca_directions, all);

  // Unit variance on the training part, so that the correlation is the regression slope both ways.
  const std::vector<double> p1 = project_first(cca, x1, train.n), p2 = project_second(cca, x2, train.n);
  const Scaling unit1 = fit_scaling(p1, train.n, all), unit2 = fit_scaling(p2, train.n, all);
  const std::vector<double> z1 = scaled(p1, unit1), z2 = scaled(p2, unit2);
  std::vector<double> correlation(all, 0.0);
  for (std::size_t i = 0; i < z1.size(); ++i) correlation[i % all] += z1[i] * z2[i] / train.n;

  const std::vector<double> m = scaled(project_first(cca, scaled(test.music, features), test.n), unit1);
  const std::vector<double> e = scaled(project_second(cca, scaled(test.emotion, curves), test.n), unit2);
  const auto one_direction = [&](const std::vector<double>& query, const std::vector<double>& candidate,
                                 Direction direction) {
    std::vector<double> q(static_cast<std::size_t>(test.n) * kept), c(q.size());
    for (std::size_t i = 0; i < static_cast<std::size_t>(test.n); ++i)
      for (int k = 0; k < kept; ++k) {
        const double slope = std::clamp(correlation[k], -kMaxFit, kMaxFit);
        const double weight = 1.0 / std::sqrt(1.0 - slope * slope);
        q[i * kept + k] = weight * query[i * all + k];
        c[i * kept + k] = weight * slope * candidate[i * all + k];
      }
    return rank_by_distance(q, c, test.n, kept, eval, direction);
  };
  return {one_direction(m, e, Direction::kMusicToEmotion), one_direction(e, m, Direction::kEmotionToMusic)};
}

}  // namespace emer
