// data/tables.h - from tables of any of our sources to songs, and from songs to a data set.
//
// Shared by all importers: song ids are whole numbers >= 0 in the column song_id, musicId, music_id, songId,
// track_id or id, else in the first column. Duplicate ids, cells that are not numbers and rows longer than
// the header are Error(kInput) with file, line and column. Missing cells (empty, NaN, NA) are facts to
// report, not errors.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/csv.h"
#include "data/import_report.h"

namespace emer {

// One value a step, of one of the two rating dimensions. Missing values at the end are left out.
struct WideRatings {
  std::string label;
  std::vector<std::string> steps;  // column names, "sample_15000ms"
  std::map<std::int64_t, std::vector<std::optional<double>>> songs;
};

struct Rating {
  double valence = 0;
  double arousal = 0;
};

struct RatingTable {
  std::string label;
  std::map<std::int64_t, std::vector<Rating>> songs;  // at least one rating each
};

struct FeatureTable {
  std::string label;
  bool sequence = false;                             // several vectors a song
  std::vector<std::string> names;                    // [F], F >= 1
  std::map<std::int64_t, std::vector<float>> songs;  // [F], or [steps, F] row-major
  std::vector<std::int64_t> incomplete;              // ids with missing cells; not among songs
  std::vector<std::string> warnings;
};

struct SongName {
  std::string artist;  // empty where unknown
  std::string title;
};
using SongNames = std::map<std::int64_t, SongName>;

// One row a song: id, then one column a step. Where columns are named sample_*, only those are read, else all
// but the id and WorkerId.
WideRatings read_wide_ratings(const CsvTable& table);
// One row a step: id, time, valence, arousal, found by header: a name with `time`, and valence/arousal or
// their `(mean)`, `_mean` forms. Steps are sorted by time; a repeated time is an error.
RatingTable read_long_ratings(const CsvTable& table, int steps, ImportReport& report);

// Songs of both tables with equal numbers of ratings, cut before the first missing value and after `steps`
// ratings (0: all). Everything else is dropped or changed, with the reason, in `report`.
RatingTable pair_ratings(const WideRatings& valence, const WideRatings& arousal, int steps,
                         ImportReport& report);
// Adds one song's ratings, cut before the first missing one and after `steps` (0: all).
void add_ratings(RatingTable& table, std::int64_t id, const std::vector<std::optional<Rating>>& ratings,
                 int steps, ImportReport& report);

// One row a song, or, where a column is called frameTime, frame_time or time, one row a frame, sorted by that
// time. Columns without a name are skipped with a warning.
FeatureTable read_features(const CsvTable& table);

// Artist and title by column name, else by the positions given. Never fails on a row: unreadable ids are
// counted in a warning, and a value that an unquoted comma has cut in two is put together again.
SongNames read_song_names(const CsvTable& table, int artist_position, int title_position,
                          ImportReport& report);

// Songs that have ratings and features (or ratings alone, where features is nullptr: music width 0). Reports
// every song of either table that is left out, and suspicious features; that there are no features is a warning,
// unless sound follows. Throws Error(kInput) where no song is left.
Dataset join(const RatingTable& ratings, const FeatureTable* features, ImportReport& report,
             bool sound_follows = false);
void set_names(Dataset& dataset, const SongNames& names);

// ASCII letters only.
std::string lower_case(std::string_view text);
// Surplus cells mean that a value has slipped out of its column, unless they are the empty tail of a trailing comma.
void check_not_longer(const CsvTable& table, const CsvRow& row);
// A cell that single precision can hold; nothing where it is missing, or the row is too short for it.
std::optional<double> cell_or_missing(const CsvTable& table, const CsvRow& row, int column);

// The id column of a table, and one row's id (>= 0).
int id_column(const CsvTable& table);
std::int64_t song_id(const CsvTable& table, const CsvRow& row, int column);

}  // namespace emer
