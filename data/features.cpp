#include "data/features.h"

#include "core/check.h"
#include "core/npy.h"
#include "data/arrays.h"
#include "data/input_files.h"
#include "data/suspicions.h"
#include "data/tables.h"

namespace emer {

namespace {

bool is_npy(const std::string& path) {
  return path.ends_with(".npy");
}

std::string observed_range(const Dataset& d) {
  const auto [low, high] = rating_range(d);
  return fmt::format("{:.6g}..{:.6g} (observed)", low, high);
}

}  // namespace

ImportResult prepare_features(const FeaturesPaths& paths, const FeaturesOptions& options) {
  const bool wide = !paths.valence.empty() && !paths.arousal.empty();
  if (paths.valence.empty() != paths.arousal.empty())
    fail_usage("features: valence and arousal tables come in pairs");
  if (wide == !paths.ratings.empty())
    fail_usage("features: give the ratings once, either as one file or as a valence and an arousal table");
  if (options.steps < 0) fail_usage("features: steps {} is negative; 0 keeps all ratings", options.steps);
  if (!paths.ids.empty() && !is_npy(paths.features) && !is_npy(paths.ratings))
    fail_usage("features: ids are for .npy files; the tables given carry their own");

  ImportResult result;
  InputFiles files;
  std::vector<std::int64_t> ids;
  if (!paths.ids.empty()) ids = parse_ids(files.bytes(paths.ids), paths.ids);
  NpyContent feature_array, rating_array;
  if (is_npy(paths.features)) feature_array = parse_npy(files.bytes(paths.features), paths.features);
  if (is_npy(paths.ratings)) rating_array = parse_npy(files.bytes(paths.ratings), paths.ratings);
  if (is_npy(paths.features) && is_npy(paths.ratings)) {
    const std::int64_t described = song_count(feature_array, paths.features);
    const std::int64_t rated = song_count(rating_array, paths.ratings);
    if (described != rated)
      fail_input("{} has {} songs, {} has {}: arrays are matched by position", paths.features, described,
                 paths.ratings, rated);
  }
  RatingTable ratings;
  if (wide) {
    const WideRatings valence = read_wide_ratings(files.csv(paths.valence));
    ratings =
        pair_ratings(valence, read_wide_ratings(files.csv(paths.arousal)), options.steps, result.report);
  } else if (is_npy(paths.ratings)) {
    ratings = ratings_from_array(rating_array, ids, options.steps, paths.ratings, result.report);
  } else {
    ratings = read_long_ratings(files.csv(paths.ratings), options.steps, result.report);
  }
  const FeatureTable features = is_npy(paths.features)
                                    ? features_from_array(feature_array, ids, paths.features, result.report)
                                    : read_features(files.csv(paths.features));
  Dataset& d = result.dataset;
  d = join(ratings, &features, result.report);
  d.metadata["emotion_range"] = observed_range(d);
  d.metadata["steps"] = std::to_string(options.steps);
  files.describe(d, options.name, "features and ratings given as files", options.music_kind);
  return result;
}

}  // namespace emer
