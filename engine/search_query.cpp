#include "engine/search_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "core/csv.h"
#include "core/npy.h"
#include "core/safetensors.h"
#include "data/dataset.h"

namespace emer {
namespace {

std::optional<double> whole_number(std::string_view text) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Shape and values of a .npy or CSV table as a song's features.
MusicFeatures as_features(const std::string& path, std::int64_t rows, std::int64_t width,
                          std::vector<float> values, const InputShape& like) {
  if (width != like.music_width)
    fail_input("{}: {} features a row, the model takes {}", path, width, like.music_width);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      fail_input("{}: row {}, feature {} is not a finite number", path, i / width + 1, i % width + 1);
  if (like.music_steps == 0 && rows != 1)
    fail_input("{}: {} rows, the model takes one song vector (one row)", path, rows);
  MusicFeatures out;
  out.steps = like.music_steps == 0 ? 0 : static_cast<int>(rows);
  out.width = static_cast<int>(width);
  out.values = std::move(values);
  return out;
}

MusicFeatures from_dataset(const std::string& path, std::optional<std::int64_t> song) {
  const Dataset d = load_dataset(path);
  if (!song && d.size() != 1) fail_usage("{} holds {} songs; choose one with --song ID", path, d.size());
  const std::int64_t row = song ? d.index_of(*song) : 0;
  if (row < 0)
    fail_usage("{} has no song {} (ids {} to {})", path, *song, d.song_id.front(), d.song_id.back());
  MusicFeatures out;
  out.song_id = d.song_id[row];
  if (!d.titles.empty()) out.title = d.titles[row];
  out.width = d.music_width;
  out.steps = d.music_is_sequence() ? d.music_length[row] : 0;
  const auto begin = d.music.begin() + row * std::max(d.music_steps, 1) * d.music_width;
  out.values.assign(begin, begin + static_cast<std::ptrdiff_t>(std::max(out.steps, 1)) * d.music_width);
  if (d.has_patches())
    out.patches.assign(d.patches.begin() + d.patch_offset[row] * Dataset::kPatchValues,
                       d.patches.begin() + d.patch_offset[row + 1] * Dataset::kPatchValues);
  return out;
}

// What `emer extract --what logmel` writes; `song` counts its files from 0.
MusicFeatures from_extracted(const SafetensorsFile& file, std::optional<std::int64_t> song) {
  const std::string& path = file.label();
  const auto offset = file.read<std::int64_t>("patch_offset", {-1});
  const auto files = static_cast<std::int64_t>(offset.size()) - 1;
  if (files < 1) fail_input("{}: no files", path);
  if (!song && files != 1) fail_usage("{} holds {} files; choose one with --song, from 0", path, files);
  const std::int64_t chosen = song.value_or(0);
  if (chosen < 0 || chosen >= files) fail_usage("{} has no file {} (0 to {})", path, chosen, files - 1);
  const auto patches = file.read<float>("patches", {-1, Dataset::kPatchFrames, Dataset::kPatchBands});
  const auto at = static_cast<std::size_t>(chosen);
  const std::int64_t first = offset[at], last = offset[at + 1],
                     rows = static_cast<std::int64_t>(patches.size()) / Dataset::kPatchValues;
  if (first < 0 || last <= first || last > rows)
    fail_input("{}: file {} owns patches {} to {} of {}", path, chosen, first, last, rows);
  MusicFeatures out;
  out.song_id = chosen;
  out.patches.assign(patches.begin() + first * Dataset::kPatchValues,
                     patches.begin() + last * Dataset::kPatchValues);
  for (const float value : out.patches)
    if (!std::isfinite(value)) fail_input("{}: file {} holds {}, not a finite number", path, chosen, value);
  return out;
}

MusicFeatures from_npy(const std::string& path, const InputShape& like) {
  const NpyContent content = read_npy(path);
  if (content.ragged || content.dense.shape.empty() || content.dense.shape.size() > 2)
    fail_input("{}: a query is one array [features] or [steps, features]", path);
  const auto& shape = content.dense.shape;
  return as_features(path, shape.size() == 1 ? 1 : shape[0], shape.back(),
                     {content.dense.values.begin(), content.dense.values.end()}, like);
}

MusicFeatures from_csv(const std::string& path, std::optional<std::int64_t> song, const InputShape& like) {
  CsvTable table = read_csv(path, false);
  if (table.rows.empty()) fail_input("{}: no rows", path);
  const auto& first = table.rows.front().fields;
  const bool header =
      std::none_of(first.begin(), first.end(), [](const std::string& f) { return whole_number(trimmed(f)); });
  int id_column = -1;
  if (header) {
    table = read_csv(path, true);
    if (table.rows.empty()) fail_input("{}: a header and no rows", path);
    id_column = table.find_column("song_id");
  }
  std::int64_t rows = 0, chosen = -1;
  std::size_t width = 0;
  std::vector<float> values;
  for (const CsvRow& row : table.rows) {
    if (id_column >= 0) {
      const std::int64_t id = integer(table, row, id_column);
      if (song && id != *song) continue;
      if (rows > 0 && id != chosen) fail_usage("{} holds several songs; choose one with --song ID", path);
      chosen = id;
    }
    const std::size_t fields = row.fields.size() - (id_column >= 0 ? 1 : 0);
    if (rows > 0 && fields != width)
      fail_input("{}: line {} has {} features, the first row has {}", path, row.line, fields, width);
    width = fields;
    for (int k = 0; k < static_cast<int>(row.fields.size()); ++k) {
      if (k == id_column) continue;
      const auto value = number_or_missing(table, row, k);
      if (!value) fail_input("{}: line {}, column {} is empty", path, row.line, k + 1);
      values.push_back(static_cast<float>(*value));
    }
    ++rows;
  }
  if (rows == 0) fail_usage("{} has no song {}", path, *song);
  MusicFeatures out = as_features(path, rows, static_cast<std::int64_t>(width), std::move(values), like);
  out.song_id = chosen;
  return out;
}

}  // namespace

EmotionCurve parse_emotion_curve(std::string_view text) {
  EmotionCurve curve;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(';', begin), text.size());
    const std::string_view step = text.substr(begin, end - begin);
    if (trimmed(step).empty() && end == text.size() && curve.steps > 0) break;  // a trailing ';'
    const std::size_t comma = step.find(',');
    if (comma == std::string_view::npos || step.find(',', comma + 1) != std::string_view::npos)
      fail_usage(
          "--emotion: step {} (character {}) is '{}'; a step is 'valence,arousal', steps are separated by "
          "';'",
          curve.steps + 1, begin + 1, trimmed(step));
    const std::pair<const char*, std::string_view> parts[2] = {{"valence", step.substr(0, comma)},
                                                               {"arousal", step.substr(comma + 1)}};
    for (const auto& [name, field] : parts) {
      const auto value = whole_number(trimmed(field));
      if (!value)
        fail_usage("--emotion: the {} of step {} (character {}) is '{}', not a number", name, curve.steps + 1,
                   static_cast<std::size_t>(field.data() - text.data()) + 1, trimmed(field));
      curve.values.push_back(static_cast<float>(*value));
    }
    ++curve.steps;
    begin = end + 1;
  }
  return curve;
}

std::vector<std::string> range_warnings(const EmotionCurve& curve, const std::string& range) {
  const std::size_t dots = range.find("..");
  if (dots == std::string::npos) return {};
  const auto low = whole_number(trimmed(std::string_view(range).substr(0, dots)));
  const auto high = whole_number(trimmed(std::string_view(range).substr(dots + 2)));
  if (!low || !high) return {};
  std::vector<std::string> warnings;
  for (int t = 0; t < curve.steps; ++t)
    for (int column = 0; column < 2; ++column) {
      const double value = curve.values[t * 2 + column];
      if (value < *low || value > *high)
        warnings.push_back(fmt::format("the {} of step {} is {:g}, outside the data set's ratings ({})",
                                       column == 0 ? "valence" : "arousal", t + 1, value, range));
    }
  return warnings;
}

MusicFeatures read_music_features(const std::string& path, std::optional<std::int64_t> song,
                                  const InputShape& like, bool takes_patches) {
  if (takes_patches) {
    if (!ends_with(path, ".safetensors"))
      fail_input(
          "{}: the model takes log-mel patches, which a prepared data set or `emer extract --what logmel` "
          "holds (.safetensors)",
          path);
    const SafetensorsFile file = SafetensorsFile::open(path);
    if (file.find("song_id") == nullptr && file.find("patches") != nullptr) return from_extracted(file, song);
    MusicFeatures out = from_dataset(path, song);
    if (out.patches.empty())
      fail_input("{}: the model takes log-mel patches, which this data set lacks; prepare it with --audio",
                 path);
    return out;
  }
  if (ends_with(path, ".npy")) return from_npy(path, like);
  if (!ends_with(path, ".safetensors")) return from_csv(path, song, like);
  MusicFeatures out = from_dataset(path, song);
  if ((out.steps > 0) != (like.music_steps > 0))
    fail_input("{}: holds {}, the model takes {}", path, out.steps > 0 ? "feature sequences" : "song vectors",
               like.music_steps > 0 ? "feature sequences" : "song vectors");
  if (out.width != like.music_width)
    fail_input("{}: {} features, the model takes {}", path, out.width, like.music_width);
  return out;
}

}  // namespace emer
