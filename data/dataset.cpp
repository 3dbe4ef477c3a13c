#include "data/dataset.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace emer {

namespace {

// Finite values inside a song's length, zeros beyond it.
void check_steps(const std::vector<float>& values, const std::vector<std::int32_t>& length,
                 std::int64_t steps, std::int64_t width, const std::vector<std::int64_t>& song_id,
                 const char* tensor, const std::string& label) {
  for (std::size_t row = 0; row < song_id.size(); ++row) {
    const std::int64_t valid = length.empty() ? steps : length[row];
    const float* song = values.data() + static_cast<std::int64_t>(row) * steps * width;
    for (std::int64_t i = 0; i < steps * width; ++i) {
      const float value = song[i];
      if (!std::isfinite(value))
        fail_input("{}: {} of song {} (row {}, step {}, column {}) is {}, not a finite number", label, tensor,
                   song_id[row], row, i / width, i % width, value);
      if (i >= valid * width && value != 0.0f)
        fail_input("{}: {} of song {} (row {}, step {}) is {} beyond the song's {} steps: padding must be 0",
                   label, tensor, song_id[row], row, i / width, value, valid);
    }
  }
}

void check_lengths(const std::vector<std::int32_t>& length, int steps,
                   const std::vector<std::int64_t>& song_id, const char* tensor, const std::string& label) {
  if (length.size() != song_id.size())
    fail_input("{}: {} has {} entries for {} songs", label, tensor, length.size(), song_id.size());
  for (std::size_t row = 0; row < length.size(); ++row)
    if (length[row] < 1 || length[row] > steps)
      fail_input("{}: {} of song {} (row {}) is {}, must be 1 to {}", label, tensor, song_id[row], row,
                 length[row], steps);
}

void check_size(std::size_t got, std::int64_t songs, std::int64_t steps, std::int64_t width,
                const char* tensor, const std::string& label) {
  if (static_cast<std::int64_t>(got) != songs * steps * width)
    fail_input("{}: {} has {} values, expected {} songs x {} steps x {} columns", label, tensor, got, songs,
               steps, width);
}

void check_patches(const Dataset& d, const std::string& label) {
  if (!d.has_patches()) {
    if (!d.patches.empty()) fail_input("{}: patches are there, but no patch_offset", label);
    return;
  }
  if (d.patch_offset.size() != d.song_id.size() + 1)
    fail_input("{}: patch_offset has {} entries for {} songs, must have one more than songs", label,
               d.patch_offset.size(), d.song_id.size());
  if (d.patch_offset[0] != 0) fail_input("{}: patch_offset starts with {}, not 0", label, d.patch_offset[0]);
  for (std::size_t row = 0; row < d.song_id.size(); ++row)
    if (d.patch_offset[row + 1] <= d.patch_offset[row])
      fail_input("{}: song {} (row {}) owns patches {} to {}: every song needs at least one", label,
                 d.song_id[row], row, d.patch_offset[row], d.patch_offset[row + 1]);
  const auto patches = static_cast<std::int64_t>(d.patches.size()) / Dataset::kPatchValues;
  if (d.patch_offset.back() != patches || d.patches.size() % Dataset::kPatchValues != 0)
    fail_input("{}: patch_offset ends with {}, patches has {} values, which is {} patches of {} x {}", label,
               d.patch_offset.back(), d.patches.size(), patches, Dataset::kPatchFrames, Dataset::kPatchBands);
  const auto bad =
      std::find_if(d.patches.begin(), d.patches.end(), [](float value) { return !std::isfinite(value); });
  if (bad == d.patches.end()) return;
  const std::int64_t at = bad - d.patches.begin();
  const auto owner =
      std::upper_bound(d.patch_offset.begin(), d.patch_offset.end(), at / Dataset::kPatchValues);
  fail_input("{}: patch {} (song {}), frame {}, band {} is {}, not a finite number", label,
             at / Dataset::kPatchValues,
             d.song_id[static_cast<std::size_t>(owner - d.patch_offset.begin() - 1)],
             at % Dataset::kPatchValues / Dataset::kPatchBands, at % Dataset::kPatchBands, *bad);
}

}  // namespace

std::int64_t Dataset::index_of(std::int64_t id) const {
  const auto found = std::lower_bound(song_id.begin(), song_id.end(), id);
  return found == song_id.end() || *found != id ? -1 : found - song_id.begin();
}

void validate(const Dataset& dataset, const std::string& label) {
  const std::int64_t songs = dataset.size();
  if (songs == 0) fail_input("{}: no songs", label);
  for (std::size_t row = 1; row < dataset.song_id.size(); ++row)
    if (dataset.song_id[row] <= dataset.song_id[row - 1])
      fail_input("{}: song_id row {} is {} after {}: ids must be ascending and unique", label, row,
                 dataset.song_id[row], dataset.song_id[row - 1]);

  if (dataset.music_steps < 0 || dataset.music_width < 0 || dataset.emotion_steps < 1)
    fail_input("{}: negative or missing extents (music {} steps of {}, emotion {} steps)", label,
               dataset.music_steps, dataset.music_width, dataset.emotion_steps);
  if (dataset.music_is_sequence() && dataset.music_width == 0)
    fail_input("{}: music has {} steps of no columns", label, dataset.music_steps);
  const std::int64_t music_steps = dataset.music_is_sequence() ? dataset.music_steps : 1;
  check_size(dataset.music.size(), songs, music_steps, dataset.music_width, "music", label);
  if (dataset.music_is_sequence())
    check_lengths(dataset.music_length, dataset.music_steps, dataset.song_id, "music_length", label);
  else if (!dataset.music_length.empty())
    fail_input("{}: music_length is there, but music is one vector a song", label);
  check_steps(dataset.music, dataset.music_length, music_steps, dataset.music_width, dataset.song_id, "music",
              label);

  check_size(dataset.emotion.size(), songs, dataset.emotion_steps, 2, "emotion", label);
  check_lengths(dataset.emotion_length, dataset.emotion_steps, dataset.song_id, "emotion_length", label);
  check_steps(dataset.emotion, dataset.emotion_length, dataset.emotion_steps, 2, dataset.song_id, "emotion",
              label);

  check_patches(dataset, label);
  if (!dataset.titles.empty() && dataset.titles.size() != dataset.song_id.size())
    fail_input("{}: {} titles for {} songs", label, dataset.titles.size(), songs);
  if (!dataset.artists.empty() && dataset.artists.size() != dataset.song_id.size())
    fail_input("{}: {} artists for {} songs", label, dataset.artists.size(), songs);
}

}  // namespace emer
