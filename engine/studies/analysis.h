// engine/studies/analysis.h - the paper's detailed analysis of one direction of retrieval (method.md 5; B28 to B32): what
// stands among the first answers to each query.
//
//   k           the first floor(top * n) answers, at least one
//   cosine      mean over them of cos(query's own features, answer's features): music means for M2E, valence-arousal
//               means for E2M, so always of the query's kind
//   group       good where the match's rank <= good * n, bad where it is >= bad * n, else middle
//   precision   of a list of categories: mean over the places that hold the query's category of (such places so far) /
//               place; 0 where none does
//   entropy     -sum p log2 p of the categories among the first k (or k + 1), bits
// Answers in order of score, equal scores by index. own_item = false takes the match out of the list first.
//
// Undefined: a cosine with a zero vector (the pair is left out; the query too where none is left), an average precision
// where no answer of the whole list has the query's category. Such queries hold NaN and are counted.
// NaN: a feature or a score that is not a number throws Error(kRunFailed) naming song or query.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/evaluation.h"
#include "engine/studies/circumplex.h"
#include "engine/studies_options.h"

namespace emer {

enum class RankGroup { kGood = 0, kMiddle = 1, kBad = 2 };
inline constexpr int kRankGroups = 3;
inline constexpr std::array<const char*, kRankGroups> kRankGroupNames = {"good", "middle", "bad"};

// ---- parts -------------------------------------------------------------------------------------------------------

// NaN where either is all zeros.
double cosine_similarity(std::span<const double> a, std::span<const double> b);
double average_precision(std::span<const int> categories, int wanted);
double entropy_bits(std::span<const int> categories);  // of at least one
int retrieved_count(int songs, const AnalysisOptions& options);
RankGroup group_of_rank(double rank, int songs, const AnalysisOptions& options);

struct RankedQuery {
  int query = 0;
  double rank = 0.0;           // of the match among all
  std::span<const int> order;  // the first `depth` candidates, best first
};
// Some queries' totals at a time, never all of them; `take` is called once a query, from several threads.
void rank_candidates(int n, const TotalsFunction& totals, EvalOptions::TieRule ties, int depth,
                     const std::function<void(const RankedQuery&)>& take);

// ---- the whole ---------------------------------------------------------------------------------------------------

struct AnalysisSongs {
  std::vector<std::int64_t> song_id;  // [n]
  int width = 0;
  std::vector<double> features;  // [n, width] of the query's kind
  std::vector<int> category;     // [n] in [0, 5)
};

struct AnalysedQuery {
  std::int64_t song_id = 0;
  double rank = 0.0;
  RankGroup group = RankGroup::kGood;
  int category = 0;
  double cosine = 0.0;     // NaN: undefined
  double precision = 0.0;  // NaN: undefined
  double entropy = 0.0;
  std::array<int, kEmotionCategories> retrieved{};  // categories of the first k
};

// Mean and deviation (of the sample, n - 1; NaN for n < 2) over queries where the value is defined.
struct GroupFigures {
  struct Moments {
    int n = 0;
    double mean = 0.0, deviation = 0.0;
  };
  int queries = 0;
  Moments cosine, precision, entropy;
};

struct DirectionAnalysis {
  int retrieved = 0;                   // k
  std::vector<AnalysedQuery> queries;  // [n]
  // Queries by rank, equal ranks by index, and the song id written beside each (B28).
  std::vector<int> by_rank;
  std::vector<std::int64_t> listed_id;
  std::array<GroupFigures, kRankGroups> groups;
  GroupFigures all;
  double mean_average_precision = 0.0;  // NaN where no query has one
  int undefined_cosine = 0, undefined_precision = 0;
  std::vector<std::int64_t> zero_features;  // ids of songs without a direction
  // Of the answers to queries of category i, the share of category j; NaN where there is no such query.
  std::array<std::array<double, kEmotionCategories>, kEmotionCategories> retrieved_share{};
  std::array<int, kEmotionCategories> songs_of_category{};
};

// n >= 1 songs, n >= 2 where the match does not count; totals as ranks_of_matches() takes them.
DirectionAnalysis analyse_direction(const AnalysisSongs& songs, const TotalsFunction& totals,
                                    EvalOptions::TieRule ties, const AnalysisOptions& options);

// What the order of chance gives: every query's answers shuffled, fixed by the seed.
TotalsFunction random_totals(int n, std::uint64_t seed);

}  // namespace emer
