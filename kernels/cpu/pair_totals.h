// kernels/cpu/pair_totals.h - the totals of kernels/rank_count.h on the CPU, any queries against all candidates.
#pragma once

#include <span>
#include <vector>

#include "kernels/rank_count.h"

namespace emer::cpu {

class PairTotals {
 public:
  // Copies the candidates into panels; the queries' arrays must outlive it.
  explicit PairTotals(const PairScores& scores);

  // totals [end - begin, candidates] of queries [begin, end), overwritten. May be called from several threads.
  void totals(int begin, int end, std::span<double> totals) const;

 private:
  void cca_terms(int begin, int end, double* terms) const;
  template <bool kQueryFirst>
  void add_kl_terms(int begin, int end, double weight, double* terms) const;

  PairScores s_;
  int panels_ = 0;
  // Panels of the candidates; what the scores do not need stays empty.
  std::vector<double> point_, mean_, inverse_, variance_;
};

// How one query's totals compare with that of its match.
struct MatchCounts {
  int smaller = 0, equal_before = 0, equal_after = 0;
  int first_nan = -1;
};
MatchCounts count_match(std::span<const double> totals, int match);

}  // namespace emer::cpu
