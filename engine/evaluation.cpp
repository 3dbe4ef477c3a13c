#include "engine/evaluation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/check.h"
#include "core/collectives.h"
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

PairScores some_queries(PairScores scores, std::size_t first, int count) {
  const auto move = [&](const double*& array, int width) {
    if (array != nullptr) array += first * static_cast<std::size_t>(width);
  };
  scores.queries = count;
  move(scores.line, scores.kept);
  move(scores.query.mean, scores.d);
  move(scores.query.variance, scores.d);
  move(scores.query.inverse, scores.d);
  move(scores.query.log_sum, 1);
  return scores;
}

// Of several ranks each counts for its queries, and all get all counts.
std::vector<double> ranks_of_matches(Context& ctx, const ScoredPairs& pairs, EvalOptions::TieRule ties) {
  const int n = pairs.scores().queries;
  const Shard own = shard_of(ctx, n);
  const int count = static_cast<int>(own.count);
  const auto block = static_cast<std::size_t>(own.block), first = static_cast<std::size_t>(own.first);
  // Row k of a rank's share: smaller, equal before, equal after, first NaN of its queries.
  constexpr std::size_t kCounts = 4;
  std::vector<std::int64_t> mine(kCounts * block);
  if (count > 0) {
    Tensor<std::int32_t> counts(ctx, {kCounts, count});
    const auto row = [&](int k) { return counts.data() + static_cast<std::size_t>(k) * own.count; };
    rank_count(ctx, {.scores = some_queries(pairs.scores(), first, count),
                     .first_match = static_cast<int>(own.first),
                     .smaller = row(0),
                     .equal_before = row(1),
                     .equal_after = row(2),
                     .first_nan = row(3)});
    const std::vector<std::int32_t> host = counts.to_host(ctx);
    for (std::size_t k = 0; k < kCounts; ++k)
      std::copy_n(host.begin() + static_cast<std::ptrdiff_t>(k) * count, count,
                  mine.begin() + static_cast<std::ptrdiff_t>(k * block));
  }
  std::vector<std::int64_t> all = mine;
  if (ranks_of(ctx) > 1) {
    const Tensor<std::int64_t> from(ctx, {static_cast<std::int64_t>(mine.size())}, mine);
    Tensor<std::int64_t> to(ctx, {static_cast<std::int64_t>(mine.size()) * ranks_of(ctx)});
    all_gather(ctx, from.data(), to.data(), mine.size());
    all = to.to_host(ctx);
  }
  std::vector<double> ranks(n);
  for (int i = 0; i < n; ++i) {
    const std::int64_t* at = all.data() + static_cast<std::size_t>(i) / block * kCounts * block +
                             static_cast<std::size_t>(i) % block;
    const cpu::MatchCounts counts{.smaller = static_cast<int>(at[0]),
                                  .equal_before = static_cast<int>(at[block]),
                                  .equal_after = static_cast<int>(at[2 * block]),
                                  .first_nan = static_cast<int>(at[3 * block])};
    if (counts.first_nan >= 0) pairs.fail_not_a_number(i, counts.first_nan);
    ranks[i] = rank_of(counts, ties);
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
                          music.d, options.ridge, inputs.train_total);
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
