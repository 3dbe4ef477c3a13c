// engine/extract.h - the work of `emer extract`: sound files to one file of features, in as many sittings as it takes.
//
// Results lie in OUT.parts (engine/extract_parts.h), keyed by each sound file's content and by everything that decides
// the result, until all files have been gone through; then they are joined into OUT and the folder goes. A run that was
// stopped, killed or that met a full disk goes on from there when it is asked for again with the same options.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "engine/audio_features.h"

namespace emer {

struct ExtractProgress {
  std::int64_t files = 0, done = 0;  // done: of this sitting's, whatever became of them
  double sound_seconds = 0.0;        // computed in this sitting
  double seconds = 0.0;              // since it began
};

struct ExtractRequest {
  std::vector<std::string> inputs;  // sound files, and folders and zip archives of them
  std::string out;                  // its folder must be there
  AudioFeatureOptions features;     // `skip` is ours
  // Not empty: embeddings by this checkpoint or run (engine/music_from_sound.h), one row a file; then
  // features.output is kLogMel.
  std::string checkpoint = {};
  ClipRange range;
  std::function<bool()> should_stop;
  std::function<void(const ExtractProgress&)> progress;  // after every file
};

struct ExtractResult {
  ExtractProgress progress;
  std::int64_t written = 0;           // files that are in `out`
  std::int64_t rows = 0;              // of theirs
  std::int64_t reused = 0;            // of them done in an earlier sitting, or equal to another file
  std::vector<std::string> failures;  // one line a file, which it names
  std::vector<std::string> warnings;  // likewise
  bool stopped = false;               // by should_stop: nothing was joined
};

// The sound files of the inputs, in order; folders' and archives' by extension and sorted. Error(kInput) for a folder
// or an archive without any.
std::vector<AudioSource> sound_files(const std::vector<std::string>& inputs);

// Error(kUsage) as audio_features() and MusicFromSound. `out` is written where at least one file could be used.
ExtractResult extract(Context& ctx, const ExtractRequest& request);

}  // namespace emer
