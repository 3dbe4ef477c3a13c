// data/features.h - any features beside any ratings: CSV keyed by song id, or NumPy arrays by position.
#pragma once

#include <string>

#include "data/import_report.h"

namespace emer {

// Ratings come from one of: `ratings` (.npy [N, S, 2], or long-form CSV with id, time, valence, arousal), or
// the pair `valence` and `arousal` of wide CSVs (id, then one column a step). Features: .npy, a CSV of one
// row a song, or a CSV of one row a frame with a time column.
struct FeaturesPaths {
  std::string features;
  std::string ratings;
  std::string valence, arousal;
  std::string ids;  // song ids of the .npy files, in order (.npy or one id a line); empty: 1..N
};
struct FeaturesOptions {
  std::string name = "features";  // of the data set
  std::string music_kind = "feature table";
  int steps = 0;  // ratings kept from the start; 0 keeps all
};

// Two .npy files must hold equally many songs. Throws Error(kUsage) where the ratings are given twice or not
// at all.
ImportResult prepare_features(const FeaturesPaths& paths, const FeaturesOptions& options);

}  // namespace emer
