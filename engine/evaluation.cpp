#include "engine/evaluation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/check.h"
#include "core/parallel.h"
#include "core/random.h"
#include "core/tensor.h"
#include "kernels/cpu/pair_totals.h"
#include "kernels/rank_count.h"

namespace emer {
namespace {

constexpr int kStrip = 32;  // queries whose totals are held at a time

double rank_of(const cpu::MatchCounts& counts, EvalOptions::TieRule ties) {
  const auto smaller = static_cast<double>(counts.smaller);
  return ties == EvalOptions::TieRule::kByIndex
             ? 1.0 + smaller + static_cast<double>(counts.equal_before)
             : 1.0 + smaller + 0.5 * (static_cast<double>(counts.equal_before) + counts.equal_after);
}

std::vector<double> ranks_of_matches(Context& ctx, const ScoredPairs& pairs, EvalOptions::TieRule ties) {
  const int n = pairs.scores().queries;
  Tensor<std::int32_t> smaller(ctx, {n}), before(ctx, {n}), after(ctx, {n}), first_nan(ctx, {n});
  rank_count(ctx, {.scores = pairs.scores(),
                   .smaller = smaller.data(),
                   .equal_before = before.data(),
                   .equal_after = after.data(),
                   .first_nan = first_nan.data()});
  const auto s = smaller.to_host(ctx), b = before.to_host(ctx), a = after.to_host(ctx),
             bad = first_nan.to_host(ctx);
  std::vector<double> ranks(n);
  for (int i = 0; i < n; ++i) {
    if (bad[i] >= 0) pairs.fail_not_a_number(i, bad[i]);
    ranks[i] = rank_of({s[i], b[i], a[i]}, ties);
  }
  return ranks;
}

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
      const auto row = std::span(strip).subspan(static_cast<std::size_t>(i - begin) * n, n);
      const cpu::MatchCounts counts = cpu::count_match(row, i);
      if (counts.first_nan >= 0)
        fail(ErrorKind::kRunFailed, "evaluation: the score of query {} against candidate {} is not a number",
             i, counts.first_nan);
      ranks[i] = rank_of(counts, ties);
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

EvaluationResult evaluate_retrieval(Context& ctx, const EvaluationInputs& inputs,
                                    const EvalOptions& options) {
  const OnDevice train_music(ctx, inputs.train_music_embedding),
      train_emotion(ctx, inputs.train_emotion_embedding);
  const HeadsOnDevice music(ctx, inputs.music), emotion(ctx, inputs.emotion);
  if (options.lambda > 0.0) {
    const std::size_t count = static_cast<std::size_t>(inputs.train_n) * inputs.music.d;
    EMER_CHECK(inputs.train_music_embedding.size() == count && inputs.train_emotion_embedding.size() == count,
               "evaluation: {} and {} training values for [{}, {}]", inputs.train_music_embedding.size(),
               inputs.train_emotion_embedding.size(), inputs.train_n, inputs.music.d);
  }
  return evaluate_retrieval(ctx,
                            EvaluationArrays{.train_n = inputs.train_n,
                                             .train_music_embedding = train_music.data(),
                                             .train_emotion_embedding = train_emotion.data(),
                                             .music = music.arrays(),
                                             .emotion = emotion.arrays()},
                            options);
}

EvaluationResult evaluate_retrieval(Context& ctx, const EvaluationArrays& inputs,
                                    const EvalOptions& options) {
  const HeadArrays &music = inputs.music, &emotion = inputs.emotion;
  if (music.n != emotion.n || music.n < 1)
    fail(ErrorKind::kRunFailed, "evaluation needs matching pairs: {} songs, {} emotions", music.n, emotion.n);
  EvaluationResult result;
  std::optional<CcaLines> lines;
  if (options.lambda > 0.0) {
    lines = fit_cca_lines(ctx, inputs.train_music_embedding, inputs.train_emotion_embedding, inputs.train_n,
                          music.d, options.ridge);
    result.canonical_correlations = lines->correlation;
    for (const double c : lines->correlation) result.directions_kept += c >= options.correlation_threshold;
  }
  const auto one_direction = [&](Direction direction) {
    const bool m2e = direction == Direction::kMusicToEmotion;
    const ScoredPairs pairs(ctx, m2e ? music : emotion, m2e ? emotion : music, direction,
                            lines ? &*lines : nullptr, options);
    return summarise_ranks(ranks_of_matches(ctx, pairs, options.tie_rule), options, direction);
  };
  result.m2e = one_direction(Direction::kMusicToEmotion);
  result.e2m = one_direction(Direction::kEmotionToMusic);
  return result;
}

}  // namespace emer
