#include "data/arrays.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/check.h"
#include "core/file.h"
#include "core/text.h"

namespace emer {

namespace {

constexpr float kPadding = 1e-5f;

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

// One song as [steps, width] inside the content.
struct SongView {
  const double* values = nullptr;
  std::int64_t steps = 0;
};

struct Songs {
  std::vector<SongView> list;
  std::int64_t width = 0;
  bool sequence = false;
};

Songs songs_of(const NpyContent& content, const std::string& label) {
  Songs songs;
  if (!content.ragged) {
    const auto& shape = content.dense.shape;
    if (shape.size() != 2 && shape.size() != 3)
      fail_input("{}: shape {} is not [songs, width] or [songs, steps, width]", label, shape_text(shape));
    songs.sequence = shape.size() == 3;
    songs.width = shape.back();
    const std::int64_t steps = songs.sequence ? shape[1] : 1;
    for (std::int64_t i = 0; i < shape[0]; ++i)
      songs.list.push_back({content.dense.values.data() + i * steps * songs.width, steps});
  } else {
    for (std::size_t i = 0; i < content.items.size(); ++i) {
      const NpyArray& item = content.items[i];
      const std::size_t rank = item.shape.size();
      if (rank != 1 && rank != 2)
        fail_input("{}: song {} has shape {}, not [steps, width]", label, i, shape_text(item.shape));
      if (i == 0) {
        songs.sequence = rank == 2;
        songs.width = item.shape.back();
      } else if (songs.sequence != (rank == 2) || songs.width != item.shape.back()) {
        fail_input("{}: song {} has shape {}, the first has {}", label, i, shape_text(item.shape),
                   shape_text(content.items[0].shape));
      }
      songs.list.push_back({item.values.data(), songs.sequence ? item.shape[0] : 1});
    }
  }
  if (songs.list.empty()) fail_input("{}: no songs", label);
  if (songs.width < 1) fail_input("{}: vectors without columns", label);
  return songs;
}

// Steps before the trailing padding.
std::int64_t valid_steps(const SongView& song, std::int64_t width) {
  std::int64_t steps = song.steps;
  while (steps > 0 && std::all_of(song.values + (steps - 1) * width, song.values + steps * width,
                                  [](double x) { return static_cast<float>(x) == kPadding; }))
    --steps;
  return steps;
}

std::vector<std::int64_t> ids_for(const std::vector<std::int64_t>& ids, std::size_t songs,
                                  const std::string& label) {
  std::vector<std::int64_t> result = ids;
  if (ids.empty())
    for (std::size_t i = 0; i < songs; ++i) result.push_back(static_cast<std::int64_t>(i) + 1);
  if (result.size() != songs) fail_input("{}: {} songs, but {} ids were given", label, songs, result.size());
  std::set<std::int64_t> seen;
  for (const std::int64_t id : result)
    if (!seen.insert(id).second) fail_input("{}: song id {} is given twice", label, id);
  return result;
}

bool fits(double value) {
  return std::abs(value) <= std::numeric_limits<float>::max();
}  // false for NaN

}  // namespace

std::int64_t song_count(const NpyContent& content, const std::string& label) {
  return static_cast<std::int64_t>(songs_of(content, label).list.size());
}

FeatureTable features_from_array(const NpyContent& content, const std::vector<std::int64_t>& ids,
                                 const std::string& label, ImportReport& report) {
  const Songs songs = songs_of(content, label);
  const std::vector<std::int64_t> names = ids_for(ids, songs.list.size(), label);
  FeatureTable table;
  table.label = label;
  table.sequence = songs.sequence;
  for (std::int64_t c = 0; c < songs.width; ++c) table.names.push_back("column " + std::to_string(c));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const SongView& song = songs.list[i];
    const std::int64_t steps = songs.sequence ? valid_steps(song, songs.width) : 1;
    const double* end = song.values + steps * songs.width;
    if (steps == 0)
      report.drop("music of padding only", names[i]);
    else if (!std::all_of(song.values, end, fits))
      table.incomplete.push_back(names[i]);
    else
      table.songs.emplace(names[i], std::vector<float>(song.values, end));
  }
  std::sort(table.incomplete.begin(), table.incomplete.end());
  return table;
}

RatingTable ratings_from_array(const NpyContent& content, const std::vector<std::int64_t>& ids, int steps,
                               const std::string& label, ImportReport& report) {
  const Songs songs = songs_of(content, label);
  if (!songs.sequence || songs.width != 2)
    fail_input("{}: ratings must be [songs, steps, 2] with valence and arousal, not {} columns{}", label,
               songs.width, songs.sequence ? "" : " of one step");
  const std::vector<std::int64_t> names = ids_for(ids, songs.list.size(), label);
  RatingTable table;
  table.label = label;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const SongView& song = songs.list[i];
    std::vector<std::optional<Rating>> ratings;
    for (std::int64_t t = 0; t < valid_steps(song, 2); ++t) {
      const Rating rating = {song.values[2 * t], song.values[2 * t + 1]};
      ratings.push_back(fits(rating.valence) && fits(rating.arousal) ? std::optional(rating) : std::nullopt);
    }
    while (!ratings.empty() && !ratings.back()) ratings.pop_back();
    add_ratings(table, names[i], ratings, steps, report);
  }
  return table;
}

std::vector<std::int64_t> parse_ids(const std::string& bytes, const std::string& label) {
  std::vector<std::int64_t> ids;
  if (bytes.starts_with("\x93NUMPY")) {
    const NpyContent content = parse_npy(bytes, label);
    if (content.ragged || content.dense.shape.size() != 1)
      fail_input("{}: song ids must be a one-dimensional array", label);
    constexpr double kExact = 9007199254740992.0;  // 2^53: every whole number up to here is a double
    for (const double value : content.dense.values) {
      if (!(value >= 0 && value < kExact) || std::trunc(value) != value)
        fail_input("{}: entry {} is {}, not a song id (a whole number, 0 or more)", label, ids.size(), value);
      ids.push_back(static_cast<std::int64_t>(value));
    }
  } else {
    const CsvTable table = parse_csv(bytes, label, /*has_header=*/false);
    for (const CsvRow& row : table.rows) ids.push_back(song_id(table, row, 0));
  }
  if (ids.empty()) fail_input("{}: no song ids", label);
  return ids;
}

void write_reference_pair(const Dataset& d, const std::string& features_path, const std::string& emotion_path,
                          const std::string& ids_path, bool ragged) {
  if (d.music_width == 0) fail_input("the data set {} has no music to write", in_quotes(d.name));
  const auto write = [&](const std::string& path, const std::vector<float>& values,
                         const std::vector<std::int32_t>& length, std::int64_t steps, std::int64_t width) {
    if (length.empty()) return write_npy(path, {d.size(), width}, values);
    std::vector<float> padded = values;
    std::vector<std::vector<std::int64_t>> shapes;
    std::vector<std::vector<float>> items;
    for (std::size_t row = 0; row < length.size(); ++row) {
      const auto first = values.begin() + static_cast<std::ptrdiff_t>(row) * steps * width;
      const std::int64_t valid = length[row];
      shapes.push_back({valid, width});
      if (ragged) items.emplace_back(first, first + valid * width);
      const auto song = padded.begin() + static_cast<std::ptrdiff_t>(row) * steps * width;
      std::fill(song + valid * width, song + steps * width, kPadding);
    }
    if (ragged) return write_npy_ragged(path, shapes, items);
    write_npy(path, {d.size(), steps, width}, padded);
  };
  write(features_path, d.music, d.music_length, d.music_steps, d.music_width);
  write(emotion_path, d.emotion, d.emotion_length, d.emotion_steps, 2);
  if (ids_path.empty()) return;
  std::string lines;
  for (const std::int64_t id : d.song_id) lines += std::to_string(id) + "\n";
  write_file_atomically(ids_path, lines);
}

}  // namespace emer
