// data/dataset.h - the prepared data set in host memory, and its file (interchange.md, "Prepared data set").
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace emer {

struct Dataset {
  std::string name;
  std::vector<std::int64_t> song_id;            // [N], strictly ascending
  std::vector<float> music;                     // [N, F] or [N, T, F] row-major, padding 0
  std::vector<std::int32_t> music_length;       // [N] where music is a sequence, else empty
  std::vector<float> emotion;                   // [N, S, 2] columns valence, arousal, padding 0
  std::vector<std::int32_t> emotion_length;     // [N], 1..S
  int music_steps = 0;                          // T; 0 for song vectors
  int music_width = 0;                          // F
  int emotion_steps = 0;                        // S
  std::map<std::string, std::string> metadata;  // header strings: format, source, created_by, music_kind, …
  std::vector<std::string> titles;              // [N] "artist - title" where known, else empty
  std::vector<std::string> artists;             // [N] where known, else empty (grouped splits)

  // Log-mel examples of a song's sound (kernels/log_mel.h): song i owns rows [patch_offset[i], patch_offset[i+1]).
  static constexpr std::int64_t kPatchFrames = 96, kPatchBands = 64,
                                kPatchValues = kPatchFrames * kPatchBands;
  std::vector<float> patches;              // [P, 96, 64], or empty
  std::vector<std::int64_t> patch_offset;  // [N + 1] where there are patches, else empty

  bool has_patches() const { return !patch_offset.empty(); }
  std::int64_t size() const { return static_cast<std::int64_t>(song_id.size()); }
  bool music_is_sequence() const { return music_steps > 0; }
  std::int64_t index_of(std::int64_t id) const;  // -1 where absent
};

// A file, or a set of shards named by any one of them or by the common NAME.safetensors. Checks every shape,
// lengths, ascending unique ids, finite values, zero padding. A file without `music` (ratings alone, or sound as
// patches) loads with width 0; 16-bit patches are widened. Shards may be numbered from 0 or from 1. Throws Error(kInput) with file, tensor and row.
Dataset load_dataset(const std::string& path);
// The same of one file's bytes.
Dataset parse_dataset(std::string bytes, const std::string& label);
// Titles and artists travel as JSON arrays in the header's metadata. shard_songs > 0 splits into shards of at
// most that many songs, numbered from 1. kHalf rounds patches to the nearest float16; a value beyond its range is
// an Error(kInput). Each file is written atomically.
enum class PatchPrecision { kFloat, kHalf };
void save_dataset(const Dataset& dataset, const std::string& path, std::int64_t shard_songs = 0,
                  PatchPrecision precision = PatchPrecision::kFloat);
// Consistency of sizes, lengths, ids, offsets, finiteness, zero padding; every song has a patch where one has. `label` names the source in errors.
void validate(const Dataset& dataset, const std::string& label);

// Per-feature mean and standard deviation over given songs (and their valid steps). deviation is 1 where a
// feature is constant.
struct Standardisation {
  std::vector<double> mean;       // [width]; empty = identity
  std::vector<double> deviation;  // [width], > 0
};
Standardisation fit_music_standardisation(const Dataset& dataset, const std::vector<std::int64_t>& rows);
Standardisation fit_emotion_standardisation(const Dataset& dataset, const std::vector<std::int64_t>& rows);
// One mean and one deviation of all values of the songs' patches.
Standardisation fit_patch_standardisation(const Dataset& dataset, const std::vector<std::int64_t>& rows);
// clip > 0 then cuts every value to [-clip, clip]: heavy-tailed features keep few songs from ruling a layer.
void apply_music(Dataset& dataset, const Standardisation& by, double clip = 0.0);  // padding stays 0
void apply_emotion(Dataset& dataset, const Standardisation& by);                   // padding stays 0
void apply_patches(Dataset& dataset, const Standardisation& by);
// Keeps every stride-th rating by averaging each run of `stride` valid steps (the last may be shorter).
void average_emotion_steps(Dataset& dataset, int stride);

}  // namespace emer
