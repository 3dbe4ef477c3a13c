// engine/synth_audio.h - synthetic songs as sound files and as the prepared data set of that sound.
#pragma once

#include <string>

#include "core/context.h"
#include "data/dataset.h"
#include "data/synthetic_audio.h"

namespace emer {

// FOLDER/1.wav, 2.wav, … (16-bit, mono, 16 kHz) and FOLDER/ratings.csv (song_id, time in seconds, valence, arousal); the
// folder is made. Returned: ratings, titles and log-mel patches of the same samples (kernels/log_mel.h), without
// `music`. Songs are made on all cores, patches on ctx's device. Throws Error(kUsage) for a configuration out of range.
Dataset write_synthetic_audio(Context& ctx, const SyntheticAudioConfig& config, const std::string& folder);

}  // namespace emer
