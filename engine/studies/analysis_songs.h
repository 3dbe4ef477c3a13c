// engine/studies/analysis_songs.h - what the detailed analysis needs of a data set's songs: means over time and emotion
// categories.
//
// Means are over valid steps; analysis.average_padding takes them over all steps of the array, padding counted as 1e-5,
// which the released data files hold there (B32). Categories are those of the mean rating over valid steps on both sides:
// the released code makes none of padded data. Ratings from 0 to 1 (emotion_range of the data set's metadata, or, where it
// declares no scale, what is observed) are laid around 0 first, 2 x - 1: the circle needs a neutral middle, which the
// released code has for -1..1 only. Cosines take ratings as they are.
#pragma once

#include "data/dataset.h"
#include "engine/studies/analysis.h"

namespace emer {

// [rows, width] row-major.
std::vector<double> mean_music(const Dataset& dataset, const std::vector<std::int64_t>& rows, bool padding);
std::vector<double> mean_emotion(const Dataset& dataset, const std::vector<std::int64_t>& rows, bool padding);

// Throws Error(kUsage) for ratings on another scale.
std::vector<int> emotion_categories(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                                    const AnalysisOptions& options);

// One side each, for queries of music and of emotion. Throws Error(kUsage) for a data set without music features
// (patches alone are no song features).
AnalysisSongs songs_by_music(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                             const AnalysisOptions& options);
AnalysisSongs songs_by_emotion(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                               const AnalysisOptions& options);

}  // namespace emer
