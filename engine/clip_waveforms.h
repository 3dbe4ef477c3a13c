// engine/clip_waveforms.h - clips read, decoded, cut and resampled by threads, handed out in their order.
//
// At most a few clips a thread are ahead of the one that is taken next, and about half a gigabyte of finished
// waveforms waits; a thread holds one decoded file at a time. A waveform does not depend on the number of threads.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data/audio_source.h"
#include "data/pcm_cache.h"
#include "data/waveform.h"

namespace emer {

struct ClipWaveform {
  std::string checksum;          // SHA-256 of the file; empty where it could not be read
  std::vector<float> samples;    // at 16 kHz
  std::string warning, failure;  // as in ClipFeatures (engine/audio_features.h)
  bool skipped = false;
};

struct ClipWaveformOptions {
  Resampler resampler = Resampler::kSoxr;
  std::string cache_folder = {};
  int threads = 0;                 // 0: thread_count()
  std::int64_t least_samples = 1;  // fewer are a failure
  std::function<bool(const std::string& checksum)> skip = {};
};

class ClipWaveforms {
 public:
  // `clips` must outlive this.
  ClipWaveforms(const std::vector<AudioClip>& clips, const ClipWaveformOptions& options);
  ~ClipWaveforms();  // leaves clips that have not been begun
  ClipWaveforms(const ClipWaveforms&) = delete;
  ClipWaveforms& operator=(const ClipWaveforms&) = delete;

  // The next clip's, waiting for it; to be called once a clip. Rethrows what is no clip's fault, a wrong range say.
  ClipWaveform next();

  std::string cache_problem() const { return cache_.problem(); }

 private:
  struct Slot {
    bool ready = false;
    ClipWaveform result;
    std::exception_ptr fault;
  };
  void work();
  ClipWaveform read(const AudioClip& clip);

  const std::vector<AudioClip>& clips_;
  ClipWaveformOptions options_;
  PcmCache cache_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Slot> slots_;        // clip i's is i % slots_.size()
  std::size_t begun_ = 0;          // clips that threads have taken on
  std::size_t taken_ = 0;          // clips handed out
  std::size_t waiting_bytes_ = 0;  // of finished waveforms
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace emer
