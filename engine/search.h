// engine/search.h - asking a trained model: which emotions fit this song, which songs fit this emotion.
// Scores are the evaluation's totals (engine/scoring.h), smaller = more alike; the KL term always compares
// query and candidate, for a query need not have a partner.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/scoring.h"
#include "engine/search_query.h"
#include "engine/session.h"

namespace emer {

struct SearchAnswer {
  int rank = 0;          // 1 = best; equal scores keep the candidates' order
  std::int64_t row = 0;  // of the candidates' data set
  double score = 0.0;
};

// The `top` candidates of query 0, by ascending score.
std::vector<SearchAnswer> best_candidates(const PairScorer& scorer, int top);

// A session's songs, encoded once. `rows` are the candidates (rows of session.data.dataset). The session must
// outlive it.
class SearchIndex {
 public:
  SearchIndex(Session& session, std::vector<std::int64_t> rows);

  std::vector<SearchAnswer> emotions_for(const MusicFeatures& query, int top);
  // A single step is held for the length of the data set's curves; an mlp emotion encoder, which knows one
  // length only, gets any other curve interpolated to it.
  std::vector<SearchAnswer> songs_for(const EmotionCurve& query, int top);
  // By a song of the session's own data set: its music, or its emotion.
  std::vector<SearchAnswer> emotions_for_song(std::int64_t row, int top);
  std::vector<SearchAnswer> songs_for_emotion_of(std::int64_t row, int top);

 private:
  std::vector<SearchAnswer> search(const Dataset& queries, std::int64_t row, Direction direction, int top);

  Session& session_;
  std::vector<std::int64_t> rows_;
  EvalOptions options_;
  HeadMatrix music_, emotion_;  // of the candidates
  std::optional<CcaLines> lines_;
};

}  // namespace emer
