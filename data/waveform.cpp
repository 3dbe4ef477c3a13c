#include "data/waveform.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "data/resample.h"

namespace emer {

namespace {

// Whole milliseconds. 1.001 s are 1001 of them, although 1.001 * 1000 is less in binary.
std::int64_t milliseconds(double seconds, const char* what) {
  constexpr double kLongest = 1e9;  // seconds; anything beyond is a mistake, and would not fit
  if (!(seconds >= 0.0) || seconds > kLongest)
    fail_usage("{} of {} s: a time from 0 to {} s is needed", what, seconds, kLongest);
  return static_cast<std::int64_t>(std::floor(seconds * 1000.0 + 1e-6));
}

}  // namespace

const char* name_of(Resampler resampler) {
  return resampler == Resampler::kSoxr ? "soxr" : "resampy_0_2_2";
}

CutFrames cut_frames(std::int64_t frames, int rate, const ClipRange& range) {
  const std::int64_t start = milliseconds(range.start_seconds, "a clip's start");
  if (range.pad && !range.seconds) fail_usage("padding needs a length in seconds to pad to");
  if (!range.seconds && start == 0) {
    if (frames == 0) fail_input("there is no sound");
    return {0, frames, 0};
  }
  const auto frame_at = [&](std::int64_t ms) { return ms * rate / 1000; };
  const std::int64_t whole =
      static_cast<std::int64_t>(std::nearbyint(1000.0 * static_cast<double>(frames) / rate));
  const std::int64_t asked = range.seconds ? start + milliseconds(*range.seconds, "a clip's length") : whole;
  const std::int64_t end = std::min(asked, whole);
  if (asked <= start && range.seconds) fail_usage("a clip's length of {} s is not one", *range.seconds);
  CutFrames cut;
  cut.first = std::min(frame_at(start), frames);
  cut.last = std::clamp(frame_at(end), cut.first, frames);
  if (cut.first == cut.last)  // padding too: silence alone is no music
    fail_input("the clip starts at {} s, but the sound ends at {:.3f} s", range.start_seconds,
               static_cast<double>(frames) / rate);
  const std::int64_t size = frame_at(range.pad ? asked : end) - frame_at(start);
  cut.silence = size - (cut.last - cut.first);
  return cut;
}

std::vector<float> waveform_16k(const DecodedAudio& audio, const ClipRange& range, Resampler resampler) {
  EMER_CHECK(audio.rate > 0 && audio.channels > 0, "waveform: {} Hz, {} channels", audio.rate,
             audio.channels);
  const CutFrames cut = cut_frames(audio.frames(), audio.rate, range);
  const SoundReader read = [&](std::int64_t first, std::int64_t count, double* to) {
    const std::int64_t sound = std::clamp<std::int64_t>(cut.last - cut.first - first, 0, count);
    const std::int16_t* from = audio.samples.data() + (cut.first + first) * audio.channels;
    const double scale = 1.0 / 32768.0;
    for (std::int64_t i = 0; i < sound; ++i) {
      int sum = 0;
      for (int c = 0; c < audio.channels; ++c) sum += from[i * audio.channels + c];
      to[i] = scale * sum / audio.channels;
    }
    std::fill(to + sound, to + count, 0.0);
  };
  if (audio.rate != kWaveformRate)
    return resampler == Resampler::kSoxr
               ? resample_soxr(read, cut.size(), audio.rate, kWaveformRate)
               : resample_resampy_0_2_2(read, cut.size(), audio.rate, kWaveformRate);
  std::vector<float> out(static_cast<std::size_t>(cut.size()));
  constexpr std::int64_t kBlock = 4096;
  double block[kBlock];
  for (std::int64_t first = 0; first < cut.size(); first += kBlock) {
    const std::int64_t count = std::min(kBlock, cut.size() - first);
    read(first, count, block);
    std::copy(block, block + count, out.begin() + first);
  }
  return out;
}

}  // namespace emer
