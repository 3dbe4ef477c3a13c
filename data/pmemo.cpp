#include "data/pmemo.h"

#include "core/check.h"
#include "data/archive.h"
#include "data/input_files.h"
#include "data/published.h"
#include "data/suspicions.h"
#include "data/tables.h"

namespace emer {

ImportResult import_pmemo(const PmemoTables& tables, const PmemoOptions& options) {
  if (options.steps < 0) fail_usage("pmemo: steps {} is negative; 0 keeps all ratings", options.steps);
  if (!(options.shortest_seconds >= 0))
    fail_usage("pmemo: shortest duration {} s is not a time", options.shortest_seconds);
  ImportResult result;
  ImportReport& report = result.report;
  const RatingTable rated = read_long_ratings(tables.dynamic, options.steps, report);

  const CsvTable& metadata = tables.metadata;
  const int id_at = id_column(metadata), duration_at = metadata.column("duration");
  const std::string too_short = fmt::format("shorter than {} s", options.shortest_seconds);
  RatingTable kept;
  kept.label = rated.label;
  std::map<std::int64_t, std::int64_t> lines;
  for (const CsvRow& row : metadata.rows) {
    const std::int64_t id = song_id(metadata, row, id_at);
    if (const auto [at, is_new] = lines.try_emplace(id, row.line); !is_new)
      fail_input("{}: line {}: song {} is already on line {}", metadata.label, row.line, id, at->second);
    const std::optional<double> duration = number_or_missing(metadata, row, duration_at);
    const auto ratings = rated.songs.find(id);
    if (!duration)
      report.drop("no duration in the metadata", id);
    else if (*duration < options.shortest_seconds)
      report.drop(too_short, id);
    else if (ratings == rated.songs.end())
      report.drop("no dynamic ratings", id);
    else
      kept.songs.insert(*ratings);
  }
  for (const auto& [id, ratings] : rated.songs)
    if (!lines.count(id)) report.drop("not in the metadata", id);

  const FeatureTable features = tables.has_features ? read_features(tables.features) : FeatureTable();
  Dataset& d = result.dataset;
  d = join(kept, tables.has_features ? &features : nullptr, report, options.sound_follows);
  warn_about_scale(d, 0, 1, report);
  set_names(d, read_song_names(metadata, 3, 2, report));
  d.metadata["emotion_range"] = "0..1";
  d.metadata["rate"] = "2 Hz from 15.5 s";
  d.metadata["steps"] = std::to_string(options.steps);
  d.metadata["shortest_seconds"] = fmt::format("{}", options.shortest_seconds);
  return result;
}

ImportResult prepare_pmemo(const PmemoPaths& paths, const PmemoOptions& options) {
  InputFiles files;
  PmemoTables tables;
  const FileTree annotations = FileTree::open(paths.annotations);
  const FileTree metadata = paths.metadata.empty() ? annotations : FileTree::open(paths.metadata);
  if (paths.metadata.empty() && annotations.kind() == FileTree::Kind::kFile)
    fail_usage("pmemo: {} is a single file: --metadata must name metadata.csv", paths.annotations);
  const auto table = [&](const FileTree& tree, const char* name) {
    // A file that is named is taken, whatever its name.
    const bool named = tree.kind() == FileTree::Kind::kFile;
    return files.csv(tree, named ? tree.files().front() : tree.find_one(name, name));
  };
  tables.dynamic = table(annotations, "dynamic_annotations.csv");
  tables.metadata = table(metadata, "metadata.csv");
  tables.has_features = !paths.features.empty();
  if (tables.has_features) tables.features = files.csv(paths.features);
  ImportResult result = import_pmemo(tables, options);
  compare_with_published(annotations, "PMEmo2019.zip", result.report);
  files.describe(result.dataset, "pmemo", "PMEmo 2019, averaged dynamic annotations", "feature table");
  return result;
}

}  // namespace emer
