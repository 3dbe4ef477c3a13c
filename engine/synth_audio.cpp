#include "engine/synth_audio.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/build_info.h"
#include "core/file.h"
#include "core/parallel.h"
#include "core/sha256.h"
#include "core/tensor.h"
#include "data/wav.h"
#include "kernels/log_mel.h"

namespace emer {

namespace {

constexpr std::int64_t kSongsAtOnce = 64;  // in memory as samples

// Patches of the songs' sound, one song after the other.
std::vector<float> patches_of(Context& ctx, const std::vector<std::vector<std::int16_t>>& songs,
                              std::vector<std::int64_t>& patch_offset) {
  std::vector<std::int16_t> samples;
  std::vector<std::int64_t> offsets{0};
  for (const auto& song : songs) {
    samples.insert(samples.end(), song.begin(), song.end());
    offsets.push_back(static_cast<std::int64_t>(samples.size()));
    patch_offset.push_back(patch_offset.back() + log_mel_patches(static_cast<std::int64_t>(song.size())));
  }
  const std::vector<std::int64_t> starts = log_mel_starts(offsets);
  const auto patches = static_cast<std::int64_t>(starts.size());
  Tensor<std::int16_t> on_device(ctx, {static_cast<std::int64_t>(samples.size())});
  on_device.from_host(ctx, samples);
  Tensor<std::int64_t> first_sample(ctx, {patches});
  first_sample.from_host(ctx, starts);
  Tensor<float> out(ctx, {patches, kLogMelFrames, kLogMelBands});
  log_mel<float, std::int16_t>(ctx, {.patches = patches,
                                     .sample_count = static_cast<std::int64_t>(samples.size()),
                                     .samples = on_device.data(),
                                     .first_sample = first_sample.data(),
                                     .out = out.data()});
  return out.to_host(ctx);
}

}  // namespace

Dataset write_synthetic_audio(Context& ctx, const SyntheticAudioConfig& config, const std::string& folder) {
  check(config);
  make_folders(folder);
  const std::filesystem::path path(folder);
  Dataset d;
  d.name = "synthetic_audio";
  d.patch_offset = {0};
  std::string table = "song_id,time,valence,arousal\n";
  for (std::int64_t first = 0; first < config.songs; first += kSongsAtOnce) {
    std::vector<SyntheticSong> songs(static_cast<std::size_t>(std::min(kSongsAtOnce, config.songs - first)));
    parallel_for(static_cast<std::int64_t>(songs.size()), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        SyntheticSong& song = songs[static_cast<std::size_t>(i)];
        song = make_synthetic_song(config, first + i + 1);
        write_file_atomically((path / fmt::format("{}.wav", first + i + 1)).string(),
                              wav_bytes(kSyntheticAudioRate, 1, song.samples));
      }
    });
    std::vector<std::vector<std::int16_t>> samples;
    for (SyntheticSong& song : songs) {
      d.song_id.push_back(static_cast<std::int64_t>(d.song_id.size()) + 1);
      d.emotion.insert(d.emotion.end(), song.ratings.begin(), song.ratings.end());
      d.emotion_length.push_back(static_cast<std::int32_t>(song.ratings.size() / 2));
      d.titles.push_back(song.title);
      d.artists.push_back(song.artist);
      for (std::size_t step = 0; step < song.ratings.size() / 2; ++step)
        table += fmt::format("{},{},{},{}\n", d.song_id.back(),
                             static_cast<double>(step) / kSyntheticRatingsPerSecond, song.ratings[2 * step],
                             song.ratings[2 * step + 1]);
      samples.push_back(std::move(song.samples));
    }
    const std::vector<float> patches = patches_of(ctx, samples, d.patch_offset);
    d.patches.insert(d.patches.end(), patches.begin(), patches.end());
  }
  write_file_atomically((path / "ratings.csv").string(), table);
  d.emotion_steps = d.emotion_length.front();
  const std::string options =
      fmt::format("audio songs {} seed {} seconds {}", config.songs, config.seed, config.seconds);
  d.metadata = {
      {"format", "emer-dataset-1"},      {"name", d.name},
      {"source", "generated"},           {"created_by", fmt::format("emer {} ({})", version(), git_hash())},
      {"music_kind", "synthetic audio"}, {"emotion_range", "-1..1"},
      {"checksum", sha256_hex(options)}, {"seed", std::to_string(config.seed)}};
  return d;
}

}  // namespace emer
