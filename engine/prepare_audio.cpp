#include "engine/prepare_audio.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "core/sha256.h"
#include "data/decode_audio.h"
#include "data/song_files.h"
#include "kernels/log_mel.h"

namespace emer {

namespace {

// Rows of features of all songs that came through, one song behind the other.
struct Collected {
  std::vector<float> values;
  std::vector<std::int64_t> offset = {0};  // in rows
  std::vector<std::int64_t> songs;         // their rows in the data set, ascending
  int width = 0;
  std::string checksums;  // the listing
  std::string first_failure;
};

// So that gigabytes of patches need not be moved as they grow. Unpadded clips may be far shorter than their range:
// for them, nothing.
std::size_t expected_values(const std::vector<AudioClip>& clips) {
  constexpr double kLongest = 3600;  // beyond an hour a clip's range says little about its sound
  std::int64_t patches = 0;
  for (const AudioClip& clip : clips) {
    if (!clip.range.pad || !clip.range.seconds || !(*clip.range.seconds <= kLongest)) return 0;
    patches += log_mel_patches(static_cast<std::int64_t>(*clip.range.seconds * kLogMelRate));
  }
  return static_cast<std::size_t>(patches * kLogMelPatchSize);
}

void put_patches(Dataset& d, Collected&& all) {
  d.patches = std::move(all.values);
  d.patch_offset = std::move(all.offset);
}

void put_means(Dataset& d, const Collected& all) {
  d.music_width = all.width;
  const auto width = static_cast<std::size_t>(all.width);
  std::vector<double> sum(width);
  for (std::size_t song = 0; song + 1 < all.offset.size(); ++song) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (std::int64_t row = all.offset[song]; row < all.offset[song + 1]; ++row)
      for (std::size_t i = 0; i < width; ++i) sum[i] += all.values[static_cast<std::size_t>(row) * width + i];
    const auto count = static_cast<double>(all.offset[song + 1] - all.offset[song]);
    for (const double value : sum) d.music.push_back(static_cast<float>(value / count));
  }
}

void put_sequences(Dataset& d, const Collected& all) {
  std::int64_t longest = 0;
  for (std::size_t song = 0; song + 1 < all.offset.size(); ++song) {
    const std::int64_t steps = all.offset[song + 1] - all.offset[song];
    d.music_length.push_back(static_cast<std::int32_t>(steps));
    longest = std::max(longest, steps);
  }
  d.music_steps = static_cast<int>(longest);
  d.music_width = all.width;
  d.music.assign(d.music_length.size() * static_cast<std::size_t>(longest * all.width), 0.0f);
  for (std::size_t song = 0; song < d.music_length.size(); ++song)
    std::copy(all.values.begin() + all.offset[song] * all.width,
              all.values.begin() + all.offset[song + 1] * all.width,
              d.music.begin() + static_cast<std::int64_t>(song) * longest * all.width);
}

std::string last_part(const std::string& name) {
  return name.substr(name.find_last_of('/') + 1);  // npos + 1 is 0
}

void check(const Dataset& d, const std::vector<AudioClip>& clips, const PrepareAudioOptions& options) {
  EMER_CHECK(options.features.output != AudioOutput::kPca, "a data set's music is not made of bytes");
  EMER_CHECK(clips.size() == d.song_id.size(), "{} clips for {} songs", clips.size(), d.song_id.size());
  EMER_CHECK(!d.has_patches(), "the data set has patches already");
  if (options.features.output == AudioOutput::kVggish && d.music_width > 0)
    fail_usage("a data set has one kind of music: give a feature table or let VGGish make it, not both");
}

}  // namespace

std::size_t add_audio(Context& ctx, ImportResult& result, const std::vector<AudioClip>& clips,
                      const PrepareAudioOptions& options,
                      const std::function<void(std::size_t done)>& progress) {
  Dataset& d = result.dataset;
  ImportReport& report = result.report;
  check(d, clips, options);
  const bool vggish = options.features.output == AudioOutput::kVggish;
  Collected all;
  if (!vggish) all.values.reserve(expected_values(clips));
  std::vector<std::int64_t> failed;
  const AudioRun run =
      audio_features(ctx, clips, options.features, [&](std::size_t row, ClipFeatures&& features) {
        const std::int64_t id = d.song_id[row];
        if (!features.failed() && features.examples > 0) {
          all.width = static_cast<int>(static_cast<std::int64_t>(features.values.size()) / features.examples);
          all.values.insert(all.values.end(), features.values.begin(), features.values.end());
          all.offset.push_back(all.offset.back() + features.examples);
          all.songs.push_back(static_cast<std::int64_t>(row));
          all.checksums += fmt::format("{}  {}\n", features.checksum, last_part(clips[row].source.name));
        } else {
          failed.push_back(id);
          report.drop("its sound cannot be used", id);
          if (all.first_failure.empty()) all.first_failure = features.failure;
          report.warnings.push_back(fmt::format("song {}: {}", id, features.failure));
        }
        if (!features.warning.empty())
          report.warnings.push_back(fmt::format("song {}: {}", id, features.warning));
        if (progress) progress(row + 1);
        return true;
      });
  if (!run.cache_problem.empty())
    report.warnings.push_back(fmt::format("decoded sound is not kept: {}", run.cache_problem));
  if (all.songs.empty())
    fail_input("none of {} songs has sound that can be used; the first: {}", clips.size(), all.first_failure);

  if (!failed.empty()) keep_rows(d, all.songs);
  report.kept = d.size();
  d.metadata["sound"] = !vggish ? "logmel" : options.sequence ? "vggish, sequences" : "vggish, means";
  d.metadata["resampler"] = name_of(options.features.resampler);
  d.metadata["decoder"] = decoder_version();
  d.metadata["sound_checksum"] = sha256_hex(all.checksums);
  if (!vggish) {
    put_patches(d, std::move(all));
    return failed.size();
  }
  d.metadata["music_kind"] = "VGGish";
  d.metadata["vggish_weights"] = sha256_hex(read_file(options.features.weights));
  if (options.sequence)
    put_sequences(d, all);
  else
    put_means(d, all);
  return failed.size();
}

}  // namespace emer
