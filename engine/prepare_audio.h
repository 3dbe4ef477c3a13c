// engine/prepare_audio.h - sound into an imported data set: log-mel patches, or VGGish vectors as its music.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "data/audio_source.h"
#include "data/import_report.h"
#include "engine/audio_features.h"

namespace emer {

struct PrepareAudioOptions {
  // kLogMel fills `patches`; kVggish fills `music`, which must be empty. kPca is refused.
  AudioFeatureOptions features;
  bool sequence = false;  // kVggish: a song's vectors one by one, [N, T, F], instead of their mean, [N, F]
};

// clips[i] is the sound of row i. Songs whose sound fails are dropped, with the reason as a warning; damage that was
// survived is a warning too. Writes to the header: `sound`, `resampler`, `decoder`, `sound_checksum` (SHA-256 over one
// line "<sha256>  <file name>\n" a song that was kept) and, for kVggish, `music_kind` and `vggish_weights` (SHA-256).
// progress(done) after every clip. Returns the number of songs that failed. Throws Error(kInput) where none is left,
// otherwise as audio_features().
std::size_t add_audio(Context& ctx, ImportResult& result, const std::vector<AudioClip>& clips,
                      const PrepareAudioOptions& options,
                      const std::function<void(std::size_t done)>& progress = {});

}  // namespace emer
