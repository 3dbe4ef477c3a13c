// kernels/log_mel_tables.h - the constants of kernels/log_mel.h, for both twins. A .cu file may include this.
//
// Neighbouring triangles cross, so a bin has at most two weights: bins between the edges e_s and e_{s+1} make up
// segment s and add rise * X to band s and (1 - rise) * X to band s - 1, where those exist.
#pragma once

#include <cstdint>

#include "core/random.h"  // EMER_HOST_DEVICE
#include "kernels/log_mel.h"

namespace emer {

inline constexpr int kLogMelFft = 512;
inline constexpr int kLogMelFirstBin = 5, kLogMelLastBin = 239;  // between 125 and 7500 Hz
inline constexpr int kLogMelBins = kLogMelLastBin - kLogMelFirstBin + 1;
inline constexpr int kLogMelSegments = kLogMelBands + 1;

// Small enough to be an argument of a CUDA kernel (4 KiB with the others). Window and roots are double: next to a loud
// tone, a band near silence is what rounding leaves of a DFT in float, and ln(x + 0.01) then differs by more than 1e-4.
template <class Real>
struct LogMelTables {
  double window[kLogMelWindow / 2 + 1];  // half of w[k], k <= 200; w[400 - k] = w[k]
  double quarter[kLogMelFft / 4 + 1];    // cos(2 pi k / 512), k <= 128
  Real rise[kLogMelBins];                // of bins kLogMelFirstBin + i
  std::uint8_t
      segment_begin[kLogMelSegments + 1];  // segment s is bins segment_begin[s] to segment_begin[s + 1] - 1

  EMER_HOST_DEVICE double half_window(int k) const {
    return window[k <= kLogMelWindow / 2 ? k : kLogMelWindow - k];
  }
  // cos(2 pi k / 512) of any k >= 0.
  EMER_HOST_DEVICE double cosine(int k) const {
    k %= kLogMelFft;
    if (k > kLogMelFft / 2) k = kLogMelFft - k;
    return k <= kLogMelFft / 4 ? quarter[k] : -quarter[kLogMelFft / 2 - k];
  }
};

// Computed once. The DFT of a real frame comes out of a complex one of half its length, with a factor of one half that
// the window carries.
template <class Real>
const LogMelTables<Real>& log_mel_tables();

}  // namespace emer
