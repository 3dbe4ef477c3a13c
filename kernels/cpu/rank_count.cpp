#include "kernels/rank_count.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/parallel.h"
#include "kernels/cpu/pair_totals.h"

namespace emer::cpu {

namespace {
// Queries of one strip: enough to reuse every candidate panel from cache, few enough to keep all cores busy.
constexpr int kStrip = 32;
}  // namespace

void rank_count(Context& /*ctx*/, const RankCount& a) {
  const PairTotals scorer(a.scores);
  if (a.left_open != nullptr) std::fill_n(a.left_open, a.scores.queries, 0);
  const std::size_t n = static_cast<std::size_t>(a.scores.candidates);
  parallel_for(a.scores.queries, kStrip, [&](std::int64_t first, std::int64_t last) {
    const int begin = static_cast<int>(first), end = static_cast<int>(last);
    std::vector<double> strip(static_cast<std::size_t>(end - begin) * n);
    scorer.totals(begin, end, strip);
    for (int i = begin; i < end; ++i) {
      const MatchCounts counts = count_match(std::span(strip).subspan((i - begin) * n, n), a.first_match + i);
      a.smaller[i] = counts.smaller;
      a.equal_before[i] = counts.equal_before;
      a.equal_after[i] = counts.equal_after;
      a.first_nan[i] = counts.first_nan;
    }
  });
}

void gaussian_terms(Context& /*ctx*/, const GaussianTerms& a) {
  parallel_for(a.n, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      double log_sum = 0.0;
      for (std::int64_t at = i * a.d; at < (i + 1) * a.d; ++at) {
        const double variance = std::exp(a.log_variance[at]) + a.floor;
        if (a.variance != nullptr) a.variance[at] = variance;
        if (a.inverse != nullptr) a.inverse[at] = 1.0 / variance;
        log_sum += std::log(variance);
      }
      a.log_sum[i] = log_sum;
    }
  });
}

}  // namespace emer::cpu
