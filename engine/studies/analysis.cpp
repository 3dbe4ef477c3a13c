#include "engine/studies/analysis.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "core/parallel.h"
#include "core/random.h"
#include "kernels/cpu/pair_totals.h"

namespace emer {
namespace {

constexpr int kStrip = 32;  // queries whose totals are held at a time
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
// Shares are decimal fractions, whose products with a count may miss a whole number by a rounding.
constexpr double kRounding = 1e-9;
// Beside the two directions' bootstraps.
constexpr std::uint64_t kRandomOrder = streams::kBootstrap + (1ull << 30);

void check_songs(const AnalysisSongs& songs, const AnalysisOptions& options) {
  const std::size_t n = songs.song_id.size();
  EMER_CHECK(n >= 1 && songs.width >= 1 && songs.category.size() == n &&
                 songs.features.size() == n * static_cast<std::size_t>(songs.width),
             "analysis: {} songs, {} categories, {} features of width {}", n, songs.category.size(),
             songs.features.size(), songs.width);
  for (const int category : songs.category)
    EMER_CHECK(category >= 0 && category < kEmotionCategories, "analysis: category {}", category);
  for (std::size_t i = 0; i < songs.features.size(); ++i)
    if (!std::isfinite(songs.features[i]))
      fail(ErrorKind::kRunFailed, "analysis: feature {} of song {} is not a number", i % songs.width,
           songs.song_id[i / songs.width]);
  if (n < 2 && !options.own_item)
    fail_usage("analysis: one song alone has no other answers; analysis.own_item: true counts its own match");
}

GroupFigures::Moments moments(const std::vector<double>& values) {
  GroupFigures::Moments m;
  double sum = 0.0;
  for (const double v : values)
    if (!std::isnan(v)) {
      sum += v;
      ++m.n;
    }
  m.mean = m.n > 0 ? sum / m.n : kNone;
  double squares = 0.0;
  for (const double v : values)
    if (!std::isnan(v)) squares += (v - m.mean) * (v - m.mean);
  m.deviation = m.n > 1 ? std::sqrt(squares / (m.n - 1)) : kNone;
  return m;
}

template <class Wanted>
GroupFigures figures_of(const std::vector<AnalysedQuery>& queries, Wanted&& wanted) {
  GroupFigures f;
  std::vector<double> cosine, precision, entropy;
  for (const AnalysedQuery& q : queries) {
    if (!wanted(q)) continue;
    ++f.queries;
    cosine.push_back(q.cosine);
    precision.push_back(q.precision);
    entropy.push_back(q.entropy);
  }
  f.cosine = moments(cosine);
  f.precision = moments(precision);
  f.entropy = moments(entropy);
  return f;
}

std::span<const double> features_of(const AnalysisSongs& songs, int song) {
  return std::span(songs.features).subspan(static_cast<std::size_t>(song) * songs.width, songs.width);
}

double mean_cosine(const AnalysisSongs& songs, int query, std::span<const int> answers) {
  std::vector<double> similarities;
  for (const int answer : answers)
    similarities.push_back(cosine_similarity(features_of(songs, query), features_of(songs, answer)));
  return moments(similarities).mean;
}

void summarise(DirectionAnalysis& result, const AnalysisOptions& options) {
  const std::vector<AnalysedQuery>& queries = result.queries;
  result.all = figures_of(queries, [](const AnalysedQuery&) { return true; });
  std::vector<double> group_means;
  for (int g = 0; g < kRankGroups; ++g) {
    result.groups[g] =
        figures_of(queries, [g](const AnalysedQuery& q) { return q.group == static_cast<RankGroup>(g); });
    group_means.push_back(result.groups[g].precision.mean);
  }
  result.mean_average_precision = options.mean_precision == AnalysisOptions::MeanPrecision::kQueries
                                      ? result.all.precision.mean
                                      : moments(group_means).mean;
  result.undefined_cosine = result.all.queries - result.all.cosine.n;
  result.undefined_precision = result.all.queries - result.all.precision.n;

  for (int c = 0; c < kEmotionCategories; ++c) {
    std::array<double, kEmotionCategories> counted{};
    double answers = 0.0;
    for (const AnalysedQuery& q : queries)
      for (int other = 0; q.category == c && other < kEmotionCategories; ++other) {
        counted[other] += q.retrieved[other];
        answers += q.retrieved[other];
      }
    for (int other = 0; other < kEmotionCategories; ++other)
      result.retrieved_share[c][other] = answers > 0.0 ? counted[other] / answers : kNone;
  }

  result.by_rank.resize(queries.size());
  std::iota(result.by_rank.begin(), result.by_rank.end(), 0);
  std::stable_sort(result.by_rank.begin(), result.by_rank.end(),
                   [&](int a, int b) { return queries[a].rank < queries[b].rank; });
  const bool permuted = options.song_ids == AnalysisOptions::SongIds::kPermuted;
  for (std::size_t i = 0; i < queries.size(); ++i)
    result.listed_id.push_back(queries[permuted ? static_cast<std::size_t>(result.by_rank[i]) : i].song_id);
}

}  // namespace

double cosine_similarity(std::span<const double> a, std::span<const double> b) {
  EMER_CHECK(a.size() == b.size(), "cosine: widths {} and {}", a.size(), b.size());
  double dot = 0.0, aa = 0.0, bb = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    dot += a[k] * b[k];
    aa += a[k] * a[k];
    bb += b[k] * b[k];
  }
  return aa > 0.0 && bb > 0.0 ? dot / (std::sqrt(aa) * std::sqrt(bb)) : kNone;
}

double average_precision(std::span<const int> categories, int wanted) {
  double sum = 0.0;
  int hits = 0;
  for (std::size_t place = 0; place < categories.size(); ++place) {
    if (categories[place] != wanted) continue;
    ++hits;
    sum += static_cast<double>(hits) / static_cast<double>(place + 1);
  }
  return hits > 0 ? sum / hits : 0.0;
}

double entropy_bits(std::span<const int> categories) {
  EMER_CHECK(!categories.empty(), "entropy of nothing");
  std::vector<int> sorted(categories.begin(), categories.end());
  std::sort(sorted.begin(), sorted.end());
  double bits = 0.0;
  for (auto run = sorted.begin(); run != sorted.end();) {
    const auto end = std::upper_bound(run, sorted.end(), *run);
    const double p = static_cast<double>(end - run) / static_cast<double>(sorted.size());
    bits += p * std::log2(1.0 / p);
    run = end;
  }
  return bits;
}

int retrieved_count(int songs, const AnalysisOptions& options) {
  return std::max(1, static_cast<int>(std::floor(songs * options.top + kRounding)));
}

RankGroup group_of_rank(double rank, int songs, const AnalysisOptions& options) {
  if (rank <= songs * options.good + kRounding) return RankGroup::kGood;
  return rank >= songs * options.bad - kRounding ? RankGroup::kBad : RankGroup::kMiddle;
}

void rank_candidates(int n, const TotalsFunction& totals, EvalOptions::TieRule ties, int depth,
                     const std::function<void(const RankedQuery&)>& take) {
  EMER_CHECK(n >= 1 && depth >= 1, "analysis: {} songs, {} answers", n, depth);
  const int kept = std::min(depth, n);
  parallel_for(n, kStrip, [&](std::int64_t first, std::int64_t last) {
    const int begin = static_cast<int>(first), end = static_cast<int>(last);
    std::vector<double> strip(static_cast<std::size_t>(end - begin) * n);
    totals(begin, end, strip);
    std::vector<int> order(n);
    for (int i = begin; i < end; ++i) {
      const auto row = std::span(strip).subspan(static_cast<std::size_t>(i - begin) * n, n);
      const cpu::MatchCounts counts = cpu::count_match(row, i);
      if (counts.first_nan >= 0)
        fail(ErrorKind::kRunFailed, "analysis: the score of query {} against candidate {} is not a number", i,
             counts.first_nan);
      const double before = ties == EvalOptions::TieRule::kByIndex
                                ? counts.equal_before
                                : 0.5 * (counts.equal_before + counts.equal_after);
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + kept, order.end(),
                        [&](int a, int b) { return row[a] < row[b] || (row[a] == row[b] && a < b); });
      take({.query = i, .rank = 1.0 + counts.smaller + before, .order = std::span(order).first(kept)});
    }
  });
}

DirectionAnalysis analyse_direction(const AnalysisSongs& songs, const TotalsFunction& totals,
                                    EvalOptions::TieRule ties, const AnalysisOptions& options) {
  check_songs(songs, options);
  const int n = static_cast<int>(songs.song_id.size());
  DirectionAnalysis result;
  result.retrieved = retrieved_count(n, options);
  const int k = result.retrieved;
  const int entropy_items = options.entropy_items == AnalysisOptions::EntropyItems::kKPlusOne ? k + 1 : k;
  const bool whole = options.precision_list == AnalysisOptions::PrecisionList::kWhole;
  for (const int category : songs.category) ++result.songs_of_category[category];
  for (int i = 0; i < n; ++i) {
    const auto features = features_of(songs, i);
    if (std::all_of(features.begin(), features.end(), [](double v) { return v == 0.0; }))
      result.zero_features.push_back(songs.song_id[i]);
  }

  result.queries.resize(n);
  // One more than the longest list, for the match that may be taken out.
  const int depth = whole ? n : std::min(n, entropy_items + 1);
  rank_candidates(n, totals, ties, depth, [&](const RankedQuery& ranked) {
    std::vector<int> answers, categories;
    for (const int candidate : ranked.order) {
      if (candidate == ranked.query && !options.own_item) continue;
      answers.push_back(candidate);
      categories.push_back(songs.category[candidate]);
    }
    const auto first = [](const std::vector<int>& list, int count) {
      return std::span(list).first(std::min(list.size(), static_cast<std::size_t>(count)));
    };
    AnalysedQuery& q = result.queries[ranked.query];
    q.song_id = songs.song_id[ranked.query];
    q.rank = ranked.rank;
    q.group = group_of_rank(ranked.rank, n, options);
    q.category = songs.category[ranked.query];
    q.cosine = mean_cosine(songs, ranked.query, first(answers, k));
    const int relevant = result.songs_of_category[q.category] - (options.own_item ? 0 : 1);
    q.precision =
        relevant > 0
            ? average_precision(whole ? std::span<const int>(categories) : first(categories, k), q.category)
            : kNone;
    q.entropy = entropy_bits(first(categories, entropy_items));
    for (const int category : first(categories, k)) ++q.retrieved[category];
  });
  summarise(result, options);
  return result;
}

TotalsFunction random_totals(int n, std::uint64_t seed) {
  return [n, seed](int begin, int end, std::span<double> totals) {
    for (int i = begin; i < end; ++i)
      for (int j = 0; j < n; ++j) {
        const PhiloxBlock block =
            philox(seed, kRandomOrder + static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(j));
        totals[static_cast<std::size_t>(i - begin) * n + j] = unit_double(block.word[0], block.word[1]);
      }
  };
}

}  // namespace emer
