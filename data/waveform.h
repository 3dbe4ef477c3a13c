// data/waveform.h - decoded sound to the waveform that VGGish's front end takes: cut, mono, 16 kHz.
//
// Cut, as pydub slices: with times t in whole milliseconds (the rest is dropped), frames
//   [floor(t_start rate / 1000), floor(t_end rate / 1000))  of the file, what lies beyond its end dropped.
// A range without start and without `seconds` is the whole file, to the last frame. With `pad` silence (zeros) follows
// until the cut has floor(t_end rate / 1000) - floor(t_start rate / 1000) frames.
// Mono: x = arithmetic mean over channels of (sample / 32768), in double.
// 16 kHz, only where the rate differs (data/resample.h): silence is added before, so that both sides of its edge are
// filtered alike, as where the cut is written to a file and read again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/audio_source.h"
#include "data/decode_audio.h"

namespace emer {

// kSoxr: libsoxr at its "very high quality". kResampy022: the filter `kaiser_best` of resampy 0.2.2, which VGGish's
// Python front end called at the time.
enum class Resampler { kSoxr, kResampy022 };

// "soxr", "resampy_0_2_2".
const char* name_of(Resampler resampler);

inline constexpr int kWaveformRate = 16000;

// Computed in double, rounded to float once. Throws Error(kUsage) for a range that is not one (negative or not finite
// times, `pad` without `seconds`), Error(kInput) where it holds no frame of the file; neither names the file.
std::vector<float> waveform_16k(const DecodedAudio& audio, const ClipRange& range, Resampler resampler);

// Frames [first, last) of the file, then `silence` frames of zeros.
struct CutFrames {
  std::int64_t first = 0, last = 0, silence = 0;
  std::int64_t size() const { return last - first + silence; }
};
CutFrames cut_frames(std::int64_t frames, int rate, const ClipRange& range);

}  // namespace emer
