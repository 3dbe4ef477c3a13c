#include "data/deam.h"

#include <algorithm>
#include <filesystem>

#include "core/check.h"
#include "data/input_files.h"
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

ImportResult import_deam(const DeamTables& tables, const DeamOptions& options) {
  if (options.steps < 0) fail_usage("deam: steps {} is negative; 0 keeps all ratings", options.steps);
  ImportResult result;
  WideRatings valence = read_wide_ratings(tables.valence);
  const WideRatings arousal = read_wide_ratings(tables.arousal);
  if (options.released_short_valence) copy_arousal_over_odd_lengths(valence, arousal, result.report);
  const RatingTable ratings = pair_ratings(valence, arousal, options.steps, result.report);
  const FeatureTable features = read_features(tables.features);
  Dataset& d = result.dataset;
  d = join(ratings, &features, result.report);
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
  return result;
}

namespace {

// Asked for, both tables must be there; otherwise the release has them beside the dynamic ratings, and what is
// there is looked at: they serve warnings alone.
void read_static_tables(const DeamPaths& paths, InputFiles& files, DeamTables& tables,
                        std::vector<std::string>& warnings) {
  for (const char* name :
       {"static_annotations_averaged_songs_1_2000.csv", "static_annotations_averaged_songs_2000_2058.csv"}) {
    if (!paths.statics.empty()) {
      tables.statics.push_back(files.csv(find_one_below(paths.statics, name, name)));
      continue;
    }
    std::vector<std::string> found = find_below(paths.annotations, name);
    if (found.empty() && !paths.metadata.empty()) found = find_below(paths.metadata, name);
    if (found.empty()) continue;
    try {
      CsvTable table = files.csv(found.front());
      static_cast<void>(read_statics({table}));
      tables.statics.push_back(std::move(table));
    } catch (const Error& error) {
      warnings.push_back(fmt::format("static ratings were not checked: {}", error.what()));
    }
  }
}

}  // namespace

ImportResult prepare_deam(const DeamPaths& paths, const DeamOptions& options) {
  InputFiles files;
  const auto dynamic = [&](const std::string& name) {
    const std::filesystem::path direct = std::filesystem::path(paths.annotations) / name;
    std::error_code ignored;
    if (std::filesystem::exists(direct, ignored)) return direct.string();
    return find_one_below(
        paths.annotations, name, "the averaged dynamic " + name, [](const std::string& path) {
          const std::string parent = std::filesystem::path(path).parent_path().generic_string();
          return parent.ends_with("annotations averaged per song/dynamic (per second annotations)");
        });
  };
  DeamTables tables;
  tables.arousal = files.csv(dynamic("arousal.csv"));
  tables.valence = files.csv(dynamic("valence.csv"));
  tables.features = files.csv(paths.features);
  std::vector<std::string> warnings;
  read_static_tables(paths, files, tables, warnings);
  if (!paths.metadata.empty())
    for (const char* year : {"2013", "2014", "2015"}) {
      const std::string name = fmt::format("metadata_{}.csv", year);
      const std::vector<std::string> found = find_below(paths.metadata, name);
      if (found.empty()) {
        warnings.push_back(fmt::format("{}: no {} below this folder", paths.metadata, name));
        continue;
      }
      // Titles are a comfort: a spoilt table costs them, not the data set.
      try {
        tables.metadata.push_back(files.csv(found.front()));
      } catch (const Error& error) {
        warnings.push_back(fmt::format("no titles from this table: {}", error.what()));
      }
    }
  ImportResult result = import_deam(tables, options);
  result.report.warnings.insert(result.report.warnings.end(), warnings.begin(), warnings.end());
  files.describe(result.dataset, "deam", "DEAM, averaged dynamic annotations", "feature table");
  return result;
}

}  // namespace emer
