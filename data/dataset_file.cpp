#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>

#include "core/check.h"
#include "core/float16.h"
#include "core/safetensors.h"
#include "core/text.h"
#include "data/dataset.h"

namespace emer {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kFormat = "emer-dataset-1";
constexpr const char* kExtension = ".safetensors";

// NAME-00003-of-00016.safetensors taken apart.
struct ShardName {
  std::string stem;  // NAME, without the folder
  int number = 0;
  int count = 0;
};

std::optional<ShardName> shard_name(const std::string& file) {
  static const std::size_t tail = std::string("-00003-of-00016.safetensors").size();
  if (file.size() <= tail) return std::nullopt;
  const std::string end = file.substr(file.size() - tail);
  const std::string digits = end.substr(1, 5) + end.substr(10, 5);
  if (end[0] != '-' || end.substr(6, 4) != "-of-" || end.substr(15) != kExtension ||
      digits.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  return ShardName{file.substr(0, file.size() - tail), std::stoi(digits.substr(0, 5)),
                   std::stoi(digits.substr(5, 5))};
}

std::string shard_path(const fs::path& folder, const std::string& stem, int number, int count) {
  return (folder / fmt::format("{}-{:05}-of-{:05}{}", stem, number, count, kExtension)).string();
}

// The files that make up the data set `path` names. Shards may count from 0 or from 1.
std::vector<std::string> files_of(const std::string& path) {
  const fs::path given(path);
  const fs::path folder = given.parent_path().empty() ? fs::path(".") : given.parent_path();
  const std::string file = given.filename().string();
  const auto asked = shard_name(file);
  std::error_code ignored;
  if (!asked && (fs::exists(given, ignored) || !file.ends_with(kExtension))) return {path};

  const std::string stem = asked ? asked->stem : file.substr(0, file.size() - std::string(kExtension).size());
  std::set<int> numbers, counts;
  for (fs::directory_iterator entry(folder, ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    const auto found = shard_name(entry->path().filename().string());
    if (!found || found->stem != stem || (asked && found->count != asked->count)) continue;
    numbers.insert(found->number);
    counts.insert(found->count);
  }
  if (counts.empty()) return {path};
  if (counts.size() > 1)
    fail_input(
        "{}: shards of {} and of {} files lie side by side: remove one set, or name a file of the one meant",
        path, *counts.begin(), *counts.rbegin());
  const int count = *counts.begin(), base = numbers.count(0) ? 0 : 1;
  std::vector<std::string> files;
  for (int number = base; number < base + count; ++number) {
    files.push_back(shard_path(folder, stem, number, count));
    if (!numbers.count(number)) fail_input("{}: shard {} of {} is missing", path, files.back(), count);
  }
  if (static_cast<int>(numbers.size()) != count)
    fail_input("{}: {} shard files of a set of {}: their numbers must run from 0 or from 1", path,
               numbers.size(), count);
  return files;
}

int extent(std::int64_t value, const char* tensor, const std::string& label) {
  if (value < 1 || value > std::numeric_limits<std::int32_t>::max())
    fail_input("{}: {} has an extent of {}", label, tensor, value);
  return static_cast<int>(value);
}

std::vector<std::string> string_array(const std::map<std::string, std::string>& metadata,
                                      const std::string& key, std::int64_t songs, const std::string& label) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return {};
  const Json parsed = Json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  bool strings = parsed.is_array() && static_cast<std::int64_t>(parsed.size()) == songs;
  if (strings)
    strings = std::all_of(parsed.begin(), parsed.end(), [](const Json& j) { return j.is_string(); });
  if (!strings) fail_input("{}: metadata `{}` must be a JSON array of {} strings", label, key, songs);
  return parsed.get<std::vector<std::string>>();
}

Dataset load_one(const SafetensorsFile& file) {
  const std::string& label = file.label();
  Dataset d;
  d.metadata = file.metadata();
  // Files that others write may come without metadata: their tensors are judged as any others are.
  const auto format = d.metadata.find("format");
  const bool plain = d.metadata.empty() && file.find("song_id") != nullptr && file.find("emotion") != nullptr;
  if (!plain && (format == d.metadata.end() || format->second != kFormat))
    fail_input("{}: not a prepared data set (header format is {}, not `{}`): make one with `emer prepare`",
               label, format == d.metadata.end() ? std::string("missing") : in_quotes(format->second),
               kFormat);
  if (const auto name = d.metadata.find("name"); name != d.metadata.end()) d.name = name->second;

  d.song_id = file.read<std::int64_t>("song_id", {-1});
  const std::int64_t songs = d.size();
  if (songs == 0) fail_input("{}: song_id is empty", label);
  // An emotion-only file has no music tensor; training says what is missing.
  if (const TensorInfo* music = file.find("music")) {
    const std::size_t rank = music->shape.size();
    if (rank != 2 && rank != 3)
      fail_input("{}: music has {} dimensions, must be [songs, width] or [songs, steps, width]", label, rank);
    d.music_width = extent(music->shape.back(), "music", label);
    if (rank == 3) {
      d.music_steps = extent(music->shape[1], "music", label);
      d.music = file.read<float>("music", {songs, d.music_steps, d.music_width});
      d.music_length = file.read<std::int32_t>("music_length", {songs});
    } else {
      d.music = file.read<float>("music", {songs, d.music_width});
    }
  }
  const TensorInfo& emotion = file.info("emotion");
  if (emotion.shape.size() != 3) fail_input("{}: emotion must be [songs, steps, 2]", label);
  d.emotion_steps = extent(emotion.shape[1], "emotion", label);
  d.emotion = file.read<float>("emotion", {songs, d.emotion_steps, 2});
  d.emotion_length = file.read<std::int32_t>("emotion_length", {songs});
  if (file.find("patches") || file.find("patch_offset")) {
    d.patch_offset = file.read<std::int64_t>("patch_offset", {songs + 1});
    d.patches = file.read<float>("patches", {-1, Dataset::kPatchFrames, Dataset::kPatchBands});
  }
  d.titles = string_array(d.metadata, "titles", songs, label);
  d.artists = string_array(d.metadata, "artists", songs, label);
  d.metadata.erase("titles");
  d.metadata.erase("artists");
  validate(d, label);
  return d;
}

// [rows, from, width] to [rows, to, width], new steps 0.
void widen(std::vector<float>& values, std::int64_t rows, std::int64_t from, std::int64_t to,
           std::int64_t width) {
  if (from == to) return;
  std::vector<float> wide(static_cast<std::size_t>(rows * to * width), 0.0f);
  for (std::int64_t row = 0; row < rows; ++row)
    std::copy_n(values.begin() + row * from * width, from * width, wide.begin() + row * to * width);
  values = std::move(wide);
}

void append(Dataset& whole, Dataset part, const std::string& label) {
  if (part.music_width != whole.music_width || part.music_is_sequence() != whole.music_is_sequence())
    fail_input("{}: music of this shard has another shape than the first shard's", label);
  if (part.titles.empty() != whole.titles.empty() || part.artists.empty() != whole.artists.empty())
    fail_input("{}: titles or artists are in some shards only", label);
  if (part.has_patches() != whole.has_patches()) fail_input("{}: patches are in some shards only", label);
  const int music_steps = std::max(whole.music_steps, part.music_steps);
  const int emotion_steps = std::max(whole.emotion_steps, part.emotion_steps);
  for (Dataset* d : {&whole, &part}) {
    if (d->music_is_sequence()) widen(d->music, d->size(), d->music_steps, music_steps, d->music_width);
    widen(d->emotion, d->size(), d->emotion_steps, emotion_steps, 2);
    d->music_steps = music_steps;
    d->emotion_steps = emotion_steps;
  }
  const auto join = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  join(whole.song_id, part.song_id);
  join(whole.music, part.music);
  join(whole.music_length, part.music_length);
  join(whole.emotion, part.emotion);
  join(whole.emotion_length, part.emotion_length);
  if (whole.has_patches()) {
    const std::int64_t before = whole.patch_offset.back();
    for (std::size_t i = 1; i < part.patch_offset.size(); ++i)
      whole.patch_offset.push_back(before + part.patch_offset[i]);
    join(whole.patches, part.patches);
  }
  join(whole.titles, part.titles);
  join(whole.artists, part.artists);
}

// Chunk by chunk: patches are gigabytes, which are not held twice.
void put_half(const SafetensorsWriter::Sink& sink, std::span<const float> values) {
  constexpr std::size_t kChunk = 1 << 16;
  std::vector<std::uint16_t> chunk;
  for (std::size_t at = 0; at < values.size(); at += kChunk) {
    const auto part = values.subspan(at, std::min(kChunk, values.size() - at));
    chunk.resize(part.size());
    std::transform(part.begin(), part.end(), chunk.begin(), f16_from_float);
    sink(chunk.data(), chunk.size() * sizeof(std::uint16_t));
  }
}

void add_patches(SafetensorsWriter& writer, const Dataset& d, std::int64_t first, std::int64_t last,
                 PatchPrecision precision) {
  const auto row = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  const std::int64_t begin = d.patch_offset[row(first)], count = d.patch_offset[row(last)] - begin;
  std::vector<std::int64_t> offset(d.patch_offset.begin() + first, d.patch_offset.begin() + last + 1);
  for (std::int64_t& value : offset) value -= begin;
  const auto values =
      std::span(d.patches).subspan(row(begin * Dataset::kPatchValues), row(count * Dataset::kPatchValues));
  const bool half = precision == PatchPrecision::kHalf;
  writer.add_streamed("patches", half ? DType::kF16 : DType::kF32,
                      {count, Dataset::kPatchFrames, Dataset::kPatchBands},
                      [values, half](const SafetensorsWriter::Sink& sink) {
                        if (half) return put_half(sink, values);
                        sink(values.data(), values.size_bytes());
                      });
  writer.add("patch_offset", {last - first + 1}, offset);
}

void check_half_range(const Dataset& d, const std::string& label) {
  constexpr float kLargest = 65504;
  const auto bad = std::find_if(d.patches.begin(), d.patches.end(),
                                [](float value) { return std::abs(value) > kLargest; });
  if (bad != d.patches.end())
    fail_input("{}: patch {} holds {}, beyond the {} of float16: write float32 patches", label,
               (bad - d.patches.begin()) / Dataset::kPatchValues, *bad, kLargest);
}

void save_rows(const Dataset& d, std::int64_t first, std::int64_t last, PatchPrecision precision,
               const std::string& path) {
  const std::int64_t songs = last - first;
  const auto part = [&](const auto& values, std::int64_t per_song) {
    return std::span(values).subspan(static_cast<std::size_t>(first * per_song),
                                     static_cast<std::size_t>(songs * per_song));
  };
  SafetensorsWriter writer;
  for (const auto& [key, value] : d.metadata) writer.set_metadata(key, value);
  writer.set_metadata("format", kFormat);
  writer.set_metadata("name", d.name);
  const auto set_strings = [&](const char* key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    const Json list(std::vector<std::string>(values.begin() + first, values.begin() + last));
    writer.set_metadata(key, list.dump(-1, ' ', false, Json::error_handler_t::replace));
  };
  set_strings("titles", d.titles);
  set_strings("artists", d.artists);
  writer.add("song_id", {songs}, part(d.song_id, 1));
  if (d.music_is_sequence()) {
    writer.add("music", {songs, d.music_steps, d.music_width},
               part(d.music, std::int64_t{d.music_steps} * d.music_width));
    writer.add("music_length", {songs}, part(d.music_length, 1));
  } else if (d.music_width > 0) {
    writer.add("music", {songs, d.music_width}, part(d.music, d.music_width));
  }
  writer.add("emotion", {songs, d.emotion_steps, 2}, part(d.emotion, std::int64_t{d.emotion_steps} * 2));
  writer.add("emotion_length", {songs}, part(d.emotion_length, 1));
  if (d.has_patches()) add_patches(writer, d, first, last, precision);
  writer.write(path);
}

// What the patches of all shards will take, going by the first: growing step by step would hold them three times.
std::size_t expected_patch_values(const Dataset& first, const std::vector<std::string>& files) {
  std::error_code ignored;
  double all = 0;
  for (const std::string& file : files) all += static_cast<double>(fs::file_size(file, ignored));
  const auto one = static_cast<double>(fs::file_size(files.front(), ignored));
  const double ratio = one > 0 ? all / one : 1.0;
  return static_cast<std::size_t>(std::min(static_cast<double>(first.patches.size()) * ratio, all / 2));
}

}  // namespace

Dataset load_dataset(const std::string& path) {
  const std::vector<std::string> files = files_of(path);
  Dataset whole = load_one(SafetensorsFile::open(files.front()));
  if (files.size() > 1 && whole.has_patches()) whole.patches.reserve(expected_patch_values(whole, files));
  for (std::size_t i = 1; i < files.size(); ++i)
    append(whole, load_one(SafetensorsFile::open(files[i])), files[i]);
  if (files.size() > 1) validate(whole, path);
  return whole;
}

Dataset parse_dataset(std::string bytes, const std::string& label) {
  return load_one(SafetensorsFile::parse(std::move(bytes), label));
}

void save_dataset(const Dataset& dataset, const std::string& path, std::int64_t shard_songs,
                  PatchPrecision precision) {
  validate(dataset, path);
  if (precision == PatchPrecision::kHalf) check_half_range(dataset, path);
  const std::int64_t songs = dataset.size();
  if (shard_songs <= 0 || songs <= shard_songs) return save_rows(dataset, 0, songs, precision, path);
  const fs::path target(path);
  std::string stem = target.filename().string();
  if (stem.ends_with(kExtension)) stem.resize(stem.size() - std::string(kExtension).size());
  const std::int64_t count = (songs + shard_songs - 1) / shard_songs;
  if (count > 99999) fail_usage("{}: {} shards, at most 99999: take more songs a shard", path, count);
  for (std::int64_t i = 0; i < count; ++i)
    save_rows(dataset, i * shard_songs, std::min(songs, (i + 1) * shard_songs), precision,
              shard_path(target.parent_path(), stem, static_cast<int>(i + 1), static_cast<int>(count)));
}

}  // namespace emer
