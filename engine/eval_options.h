// engine/eval_options.h - how retrieval is scored and ranked: the `eval` section of a configuration
// (method.md 5, 6).
#pragma once

#include <cstdint>

namespace emer {

struct EvalOptions {
  double lambda = 0.5;                 // weight of the CCA term, [0, 1]; 0 skips it, 1 skips the KL term
  double correlation_threshold = 0.4;  // directions below it are left out, >= 0
  // What a query is compared by. kQuery: KL(query || candidate). kReleased (B1, B2): the released code's
  // matrix, whose row i belongs to the partner of query i: KL(candidate's partner || query's partner).
  // kCandidate: KL(candidate || query), the rows that the ranking loss itself orders (method.md 3.1).
  enum class KlOrientation { kQuery, kReleased, kCandidate } kl_orientation = KlOrientation::kQuery;
  enum class TieRule { kMean, kByIndex } tie_rule = TieRule::kMean;
  bool standardise_terms = true;  // divide each term by its deviation over the query's candidates
  bool kl_symmetric =
      false;               // the mean of KL both ways between query and candidate; overrides kl_orientation
  double ridge = 1e-4;     // of the evaluation CCA, >= 0
  int bootstrap = 1000;    // resamples of the confidence intervals; 0 = none
  std::uint64_t seed = 1;  // of the resampling
};

}  // namespace emer
