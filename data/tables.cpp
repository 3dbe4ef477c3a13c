#include "data/tables.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/check.h"
#include "core/text.h"
#include "data/suspicions.h"

namespace emer {

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

void check_not_longer(const CsvTable& table, const CsvRow& row) {
  for (std::size_t i = table.header.size(); i < row.fields.size(); ++i)
    if (!trimmed(row.fields[i]).empty())
      fail_input("{}: line {} has {} fields, the header has {}", table.label, row.line, row.fields.size(),
                 table.header.size());
}

std::optional<double> cell_or_missing(const CsvTable& table, const CsvRow& row, int column) {
  if (static_cast<std::size_t>(column) >= row.fields.size()) return std::nullopt;
  const std::optional<double> value = number_or_missing(table, row, column);
  if (value && !(std::abs(*value) <= std::numeric_limits<float>::max()))
    fail_input("{}: line {}, column {}: {} does not fit single precision", table.label, row.line, column + 1,
               *value);
  return value;
}

namespace {

int time_column(const CsvTable& table) {
  for (const char* name : {"frameTime", "frame_time", "time"})
    if (const int found = table.find_column(name); found >= 0) return found;
  return -1;
}

int rating_column(const CsvTable& table, const std::string& what) {
  for (const std::string& name : {what, what + "(mean)", what + "_mean", "mean_" + what, what + " (mean)"})
    if (const int found = table.find_column(name); found >= 0) return found;
  return table.column(what);
}

// Rows of each song in order of time; `line` of a repeated time is named.
template <class Value>
void sort_frames(std::vector<std::pair<double, Value>>& frames, const std::string& label, std::int64_t id) {
  std::stable_sort(frames.begin(), frames.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t i = 1; i < frames.size(); ++i)
    if (frames[i].first == frames[i - 1].first)
      fail_input("{}: song {} has two rows of time {}", label, id, frames[i].first);
}

double frame_time(const CsvTable& table, const CsvRow& row, int column) {
  const std::optional<double> time = number_or_missing(table, row, column);
  if (!time) fail_input("{}: line {}, column {}: the time is missing", table.label, row.line, column + 1);
  return *time;
}

}  // namespace

int id_column(const CsvTable& table) {
  for (const char* name : {"song_id", "songId", "musicId", "music_id", "track_id", "id"})
    if (const int found = table.find_column(name); found >= 0) return found;
  return 0;
}

std::int64_t song_id(const CsvTable& table, const CsvRow& row, int column) {
  const std::int64_t id = integer(table, row, column);
  if (id < 0) fail_input("{}: line {}: song id {} is negative", table.label, row.line, id);
  return id;
}

WideRatings read_wide_ratings(const CsvTable& table) {
  WideRatings ratings;
  ratings.label = table.label;
  const int id_at = id_column(table);
  std::vector<int> columns;
  const bool named = std::any_of(table.header.begin(), table.header.end(), [](const std::string& name) {
    return lower_case(name).starts_with("sample_");
  });
  for (std::size_t c = 0; c < table.header.size(); ++c) {
    const std::string name = lower_case(table.header[c]);
    if (static_cast<int>(c) == id_at || name.empty() || name == "workerid") continue;
    if (named && !name.starts_with("sample_")) continue;
    columns.push_back(static_cast<int>(c));
    ratings.steps.push_back(table.header[c]);
  }
  if (columns.empty()) fail_input("{}: no rating columns beside the song id", table.label);
  if (table.rows.empty()) fail_input("{}: no songs under the header", table.label);
  std::map<std::int64_t, std::int64_t> lines;
  for (const CsvRow& row : table.rows) {
    check_not_longer(table, row);
    const std::int64_t id = song_id(table, row, id_at);
    if (const auto [at, is_new] = lines.try_emplace(id, row.line); !is_new)
      fail_input("{}: line {}: song {} is already on line {}", table.label, row.line, id, at->second);
    auto& values = ratings.songs[id];
    for (const int c : columns) values.push_back(cell_or_missing(table, row, c));
    while (!values.empty() && !values.back()) values.pop_back();
  }
  return ratings;
}

void add_ratings(RatingTable& table, std::int64_t id, const std::vector<std::optional<Rating>>& ratings,
                 int steps, ImportReport& report) {
  std::vector<Rating> kept;
  const std::size_t wanted =
      steps > 0 ? std::min(ratings.size(), static_cast<std::size_t>(steps)) : ratings.size();
  while (kept.size() < wanted && ratings[kept.size()]) kept.push_back(*ratings[kept.size()]);
  if (kept.empty()) return report.drop(ratings.empty() ? "no rating" : "the first rating is missing", id);
  if (kept.size() < wanted) report.change("ratings cut before the first missing one", id);
  table.songs.emplace(id, std::move(kept));
}

RatingTable pair_ratings(const WideRatings& valence, const WideRatings& arousal, int steps,
                         ImportReport& report) {
  RatingTable table;
  table.label = valence.label;
  const std::size_t common = std::min(valence.steps.size(), arousal.steps.size());
  if (!std::equal(valence.steps.begin(), valence.steps.begin() + static_cast<std::ptrdiff_t>(common),
                  arousal.steps.begin()))
    report.warnings.push_back(fmt::format("{} and {} name their steps differently: they may not be aligned",
                                          valence.label, arousal.label));
  for (const auto& [id, values] : valence.songs) {
    const auto other = arousal.songs.find(id);
    if (other == arousal.songs.end()) {
      report.drop("valence but no arousal", id);
    } else if (other->second.size() != values.size()) {
      report.drop("valence and arousal have different numbers of ratings", id);
    } else {
      std::vector<std::optional<Rating>> pairs;
      for (std::size_t t = 0; t < values.size(); ++t)
        pairs.push_back(values[t] && other->second[t] ? std::optional<Rating>({*values[t], *other->second[t]})
                                                      : std::nullopt);
      add_ratings(table, id, pairs, steps, report);
    }
  }
  for (const auto& [id, values] : arousal.songs)
    if (!valence.songs.count(id)) report.drop("arousal but no valence", id);
  return table;
}

RatingTable read_long_ratings(const CsvTable& table, int steps, ImportReport& report) {
  RatingTable ratings;
  ratings.label = table.label;
  const int id_at = id_column(table), time_at = time_column(table);
  if (time_at < 0) table.column("time");
  const int valence_at = rating_column(table, "valence"), arousal_at = rating_column(table, "arousal");
  if (table.rows.empty()) fail_input("{}: no songs under the header", table.label);
  std::map<std::int64_t, std::vector<std::pair<double, std::optional<Rating>>>> frames;
  for (const CsvRow& row : table.rows) {
    check_not_longer(table, row);
    const auto valence = cell_or_missing(table, row, valence_at),
               arousal = cell_or_missing(table, row, arousal_at);
    frames[song_id(table, row, id_at)].emplace_back(
        frame_time(table, row, time_at),
        valence && arousal ? std::optional<Rating>({*valence, *arousal}) : std::nullopt);
  }
  for (auto& [id, song] : frames) {
    sort_frames(song, table.label, id);
    std::vector<std::optional<Rating>> values;
    for (const auto& [time, rating] : song) values.push_back(rating);
    while (!values.empty() && !values.back()) values.pop_back();
    add_ratings(ratings, id, values, steps, report);
  }
  return ratings;
}

FeatureTable read_features(const CsvTable& table) {
  FeatureTable features;
  features.label = table.label;
  const int id_at = id_column(table), time_at = time_column(table);
  features.sequence = time_at >= 0;
  std::vector<int> columns;
  std::set<std::string> seen;
  std::size_t unnamed = 0;
  for (std::size_t c = 0; c < table.header.size(); ++c) {
    if (static_cast<int>(c) == id_at || static_cast<int>(c) == time_at) continue;
    if (table.header[c].empty()) {
      ++unnamed;
      continue;
    }
    if (!seen.insert(table.header[c]).second)
      fail_input("{}: two columns are called {}", table.label, in_quotes(table.header[c]));
    columns.push_back(static_cast<int>(c));
    features.names.push_back(table.header[c]);
  }
  if (columns.empty()) fail_input("{}: no feature columns beside the song id", table.label);
  if (table.rows.empty()) fail_input("{}: no songs under the header", table.label);
  if (unnamed > 0)
    features.warnings.push_back(
        fmt::format("{}: {} columns without a name are skipped", table.label, unnamed));

  std::map<std::int64_t, std::vector<std::pair<double, std::vector<float>>>> songs;
  std::map<std::int64_t, std::int64_t> lines;
  std::set<std::int64_t> incomplete;
  for (const CsvRow& row : table.rows) {
    check_not_longer(table, row);
    if (row.fields.size() < table.header.size())
      fail_input("{}: line {} has {} fields, the header has {}", table.label, row.line, row.fields.size(),
                 table.header.size());
    const std::int64_t id = song_id(table, row, id_at);
    const auto [at, is_new] = lines.try_emplace(id, row.line);
    if (!is_new && !features.sequence)
      fail_input("{}: line {}: song {} is already on line {}", table.label, row.line, id, at->second);
    std::vector<float> values;
    for (const int c : columns) {
      const std::optional<double> value = cell_or_missing(table, row, c);
      if (!value) incomplete.insert(id);
      values.push_back(static_cast<float>(value.value_or(0)));
    }
    songs[id].emplace_back(features.sequence ? frame_time(table, row, time_at) : 0.0, std::move(values));
  }
  for (auto& [id, frames] : songs) {
    sort_frames(frames, table.label, id);
    if (incomplete.count(id)) continue;
    auto& all = features.songs[id];
    for (const auto& [time, values] : frames) all.insert(all.end(), values.begin(), values.end());
  }
  features.incomplete.assign(incomplete.begin(), incomplete.end());
  return features;
}

namespace {

// The report itself is never seen where no song is left.
std::string why_dropped(const ImportReport& report) {
  std::string text;
  for (const SongsWithReason& item : report.dropped)
    text += fmt::format("; dropped {} (ids {}): {}", item.ids.size(), first_ids(item.ids, 2), item.reason);
  return text;
}

}  // namespace

Dataset join(const RatingTable& ratings, const FeatureTable* features, ImportReport& report,
             bool sound_follows) {
  Dataset d;
  std::set<std::int64_t> accounted;  // songs that already have their reason
  for (const SongsWithReason& item : report.dropped) accounted.insert(item.ids.begin(), item.ids.end());
  std::vector<std::int64_t> rated, described;
  for (const auto& [id, values] : ratings.songs) {
    rated.push_back(id);
    const bool incomplete =
        features && std::binary_search(features->incomplete.begin(), features->incomplete.end(), id);
    if (!features || features->songs.count(id))
      d.song_id.push_back(id);
    else if (!accounted.count(id))
      report.drop(incomplete ? "a feature is missing" : "ratings but no features", id);
  }
  if (features) {
    accounted.insert(rated.begin(), rated.end());
    for (const auto& [id, values] : features->songs) {
      described.push_back(id);
      if (!accounted.count(id)) report.drop("features but no ratings", id);
    }
    for (const std::int64_t id : features->incomplete)
      if (!accounted.count(id)) report.drop("features but no ratings", id);
    report.warnings.insert(report.warnings.end(), features->warnings.begin(), features->warnings.end());
  }
  report.kept = d.size();
  if (d.song_id.empty() && features)
    fail_input(
        "no song has both ratings and features: {} songs with ratings ({}) in {}, {} with complete features "
        "({}) "
        "in {}{}",
        rated.size(), rated.empty() ? "none" : "ids " + first_ids(rated), ratings.label, described.size(),
        described.empty() ? "none" : "ids " + first_ids(described), features->label, why_dropped(report));
  if (d.song_id.empty()) fail_input("{}: no song has usable ratings{}", ratings.label, why_dropped(report));

  constexpr std::size_t kMostSteps = std::numeric_limits<std::int32_t>::max();
  std::size_t emotion_steps = 0, music_steps = 1;
  const std::size_t width = features ? features->names.size() : 0;
  for (const std::int64_t id : d.song_id) {
    emotion_steps = std::max(emotion_steps, ratings.songs.at(id).size());
    if (features) music_steps = std::max(music_steps, features->songs.at(id).size() / width);
  }
  if (emotion_steps > kMostSteps || music_steps > kMostSteps || width > kMostSteps)
    fail_input("{}: a song has more than {} steps", ratings.label, kMostSteps);
  d.emotion_steps = static_cast<int>(emotion_steps);
  d.music_width = static_cast<int>(width);
  d.music_steps = features && features->sequence ? static_cast<int>(music_steps) : 0;
  d.emotion.assign(d.song_id.size() * emotion_steps * 2, 0.0f);
  d.music.assign(d.song_id.size() * music_steps * width, 0.0f);
  for (std::size_t row = 0; row < d.song_id.size(); ++row) {
    const auto& song = ratings.songs.at(d.song_id[row]);
    d.emotion_length.push_back(static_cast<std::int32_t>(song.size()));
    for (std::size_t t = 0; t < song.size(); ++t) {
      d.emotion[(row * emotion_steps + t) * 2] = static_cast<float>(song[t].valence);
      d.emotion[(row * emotion_steps + t) * 2 + 1] = static_cast<float>(song[t].arousal);
    }
    if (!features) continue;
    const auto& values = features->songs.at(d.song_id[row]);
    std::copy(values.begin(), values.end(),
              d.music.begin() + static_cast<std::ptrdiff_t>(row * music_steps * width));
    if (features->sequence) d.music_length.push_back(static_cast<std::int32_t>(values.size() / width));
  }
  if (features)
    warn_about_features(d, features->names, report);
  else if (!sound_follows)
    report.warnings.push_back(
        "no features were given: the data set holds ratings alone and cannot be trained on");
  return d;
}

}  // namespace emer
