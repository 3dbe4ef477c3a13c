// data/audio_source.h - a sound file, wherever it lies: in a folder or inside an archive.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace emer {

struct AudioSource {
  std::string name;                   // for messages and reports: a path, or archive/member
  std::function<std::string()> read;  // the file's bytes; callable from any thread; throws Error(kInput)
};

// The part of a recording that is used. Times are cut to whole milliseconds, as the reference cuts them.
struct ClipRange {
  double start_seconds = 0.0;
  std::optional<double> seconds;  // nothing: to the end
  bool pad = false;               // fill up to `seconds` with digital silence
};

struct AudioClip {
  AudioSource source;
  ClipRange range;
};

}  // namespace emer
