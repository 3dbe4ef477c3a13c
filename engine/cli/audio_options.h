// engine/cli/audio_options.h - what every `emer prepare` of a data set with sound shares.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "data/audio_source.h"
#include "data/import_report.h"

namespace emer::cli {

struct Output {
  std::string path;
  std::int64_t shard_songs = 0;
};
void add_output(CLI::App& command, Output& output);

// The sound of a data set: where it lies, which part of each recording is used, what is made of it.
struct AudioChoice {
  std::string path;  // empty: no sound
  double start = 15;
  double seconds = 30;  // 0: to the end
  bool pad = true;
  std::string what = "logmel", weights, resampler, cache, device = "auto";
  bool half = false;

  // Fixed by the data set.
  std::string folder;     // of the archive, that is preferred where songs are in several
  std::string published;  // the archive's name
  bool sequence = false;  // VGGish vectors one by one, not their mean

  bool given() const { return !path.empty(); }
};
// Sets the options' defaults from `choice` as it is.
void add_audio_options(CLI::App& command, AudioChoice& choice, const std::string& what_it_is);
// Error(kUsage) for combinations that no single option can see. For before anything is read.
void check_audio_choice(const AudioChoice& choice, bool has_features);

// Adds the sound, where there is any, and writes. Songs whose sound fails are left out; then, once the file is written,
// Error(kInput).
void write_with_audio(ImportResult result, const AudioChoice& choice, const Output& output);

// The same with the sound at hand: clips[i] is row i's.
void write_with_clips(ImportResult result, const std::vector<AudioClip>& clips, const AudioChoice& choice,
                      const Output& output);

}  // namespace emer::cli
