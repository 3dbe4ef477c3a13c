// engine/report/retrieval_map.h - who found whom: the test songs of a checkpoint at their places in the valence-arousal
// plane, every query's rank and first answers, both ways.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/report/run_data.h"

namespace emer::report {

struct MapSong {
  std::int64_t id = 0;
  std::string title;                         // may be empty
  double valence = 0.0, arousal = 0.0;       // means over the song, in the data set's own units
  std::vector<std::array<double, 2>> curve;  // valence, arousal; at most kCurveSteps, evenly spaced
};
inline constexpr std::size_t kCurveSteps = 16;
inline constexpr int kShownAnswers = 5;

struct MapQuery {
  int song = 0;              // of RetrievalMap::songs
  double rank = 0.0;         // of the match, 1 = best
  std::vector<int> answers;  // best first, at most kShownAnswers
};

struct RetrievalMap {
  std::vector<MapSong> songs;                    // the test part, in the split's order
  std::array<std::vector<MapQuery>, 2> queries;  // Direction of scoring.h
  std::vector<double> canonical_correlations;    // of the training part; empty for lambda = 0
  double correlation_threshold = 0.0;
  std::string data;              // the data set's name
  EvaluationFigures evaluation;  // of the same scores
};

// Opens the run's checkpoint on the CPU and its data set (`data_path`, else where the configuration says), scored as
// `eval` says ("eval.lambda=0.5"). At most `most` queries a direction, evenly spaced. Throws what open_session() throws,
// Error(kRunFailed) for scores that are not numbers.
RetrievalMap retrieval_map(const std::string& run_folder, const std::string& data_path,
                           const std::vector<std::string>& eval, int most = 1500);

}  // namespace emer::report
