#include "kernels/rank_count.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

namespace {

void check_pair_scores(const PairScores& s) {
  EMER_CHECK(s.cca_weight >= 0.0 && s.kl_weight >= 0.0, "pair scores: weights {} and {}", s.cca_weight,
             s.kl_weight);
  EMER_CHECK(s.kept >= 0 && (s.cca_weight == 0.0 || s.kept == 0 || (s.line && s.point)),
             "pair scores: {} directions, line or point missing", s.kept);
  if (s.kl_weight == 0.0) return;
  EMER_CHECK(s.d >= 1 && (s.query_first || s.candidate_first), "pair scores: a KL term of width {}", s.d);
  EMER_CHECK(s.query.mean && s.candidate.mean && s.query.log_sum && s.candidate.log_sum,
             "pair scores: a mean or log_sum is missing");
  EMER_CHECK(!s.query_first || (s.query.variance && s.candidate.inverse),
             "pair scores: KL(query || candidate) needs the query's variance, the candidate's inverse");
  EMER_CHECK(!s.candidate_first || (s.candidate.variance && s.query.inverse),
             "pair scores: KL(candidate || query) needs the candidate's variance, the query's inverse");
}

}  // namespace

void rank_count(Context& ctx, const RankCount& a) {
  const PairScores& s = a.scores;
  EMER_CHECK(s.queries >= 1 && s.candidates >= 1, "rank_count: {} queries, {} candidates", s.queries,
             s.candidates);
  EMER_CHECK(a.first_match >= 0 && s.queries <= s.candidates - a.first_match,
             "rank_count: {} queries whose matches start at {} of {} candidates", s.queries, a.first_match,
             s.candidates);
  EMER_CHECK(a.smaller && a.equal_before && a.equal_after && a.first_nan, "rank_count: null result");
  check_pair_scores(s);
  dispatch(
      ctx, [&] { cpu::rank_count(ctx, a); }, [&] { cuda::rank_count(ctx, a); });
}

void gaussian_terms(Context& ctx, const GaussianTerms& a) {
  EMER_CHECK(a.n >= 0 && a.d >= 1, "gaussian_terms: [{}, {}]", a.n, a.d);
  EMER_CHECK(a.n == 0 || (a.log_variance && a.log_sum), "gaussian_terms: null argument");
  dispatch(
      ctx, [&] { cpu::gaussian_terms(ctx, a); }, [&] { cuda::gaussian_terms(ctx, a); });
}

}  // namespace emer
