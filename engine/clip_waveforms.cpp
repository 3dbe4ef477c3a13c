#include "engine/clip_waveforms.h"

#include <algorithm>
#include <new>
#include <utility>

#include "core/check.h"
#include "core/parallel.h"
#include "core/sha256.h"

namespace emer {

namespace {

constexpr std::size_t kMostWaitingBytes = std::size_t{1} << 29;
constexpr std::size_t kClipsAheadOfAThread = 4;

}  // namespace

ClipWaveforms::ClipWaveforms(const std::vector<AudioClip>& clips, const ClipWaveformOptions& options)
    : clips_(clips), options_(options), cache_(options.cache_folder) {
  const auto wanted = static_cast<std::size_t>(options.threads > 0 ? options.threads : thread_count());
  const std::size_t threads = std::min(wanted, clips.size());
  slots_.resize(std::max<std::size_t>(1, kClipsAheadOfAThread * threads));
  for (std::size_t t = 0; t < threads; ++t) threads_.emplace_back([this] { work(); });
}

ClipWaveforms::~ClipWaveforms() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ClipWaveforms::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    // The clip that is taken next may always be begun, so that waiting waveforms cannot block it.
    changed_.wait(lock, [&] {
      return stopping_ || begun_ == clips_.size() ||
             (begun_ < taken_ + slots_.size() && (begun_ == taken_ || waiting_bytes_ < kMostWaitingBytes));
    });
    if (stopping_ || begun_ == clips_.size()) return;
    const std::size_t clip = begun_++;
    lock.unlock();
    Slot slot;
    try {
      slot.result = read(clips_[clip]);
    } catch (...) {
      slot.fault = std::current_exception();
    }
    slot.ready = true;
    lock.lock();
    waiting_bytes_ += slot.result.samples.size() * sizeof(float);
    slots_[clip % slots_.size()] = std::move(slot);
    changed_.notify_all();
  }
}

ClipWaveform ClipWaveforms::read(const AudioClip& clip) {
  ClipWaveform result;
  const std::string& name = clip.source.name;
  try {
    const std::string bytes = clip.source.read();
    result.checksum = sha256_hex(bytes);
    if (options_.skip && options_.skip(result.checksum)) {
      result.skipped = true;
      return result;
    }
    DecodedAudio audio = cache_.decode(bytes, result.checksum, name);
    result.warning = std::move(audio.warning);
    try {
      result.samples = waveform_16k(audio, clip.range, options_.resampler);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kInput) throw;
      fail_input("{}: {}", name, error.what());
    }
    if (static_cast<std::int64_t>(result.samples.size()) < options_.least_samples)
      fail_input("{}: {:.3f} s of sound ({} samples at 16 kHz), but {:.3f} s ({}) are needed", name,
                 static_cast<double>(result.samples.size()) / kWaveformRate, result.samples.size(),
                 static_cast<double>(options_.least_samples) / kWaveformRate, options_.least_samples);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInput) throw;
    result.failure = error.what();
  } catch (const std::bad_alloc&) {
    result.failure = name + ": there is not enough memory to decode it";
  }
  if (!result.failure.empty()) {
    result.samples = {};
    result.warning.clear();
  }
  return result;
}

ClipWaveform ClipWaveforms::next() {
  std::unique_lock lock(mutex_);
  EMER_CHECK(taken_ < clips_.size(), "clip waveforms: all {} clips have been taken", clips_.size());
  Slot& slot = slots_[taken_ % slots_.size()];
  changed_.wait(lock, [&] { return slot.ready; });
  Slot mine = std::exchange(slot, {});
  ++taken_;
  waiting_bytes_ -= mine.result.samples.size() * sizeof(float);
  lock.unlock();
  changed_.notify_all();
  if (mine.fault) std::rethrow_exception(mine.fault);
  return std::move(mine.result);
}

}  // namespace emer
