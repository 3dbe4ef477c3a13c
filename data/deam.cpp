#include "data/deam.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/check.h"
#include "data/archive.h"
#include "data/input_files.h"
#include "data/published.h"
#include "data/suspicions.h"
#include "data/tables.h"

namespace emer {

namespace {

constexpr std::size_t kReleasedLength = 60;
constexpr std::size_t kEnoughSongs = 10;
constexpr std::int64_t kLastSongOf2013 = 1000;

struct StaticRating {
  double valence = 0, arousal = 0;
};

std::map<std::int64_t, StaticRating> read_statics(const std::vector<CsvTable>& tables) {
  std::map<std::int64_t, StaticRating> statics;
  for (const CsvTable& table : tables) {
    const int id_at = id_column(table), valence_at = table.column("valence_mean"),
              arousal_at = table.column("arousal_mean");
    for (const CsvRow& row : table.rows) {
      const auto valence = number_or_missing(table, row, valence_at),
                 arousal = number_or_missing(table, row, arousal_at);
      if (valence && arousal) statics[song_id(table, row, id_at)] = {*valence, *arousal};
    }
  }
  return statics;
}

void warn_about_swapped_statics(const Dataset& d, const std::map<std::int64_t, StaticRating>& statics,
                                ImportReport& report) {
  constexpr double kClearly = 0.1;  // the circulating files: .956 against .57
  const std::vector<double> dynamic = mean_rating(d, 1);
  for (const bool early : {true, false}) {
    std::vector<double> arousal, static_valence, static_arousal;
    for (std::size_t row = 0; row < d.song_id.size(); ++row) {
      const auto found = statics.find(d.song_id[row]);
      if (found == statics.end() || (d.song_id[row] <= kLastSongOf2013) != early) continue;
      arousal.push_back(dynamic[row]);
      static_valence.push_back(found->second.valence);
      static_arousal.push_back(found->second.arousal);
    }
    const double with_valence = correlation(arousal, static_valence);
    const double with_arousal = correlation(arousal, static_arousal);
    if (arousal.size() >= kEnoughSongs && with_valence > with_arousal + kClearly)
      report.warnings.push_back(fmt::format(
          "static ratings of ids {} {} ({} songs): valence and arousal columns look swapped (mean dynamic "
          "arousal correlates {:.3f} with valence_mean, {:.3f} with arousal_mean); only the dynamic ratings "
          "are used",
          early ? "up to" : "above", kLastSongOf2013, arousal.size(), with_valence, with_arousal));
  }
}

void copy_arousal_over_odd_lengths(WideRatings& valence, const WideRatings& arousal, ImportReport& report) {
  for (auto& [id, values] : valence.songs) {
    const auto other = arousal.songs.find(id);
    if (other == arousal.songs.end() || values.size() != other->second.size() ||
        values.size() == kReleasedLength)
      continue;
    values = other->second;
    report.change("valence replaced by arousal, as released, where there are not 60 ratings", id);
  }
}

// Columns are found by name; these are the places of artist and title in each year's original, for headers
// without.
std::pair<int, int> name_positions(const std::string& label) {
  if (label.find("2013") != std::string::npos) return {2, 3};
  if (label.find("2014") != std::string::npos) return {1, 3};
  return {3, 2};
}

}  // namespace

namespace {

void check(const DeamOptions& options) {
  if (options.steps < 0) fail_usage("deam: steps {} is negative; 0 keeps all ratings", options.steps);
}

ImportResult import_ratings(WideRatings valence, const WideRatings& arousal, const DeamTables& tables,
                            const DeamOptions& options) {
  ImportResult result;
  if (options.released_short_valence) copy_arousal_over_odd_lengths(valence, arousal, result.report);
  const RatingTable ratings = pair_ratings(valence, arousal, options.steps, result.report);
  const FeatureTable features = tables.has_features ? read_features(tables.features) : FeatureTable();
  Dataset& d = result.dataset;
  d = join(ratings, tables.has_features ? &features : nullptr, result.report, options.sound_follows);
  warn_about_scale(d, -1, 1, result.report);
  if (!tables.statics.empty()) warn_about_swapped_statics(d, read_statics(tables.statics), result.report);
  if (!tables.metadata.empty()) {
    SongNames names;
    for (const CsvTable& table : tables.metadata) {
      const auto [artist, title] = name_positions(table.label);
      names.merge(read_song_names(table, artist, title, result.report));
    }
    set_names(d, names);
    std::vector<std::int64_t> nameless;
    for (const std::int64_t id : d.song_id)
      if (!names.count(id)) nameless.push_back(id);
    if (!nameless.empty())
      result.report.warnings.push_back(
          fmt::format("{} songs are in no metadata table (ids {})", nameless.size(), first_ids(nameless)));
  }
  d.metadata["emotion_range"] = "-1..1";
  d.metadata["rate"] = "2 Hz from 15 s";
  d.metadata["steps"] = std::to_string(options.steps);
  d.metadata["deam_short_valence"] = options.released_short_valence ? "released" : "textbook";
  d.metadata["ratings"] = options.per_rater ? "per_rater" : "averaged";
  if (options.per_rater) d.metadata["rater_mean"] = name_of(options.rater_mean);
  return result;
}

// Asked for, both tables must be there; otherwise the release has them beside the dynamic ratings, and what is
// there is looked at: they serve warnings alone.
void read_static_tables(const DeamPaths& paths, const FileTree& annotations, const FileTree* metadata,
                        InputFiles& files, DeamTables& tables, std::vector<std::string>& warnings) {
  const std::optional<FileTree> asked =
      paths.statics.empty() ? std::nullopt : std::optional(FileTree::open(paths.statics));
  for (const char* name :
       {"static_annotations_averaged_songs_1_2000.csv", "static_annotations_averaged_songs_2000_2058.csv"}) {
    if (asked) {
      tables.statics.push_back(files.csv(*asked, asked->find_one(name, name)));
      continue;
    }
    const FileTree* tree = &annotations;
    std::vector<std::string> found = tree->find(name);
    if (found.empty() && metadata != nullptr) {
      tree = metadata;
      found = tree->find(name);
    }
    if (found.empty()) continue;
    try {
      CsvTable table = files.csv(*tree, found.front());
      static_cast<void>(read_statics({table}));
      tables.statics.push_back(std::move(table));
    } catch (const Error& error) {
      warnings.push_back(fmt::format("static ratings were not checked: {}", error.what()));
    }
  }
}

// Titles are a comfort: a spoilt table costs them, not the data set.
void read_metadata(const FileTree& metadata, InputFiles& files, DeamTables& tables,
                   std::vector<std::string>& warnings) {
  for (const char* year : {"2013", "2014", "2015"}) {
    const std::string name = fmt::format("metadata_{}.csv", year);
    const std::vector<std::string> found = metadata.find(name);
    if (found.empty()) {
      warnings.push_back(fmt::format("{}: there is no {}", metadata.label(), name));
      continue;
    }
    try {
      tables.metadata.push_back(files.csv(metadata, found.front()));
    } catch (const Error& error) {
      warnings.push_back(fmt::format("no titles from this table: {}", error.what()));
    }
  }
}

}  // namespace

ImportResult import_deam(const DeamTables& tables, const DeamOptions& options) {
  check(options);
  return import_ratings(read_wide_ratings(tables.valence), read_wide_ratings(tables.arousal), tables,
                        options);
}

ImportResult prepare_deam(const DeamPaths& paths, const DeamOptions& options) {
  check(options);
  InputFiles files;
  const FileTree annotations = FileTree::open(paths.annotations);
  const std::optional<FileTree> metadata =
      paths.metadata.empty() ? std::nullopt : std::optional(FileTree::open(paths.metadata));
  ImportReport first;
  compare_with_published(annotations, "DEAM_Annotations.zip", first);
  if (metadata) compare_with_published(*metadata, "metadata.zip", first);

  const auto averaged = [&](const std::string& name) {
    if (annotations.kind() != FileTree::Kind::kFile && annotations.contains(name))  // the inner folder itself
      return read_wide_ratings(files.csv(annotations, name));
    const std::string file =
        annotations.find_one(name, "the averaged dynamic " + name, [&](const std::string& path) {
          return path.ends_with("annotations averaged per song/dynamic (per second annotations)/" + name);
        });
    return read_wide_ratings(files.csv(annotations, file));
  };
  const auto dimension = [&](const std::string& name) {
    return options.per_rater ? read_rater_ratings(annotations, name, options.rater_mean, files, first)
                             : averaged(name + ".csv");
  };
  const WideRatings arousal = dimension("arousal");
  WideRatings valence = dimension("valence");
  DeamTables tables;
  tables.has_features = !paths.features.empty();
  if (tables.has_features) tables.features = files.csv(paths.features);
  read_static_tables(paths, annotations, metadata ? &*metadata : nullptr, files, tables, first.warnings);
  if (metadata) read_metadata(*metadata, files, tables, first.warnings);
  ImportResult result = import_ratings(std::move(valence), arousal, tables, options);
  result.report.append_remarks(first);
  files.describe(result.dataset, "deam",
                 options.per_rater ? "DEAM, dynamic annotations of single raters, averaged"
                                   : "DEAM, averaged dynamic annotations",
                 "feature table");
  return result;
}

}  // namespace emer
