#include "engine/reproduce/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "core/check.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "core/sha256.h"
#include "core/text.h"
#include "data/dataset.h"
#include "data/deam.h"
#include "data/generated_features.h"
#include "data/pmemo.h"
#include "data/tables.h"
#include "engine/reproduce/raw_sets.h"

namespace emer {

namespace {

namespace fs = std::filesystem;

constexpr const char* kInputs = "study_inputs";  // header: checksum of the raw files
constexpr const char* kDiffering =
    "short_valence_songs";  // header of deam.safetensors: songs of the other file
constexpr const char* kVariant = "deam_short_valence=released";
constexpr const char* kExtension = ".safetensors";

using Header = std::map<std::string, std::string>;

std::string header(const Header& metadata, const char* key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? std::string() : found->second;
}
std::string header(const Dataset& d, const char* key) {
  return header(d.metadata, key);
}
std::string header(const std::string& path, const char* key) {
  return header(SafetensorsFile::open(path).metadata(), key);
}

bool has(const std::string& text, const char* part) {
  return lower_case(text).find(part) != std::string::npos;
}

std::string thousands(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

bool is_generated(const Dataset& d) {
  const std::string kind = header(d, "music_kind");
  return has(kind, "generated") || has(kind, "synthetic") || header(d, "source") == "generated";
}

std::string shown_name(const std::string& name) {
  if (name == "deam") return "DEAM";
  if (name == "pmemo") return "PMEmo";
  if (name == "emomusic") return "emoMusic";
  return name;
}

std::string features_text(const Dataset& d) {
  if (d.has_patches() && d.music_width == 0) return "log-mel patches";
  if (d.music_width == 0) return "no music";
  const std::string kind = header(d, "music_kind");
  if (is_generated(d))
    return fmt::format("generated features ({} {}: they say nothing about music)", d.music_width,
                       d.music_is_sequence() ? "a frame" : "a song");
  const char* name = has(kind, "vggish")                     ? "VGGish "
                     : has(header(d, "inputs"), "opensmile") ? "openSMILE "
                                                             : "";
  return fmt::format("{} {}features a {}", d.music_width, name, d.music_is_sequence() ? "frame" : "song");
}

std::string ratings_text(const Dataset& d) {
  if (header(d, "ratings") == "per_rater") return "ratings averaged from single raters'";
  return header(d, "source").find("averaged") != std::string::npos ? "averaged ratings" : "ratings";
}

// The paper's: VGGish features; DEAM's ratings averaged from single raters' files, PMEmo's as they are published.
bool is_as_published(const Dataset& d) {
  if (is_generated(d) || header(d, "music_kind") != "VGGish") return false;
  return d.name == "pmemo" || (d.name == "deam" && header(d, "ratings") == "per_rater");
}

bool is_run_name(const std::string& name) {
  return !name.empty() &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
             std::string::npos;
}

std::string variant_path(const std::string& path) {
  return path.substr(0, path.size() - std::string(kExtension).size()) + "-short-valence-released" +
         kExtension;
}

// The same songs from the same raw files, prepared the released way.
bool is_variant_of(const std::string& path, const Dataset& d) {
  const SafetensorsFile other = SafetensorsFile::open(path);
  return other.find("song_id") != nullptr && other.read<std::int64_t>("song_id") == d.song_id &&
         header(other.metadata(), "deam_short_valence") == "released" &&
         header(d.metadata, "deam_short_valence") == "textbook" &&
         header(other.metadata(), "checksum") == header(d.metadata, "checksum");
}

StudyData describe(const Dataset& d, const std::string& path, std::string checksum) {
  StudyData data;
  data.name = d.name;
  data.path = path;
  data.checksum = std::move(checksum);
  data.label = fmt::format("{}, {} songs, {}, {}", shown_name(d.name), thousands(d.size()), features_text(d),
                           ratings_text(d));
  data.generated = is_generated(d);
  data.as_published = is_as_published(d);
  return data;
}

// A prepared file that is there must be made from the raw files as they are now.
bool is_there(const std::string& path, const std::string& inputs, const std::string& raw) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return false;
  if (header(path, kInputs) != inputs)
    fail_usage("{}: it was made from other files than those now in {}: use another --out, or move it away",
               path, raw);
  return true;
}

void save(Dataset& d, const std::string& path, const std::string& inputs) {
  d.metadata[kInputs] = inputs;
  make_folders(fs::path(path).parent_path().string());
  save_dataset(d, path);
  fmt::print("wrote {}: {} songs\n", path, d.size());
  std::fflush(stdout);
}

std::int64_t differing_songs(const Dataset& a, const Dataset& b) {
  std::int64_t count = 0;
  const std::size_t per_song = static_cast<std::size_t>(a.emotion_steps) * 2;
  for (std::size_t i = 0; i < a.emotion.size(); i += per_song)
    count += !std::equal(a.emotion.begin() + static_cast<std::ptrdiff_t>(i),
                         a.emotion.begin() + static_cast<std::ptrdiff_t>(i + per_song),
                         b.emotion.begin() + static_cast<std::ptrdiff_t>(i));
  return count;
}

ImportResult import(const RawDeam& raw, bool released) {
  return prepare_deam(
      {.annotations = raw.annotations, .features = raw.features, .metadata = raw.metadata, .statics = {}},
      {.released_short_valence = released, .per_rater = raw.per_rater});
}

std::string prepare(const RawDeam& raw, const std::string& folder) {
  const std::string path = (fs::path(folder) / "deam.safetensors").string(), other = variant_path(path);
  const std::string inputs = checksum_of(raw);
  const bool have_other = is_there(other, inputs, raw.root);
  if (is_there(path, inputs, raw.root) && (have_other || header(path, kDiffering) == "0")) return path;

  ImportResult textbook = import(raw, false), released = import(raw, true);
  fmt::print("{}", textbook.report.text());
  const std::int64_t songs = differing_songs(textbook.dataset, released.dataset);
  textbook.dataset.metadata[kDiffering] = std::to_string(songs);
  // The one that tells that all is there comes last.
  if (songs > 0) save(released.dataset, other, inputs);
  fmt::print("the released preparation gives {} of {} songs other ratings\n", songs, textbook.dataset.size());
  save(textbook.dataset, path, inputs);
  return path;
}

std::string prepare(const RawPmemo& raw, const std::string& folder) {
  const std::string path = (fs::path(folder) / "pmemo-generated.safetensors").string();
  const std::string inputs = checksum_of(raw);
  if (is_there(path, inputs, raw.root)) return path;
  ImportResult result = prepare_pmemo(
      {.annotations = raw.annotations, .metadata = raw.metadata, .features = {}}, {.sound_follows = true});
  generate_features(result.dataset, 0, 1);
  fmt::print("{}", result.report.text());
  save(result.dataset, path, inputs);
  return path;
}

std::string nothing_in(const std::string& path) {
  return fmt::format(
      "--data {}: neither a prepared data set (NAME.safetensors) nor a folder with DEAM's `annotations "
      "averaged per "
      "song` or PMEmo's dynamic_annotations.csv and metadata.csv",
      path);
}

void add(std::vector<StudyData>& all, const std::string& path) {
  StudyData data = describe_prepared(path);
  for (const StudyData& before : all)
    if (before.name == data.name)
      fail_usage("--data: {} and {} are both called {}: name one of them", before.path, path,
                 in_quotes(data.name));
  all.push_back(std::move(data));
}

}  // namespace

StudyData describe_prepared(const std::string& path) {
  if (!path.ends_with(kExtension)) throw Error(ErrorKind::kUsage, nothing_in(path));
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    fail_input("--data {}: there is no such file (a data set in shards must be prepared as one file)", path);
  std::string bytes = read_file(path);
  const std::string checksum = sha256_hex(bytes);
  const Dataset d = parse_dataset(std::move(bytes), path);
  if (!is_run_name(d.name))
    fail_usage("{}: the data set's name is {}; runs are named after it: letters, digits, - _ . only", path,
               in_quotes(d.name));
  StudyData data = describe(d, path, checksum);
  const std::string other = variant_path(path);
  if (fs::exists(other, ignored) && is_variant_of(other, d)) data.variants[kVariant] = other;
  return data;
}

std::vector<StudyData> find_study_data(const std::vector<std::string>& paths, const std::string& out) {
  if (paths.empty())
    fail_usage(
        "--data is needed: prepared data sets (NAME.safetensors), or folders with DEAM's or PMEmo's raw "
        "files");
  const std::string folder = (fs::path(out) / "data").string();
  std::vector<StudyData> all;
  for (const std::string& path : paths) {
    std::error_code ignored;
    if (path.ends_with(kExtension)) {
      add(all, path);
      continue;
    }
    if (!fs::exists(path, ignored)) fail_input("--data {}: there is no such file or folder", path);
    const RawSets raw = find_raw_sets(path);
    if (!raw.deam && !raw.pmemo) throw Error(ErrorKind::kUsage, nothing_in(path));
    if (raw.deam) add(all, prepare(*raw.deam, folder));
    if (raw.pmemo) add(all, prepare(*raw.pmemo, folder));
  }
  return all;
}

}  // namespace emer
