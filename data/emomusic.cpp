#include "data/emomusic.h"

#include "core/check.h"
#include "data/archive.h"
#include "data/input_files.h"
#include "data/published.h"
#include "data/suspicions.h"
#include "data/tables.h"

namespace emer {

ImportResult import_emomusic(const EmomusicTables& tables, const EmomusicOptions& options) {
  if (options.steps < 0) fail_usage("emomusic: steps {} is negative; 0 keeps all ratings", options.steps);
  ImportResult result;
  const RatingTable ratings = pair_ratings(read_wide_ratings(tables.valence),
                                           read_wide_ratings(tables.arousal), options.steps, result.report);
  const FeatureTable features = tables.has_features ? read_features(tables.features) : FeatureTable();
  Dataset& d = result.dataset;
  d = join(ratings, tables.has_features ? &features : nullptr, result.report, options.sound_follows);
  warn_about_scale(d, -1, 1, result.report);
  if (tables.has_names) set_names(d, read_song_names(tables.names, 2, 3, result.report));
  d.metadata["emotion_range"] = "-1..1";
  d.metadata["rate"] = "2 Hz from 15 s";
  d.metadata["steps"] = std::to_string(options.steps);
  return result;
}

ImportResult prepare_emomusic(const EmomusicPaths& paths, const EmomusicOptions& options) {
  InputFiles files;
  const FileTree annotations = FileTree::open(paths.annotations);
  const auto find = [&](const char* name) {
    return files.csv(annotations, annotations.find_one(name, name));
  };
  EmomusicTables tables;
  tables.arousal = find("arousal_cont_average.csv");
  tables.valence = find("valence_cont_average.csv");
  tables.has_features = !paths.features.empty();
  if (tables.has_features) tables.features = files.csv(paths.features);
  std::vector<std::string> warnings;
  const std::vector<std::string> info = annotations.find("songs_info.csv");
  if (info.empty()) {
    warnings.push_back(
        fmt::format("{}: there is no songs_info.csv: songs have no titles", paths.annotations));
  } else {
    // Titles are a comfort: a spoilt table costs them, not the data set.
    try {
      tables.names = files.csv(annotations, info.front());
      tables.has_names = true;
    } catch (const Error& error) {
      warnings.push_back(fmt::format("no titles: {}", error.what()));
    }
  }
  ImportResult result = import_emomusic(tables, options);
  compare_with_published(annotations, "emoMusic", result.report);
  result.report.warnings.insert(result.report.warnings.end(), warnings.begin(), warnings.end());
  files.describe(result.dataset, "emomusic", "emoMusic, averaged continuous annotations", "feature table");
  return result;
}

}  // namespace emer
