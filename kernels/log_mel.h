// kernels/log_mel.h - VGGish's front end: sound at 16 kHz to log-mel patches [., 96, 64].
//
//   frame t of a patch = 400 samples from first_sample + 160 t, times w[k] = 0.5 - 0.5 cos(2 pi k / 400)
//   X[b]    = |DFT of 512 of the frame and 112 zeros|, b = 0..256 (magnitudes, not powers)
//   band i  = sum_b W[b, i] X[b],  out[p, t, i] = ln(band_i + 0.01)
//   W[b, i] = max(0, min(m_b - e_i, e_{i+2} - m_b)) / step  in mel, m(f) = 1127 ln(1 + f / 700), m_b = m(31.25 b),
//             e_0..e_65 spaced evenly from m(125) to m(7500)
// Source: docs/vggish.md, "Front end".
// NaN:    a NaN sample makes every band of the frames that hold it NaN, an infinite one NaN or infinite; other frames
//         are untouched. Silence is ln 0.01. A patch whose 15,600 samples are not all inside `samples` is all NaN.
// Order:  fixed: two runs on one machine give the same bits, whatever the patches around a patch.
// Errors: EMER_CHECK on negative sizes and null pointers.
#pragma once

#include <cstdint>
#include <vector>

#include "core/context.h"

namespace emer {

inline constexpr int kLogMelRate = 16000;                    // samples a second
inline constexpr int kLogMelFrames = 96, kLogMelBands = 64;  // of a patch
inline constexpr int kLogMelWindow = 400, kLogMelHop = 160;  // samples
inline constexpr int kLogMelPatchHop = 96 * 160;             // from one patch to the next: 0.96 s
inline constexpr int kLogMelPatchSamples = 95 * 160 + 400;   // that a patch is made of: 0.975 s
inline constexpr int kLogMelPatchSize = 96 * 64;

// Complete patches in a waveform of so many samples, without overlap: 0 below 15,600 samples, 31 in half a minute.
constexpr std::int64_t log_mel_patches(std::int64_t samples) {
  return samples < kLogMelPatchSamples ? 0 : 1 + (samples - kLogMelPatchSamples) / kLogMelPatchHop;
}

// Waveforms one behind the other: where each of their patches starts, in order. offsets [waveforms + 1] as in an offset
// table, ascending from offsets[0] >= 0; no patch reaches over a waveform's end.
std::vector<std::int64_t> log_mel_starts(const std::vector<std::int64_t>& offsets);

// Sample: Real in -1..1, or int16 PCM, which stands for x / 32768.
template <class Real, class Sample = Real>
struct LogMel {
  std::int64_t patches = 0;
  std::int64_t sample_count = 0;
  const Sample* samples = nullptr;             // in   [sample_count], mono, 16 kHz
  const std::int64_t* first_sample = nullptr;  // in   [patches], on the device
  Real* out = nullptr;                         // out  [patches, 96, 64], overwritten
};

// <float>, <float, int16>; on the CPU also <double>, <double, int16>.
template <class Real, class Sample>
void log_mel(Context& ctx, const LogMel<Real, Sample>& args);

namespace cpu {
template <class Real, class Sample>
void log_mel(Context& ctx, const LogMel<Real, Sample>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real, class Sample>
void log_mel(Context& ctx, const LogMel<Real, Sample>& args);
}  // namespace cuda

}  // namespace emer
