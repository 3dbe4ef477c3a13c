// kernels/cuda/rank_count_float.h - the counts of kernels/rank_count.h from float totals wherever those are certain.
// For rank_count.cu.
//
// A pair's float total comes with a bound on how far it is from the double one (rank_count_float.cu derives it). Where
// it is further from the match's total than the bound, the comparison is settled; the few others of a query are listed
// and scored in double. A query with more than its list holds stays unsettled.
#pragma once

#include "kernels/rank_count.h"

namespace emer::cuda {

struct MatchTotals;

// Queries that have to be counted in double, all candidates; their counts are cleared.
struct UnsettledQueries {
  int* list = nullptr;   // [queries], the first *count written
  int* count = nullptr;  // [1], overwritten
};

bool counts_in_float(const RankCount& args);

// ADDS the counts of the settled queries to args' results, which are cleared before.
void count_in_float(Context& ctx, const RankCount& args, const MatchTotals& matches,
                    const UnsettledQueries& unsettled);

}  // namespace emer::cuda
