// engine/audio_features.h - many sound clips to log-mel patches, VGGish vectors or post-processed vectors.
//
// Threads read, decode and resample several clips at once (engine/clip_waveforms.h); the calling thread computes
// everything behind that on the context's device, clip by clip, and hands the results out in the order of the clips.
// Memory is bounded by the files being decoded and about half a gigabyte of waveforms that wait; results are the same
// for any number of threads.
// A clip that fails (unreadable, damaged beyond use, shorter than one patch of 0.975 s) is handed out with its reason
// and stops nothing. Wrong options, unreadable weights and device failures throw, before the first clip where possible.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "data/audio_source.h"
#include "data/waveform.h"
#include "kernels/pca_quantise.h"

namespace emer {

enum class AudioOutput { kLogMel, kVggish, kPca };

struct AudioFeatureOptions {
  AudioOutput output = AudioOutput::kLogMel;
  Resampler resampler = Resampler::kSoxr;
  std::string cache_folder = {};  // decoded sound is kept there (data/pcm_cache.h); empty: nowhere
  std::string weights = {};       // kVggish, kPca: see engine/patch_vectors.h
  std::string pca = {};           // kPca: likewise
  PcaRounding rounding = PcaRounding::kTruncate;
  bool tune = false;  // kVggish, kPca: likewise, and a line a kernel to `note`
  std::function<void(const std::string& line)> note = {};
  int threads = 0;  // that decode; 0: as many as ops use (core/parallel.h)
  // Asked with the SHA-256 of a clip's file before it is decoded, from several threads at once: true leaves the clip
  // out, to be handed out with `skipped`.
  std::function<bool(const std::string& checksum)> skip = {};
};

// Row-major, P = examples: `values` is [P, 96, 64] or [P, width], `bytes` (kPca only) [P, width].
struct ClipFeatures {
  std::string checksum;  // SHA-256 of the file; empty where it could not be read
  double seconds = 0.0;  // of sound used, padding included
  std::int64_t examples = 0;
  int width = 0;  // of a row: 96 * 64, or the network's output, 128 for VGGish
  std::vector<float> values;
  std::vector<std::uint8_t> bytes;
  std::string warning;  // one line: some of the file was damaged
  std::string failure;  // one line that names the clip; then there is nothing else but perhaps the checksum
  bool skipped = false;

  bool failed() const { return !failure.empty(); }
};

// Called in the order of the clips, on the calling thread; false stops early.
using ClipSink = std::function<bool(std::size_t clip, ClipFeatures&& features)>;

// What the run found out beside the features.
struct AudioRun {
  bool complete = true;       // false where the sink stopped it
  std::string cache_problem;  // why the cache could not be written, or empty
};
AudioRun audio_features(Context& ctx, const std::vector<AudioClip>& clips, const AudioFeatureOptions& options,
                        const ClipSink& sink);

// The whole of it in memory: clip i owns rows [offset[i], offset[i + 1]), none where it failed.
struct AudioFeatures {
  int width = 0;                     // of a row; 0 where every clip failed
  std::vector<float> values;         // [rows, width]; kLogMel, kVggish
  std::vector<std::uint8_t> bytes;   // [rows, width]; kPca
  std::vector<std::int64_t> offset;  // [clips + 1]
  std::vector<ClipFeatures> clips;   // without values and bytes
  std::string cache_problem;
};
// progress(done) after every clip.
AudioFeatures collect_audio_features(Context& ctx, const std::vector<AudioClip>& clips,
                                     const AudioFeatureOptions& options,
                                     const std::function<void(std::size_t done)>& progress = {});

}  // namespace emer
