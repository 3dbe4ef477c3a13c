// data/resample.h - mono sound from one rate to another.
//
// soxr:      libsoxr, "very high quality", in double; llround(n to / from) samples.
// resampy_0_2_2: windowed sinc from a table of 64 zero crossings x 512 steps, Kaiser window of beta 14.769656459379492,
//   roll-off r = 0.9475937167399596:   h[k] = r sinc(r k / 512) I0(beta sqrt(1 - (k / 32768)^2)) / I0(beta), k = 0..32768
//   With ratio = to / from, s = min(1, ratio), h times ratio where ratio < 1, step = int(512 s), and a time register
//   that starts at 0 and grows by 1 / ratio in double: at time t, n = int(t),
//   y = sum_i  hl(512 s (t - n), i) x[n - i]  +  sum_i hl(512 s (1 - (t - n)), i) x[n + 1 + i]
//   hl(p, i) = h[o + i step] + (p - o)(h[o + i step + 1] - h[o + i step]), o = int(p), for 0 <= i < (32769 - o) / step
//   (whole), x being 0 outside. int(n ratio) samples. Sums may be added in another order than the original's.
// Source: resampy 0.2.2 (resampy/core.py, interpn.py, filters.py); docs/vggish.md, "Resampler". Later versions of
//   resampy have another filter.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace emer {

// Writes samples [first, first + count) of the sound at its own rate. Asked for in ascending, overlapping pieces, so
// that no copy of a long recording is needed.
using SoundReader = std::function<void(std::int64_t first, std::int64_t count, double* to)>;

// n > 0 samples at rate `from`; both rates > 0.
std::vector<float> resample_soxr(const SoundReader& read, std::int64_t n, int from, int to);
std::vector<float> resample_resampy_0_2_2(const SoundReader& read, std::int64_t n, int from, int to);

}  // namespace emer
