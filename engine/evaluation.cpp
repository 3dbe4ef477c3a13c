#include "engine/evaluation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/check.h"
#include "core/parallel.h"
#include "core/random.h"

namespace emer {
namespace {

// Queries of one strip: enough to reuse every candidate panel from cache, few enough to keep both cores busy.
constexpr int kStrip = 32;

// Linear interpolation between order statistics, as NumPy's default.
double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

std::array<double, 2> interval(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {quantile(values, 0.025), quantile(values, 0.975)};
}

}  // namespace

std::vector<double> ranks_of_matches(int n, const TotalsFunction& totals, EvalOptions::TieRule ties) {
  EMER_CHECK(n >= 1, "evaluation: no songs to rank");
  std::vector<double> ranks(n);
  parallel_for(n, kStrip, [&](std::int64_t first, std::int64_t last) {
    const int begin = static_cast<int>(first), end = static_cast<int>(last);
    std::vector<double> strip(static_cast<std::size_t>(end - begin) * n);
    totals(begin, end, strip);
    for (int i = begin; i < end; ++i) {
      const double* row = strip.data() + static_cast<std::size_t>(i - begin) * n;
      const double own = row[i];
      std::int64_t smaller = 0, equal_before = 0, equal_after = 0, unordered = 0;
      for (int j = 0; j < n; ++j) {
        smaller += row[j] < own;
        equal_before += row[j] == own && j < i;
        equal_after += row[j] == own && j > i;
        unordered += std::isnan(row[j]);
      }
      if (unordered > 0 || std::isnan(own))
        fail(ErrorKind::kRunFailed, "evaluation: {} of the {} scores of query {} are not numbers", unordered,
             n, i);
      const auto before = static_cast<double>(smaller);
      ranks[i] = ties == EvalOptions::TieRule::kByIndex
                     ? 1.0 + before + static_cast<double>(equal_before)
                     : 1.0 + before + 0.5 * static_cast<double>(equal_before + equal_after);
    }
  });
  return ranks;
}

DirectionResult summarise_ranks(std::vector<double> ranks, const EvalOptions& options, Direction direction) {
  EMER_CHECK(!ranks.empty(), "evaluation: no ranks");
  const std::size_t n = ranks.size();
  const auto count = static_cast<double>(n);
  DirectionResult result;
  for (const double rank : ranks) {
    result.mrr += 1.0 / rank;
    result.ar += rank;
    for (std::size_t k = 0; k < kRecallAt.size(); ++k) result.recall_at[k] += rank <= kRecallAt[k];
  }
  result.mrr /= count;
  result.ar /= count;
  for (double& recall : result.recall_at) recall /= count;
  std::vector<double> sorted = ranks;
  std::sort(sorted.begin(), sorted.end());
  result.median_rank = quantile(sorted, 0.5);

  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  result.mrr_interval = result.ar_interval = {kNone, kNone};
  if (options.bootstrap > 0) {
    RandomStream random(options.seed, streams::kBootstrap + static_cast<std::uint64_t>(direction));
    std::vector<double> mrr(options.bootstrap), ar(options.bootstrap);
    for (int b = 0; b < options.bootstrap; ++b) {
      double reciprocal = 0.0, sum = 0.0;
      for (std::size_t i = 0; i < n; ++i) {
        const double rank = ranks[random.below(n)];
        reciprocal += 1.0 / rank;
        sum += rank;
      }
      mrr[b] = reciprocal / count;
      ar[b] = sum / count;
    }
    result.mrr_interval = interval(std::move(mrr));
    result.ar_interval = interval(std::move(ar));
  }
  result.ranks = std::move(ranks);
  return result;
}

EvaluationResult evaluate_retrieval(Context& /*ctx*/, const EvaluationInputs& inputs,
                                    const EvalOptions& options) {
  const HeadMatrix &music = inputs.music, &emotion = inputs.emotion;
  if (music.n != emotion.n || music.n < 1)
    fail(ErrorKind::kRunFailed, "evaluation needs matching pairs: {} songs, {} emotions", music.n, emotion.n);
  EvaluationResult result;
  std::optional<CcaLines> lines;
  if (options.lambda > 0.0) {
    lines = fit_cca_lines(inputs.train_music_embedding, inputs.train_emotion_embedding, inputs.train_n,
                          music.d, options.ridge);
    result.canonical_correlations = lines->correlation;
    for (const double c : lines->correlation) result.directions_kept += c >= options.correlation_threshold;
  }
  const auto one_direction = [&](Direction direction) {
    const bool m2e = direction == Direction::kMusicToEmotion;
    const PairScorer scorer(m2e ? music : emotion, m2e ? emotion : music, direction,
                            lines ? &*lines : nullptr, options);
    auto ranks = ranks_of_matches(
        music.n, [&](int begin, int end, std::span<double> totals) { scorer.totals(begin, end, totals); },
        options.tie_rule);
    return summarise_ranks(std::move(ranks), options, direction);
  };
  result.m2e = one_direction(Direction::kMusicToEmotion);
  result.e2m = one_direction(Direction::kEmotionToMusic);
  return result;
}

}  // namespace emer
