// CPU twin of kernels/log_mel.h: as many frames at once as a vector has lanes, one frame a lane, so that nothing but
// the loading and the storing moves data between lanes.
//
// Built with -ffp-contract=fast and -fno-math-errno (kernels/CMakeLists.txt): a multiply and an add become one
// instruction, a square root needs no branch.
#include "kernels/log_mel.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "core/parallel.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/log_mel_tables.h"

namespace emer::cpu {

namespace {

#ifdef __AVX512F__
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else  // SSE2, NEON
constexpr int kVectorBytes = 16;
#endif
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(double));
using Vector [[gnu::vector_size(kVectorBytes)]] = double;
static_assert(kLogMelFrames % kLanes == 0 && kLogMelWindow % kLanes == 0 && kLanes % 2 == 0);

constexpr int kPoints = kLogMelFft / 2;     // of the complex transform: z[n] = x[2n] + i x[2n+1]
constexpr int kFilled = kLogMelWindow / 2;  // the others are 0

struct Root {
  double re, im;
};
// One of every frame's transform.
struct Point {
  Vector re, im;
};

// exp(-2 pi i k / 512).
const std::array<Root, kLogMelFft>& roots() {
  static const auto table = [] {
    std::array<Root, kLogMelFft> t;
    const auto& tables = log_mel_tables<double>();
    for (int k = 0; k < kLogMelFft; ++k)
      t[static_cast<std::size_t>(k)] = {tables.cosine(k), tables.cosine(k + kLogMelFft / 4)};
    return t;
  }();
  return table;
}

// y[stride k] = sum of a, b, c, d times exp(-2 pi i jk / 4), j = 0..3.
[[gnu::always_inline]] inline void transform_4(const Point& a, const Point& b, const Point& c, const Point& d,
                                               Point* y, int stride) {
  const Point ac{a.re + c.re, a.im + c.im}, a_c{a.re - c.re, a.im - c.im};
  const Point bd{b.re + d.re, b.im + d.im}, b_d{b.re - d.re, b.im - d.im};
  y[0] = {ac.re + bd.re, ac.im + bd.im};
  y[stride] = {a_c.re + b_d.im, a_c.im - b_d.re};
  y[2 * stride] = {ac.re - bd.re, ac.im - bd.im};
  y[3 * stride] = {a_c.re - b_d.im, a_c.im + b_d.re};
}

// In place: y[k] = sum_j x[j] exp(-2 pi i jk / 8).
[[gnu::always_inline]] inline void transform_8(Point* x) {
  constexpr double kHalfRoot = 0.70710678118654752440;
  Point sum[4], difference[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    sum[j] = {x[j].re + x[j + 4].re, x[j].im + x[j + 4].im};
    difference[j] = {x[j].re - x[j + 4].re, x[j].im - x[j + 4].im};
  }
  // The odd half, turned by exp(-2 pi i j / 8).
  const Point one{kHalfRoot * (difference[1].re + difference[1].im),
                  kHalfRoot * (difference[1].im - difference[1].re)};
  const Point two{difference[2].im, -difference[2].re};
  const Point three{kHalfRoot * (difference[3].im - difference[3].re),
                    -kHalfRoot * (difference[3].re + difference[3].im)};
  transform_4(sum[0], sum[1], sum[2], sum[3], x, 2);
  transform_4(difference[0], one, two, three, x + 1, 2);
}

template <int d, std::size_t... j>
[[gnu::always_inline]] inline void swap_blocks(Vector& a, Vector& b, std::index_sequence<j...>) {
  const Vector left = a, right = b;
#ifdef __clang__
  a = __builtin_shufflevector(left, right, (j & d ? kLanes + j - d : j)...);
  b = __builtin_shufflevector(left, right, (j & d ? kLanes + j : j + d)...);
#else
  using Pick [[gnu::vector_size(kVectorBytes)]] = std::int64_t;
  a = __builtin_shuffle(left, right, Pick{(j & d ? kLanes + j - d : j)...});
  b = __builtin_shuffle(left, right, Pick{(j & d ? kLanes + j : j + d)...});
#endif
}

// A square of vectors, in place: off-diagonal blocks are swapped, half the size each time.
template <int d = kLanes / 2>
[[gnu::always_inline]] inline void transpose(Vector* rows) {
  if constexpr (d > 0) {
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; ++i)
      if ((i & d) == 0) swap_blocks<d>(rows[i], rows[i + d], std::make_index_sequence<kLanes>{});
    transpose<d / 2>(rows);
  }
}

template <class Sample>
Vector load(const Sample* from) {
  Sample samples[kLanes];
  std::memcpy(samples, from, sizeof samples);
  double wide[kLanes];
#pragma omp simd
  for (int i = 0; i < kLanes; ++i) wide[i] = static_cast<double>(samples[i]);
  Vector v;
  std::memcpy(&v, wide, sizeof v);
  return v;
}

// A lane is a frame throughout.
template <class Real, class Sample>
class Frames {
 public:
  // kLanes frames from `samples` on to as many rows of `out`.
  void log_mel(const Sample* samples, Real* out) {
    load_windowed(samples);
    transform();
    powers();
    store(out);
  }

 private:
  void load_windowed(const Sample* samples) {
    constexpr double scale = std::is_same_v<Sample, std::int16_t> ? 1.0 / 32768 : 1.0;
    for (int k = 0; k < kLogMelWindow; k += kLanes) {
      Vector square[kLanes];
#pragma GCC unroll 8
      for (int f = 0; f < kLanes; ++f) square[f] = load(samples + f * kLogMelHop + k);
      transpose(square);
#pragma GCC unroll 8
      for (int i = 0; i < kLanes; i += 2)
        z_[(k + i) / 2] = {square[i] * (scale * tables_.half_window(k + i)),
                           square[i + 1] * (scale * tables_.half_window(k + i + 1))};
    }
    for (int n = kFilled; n < kPoints; ++n) z_[n] = Point{};
  }

  void multiply(Point& x, int root) const {
    const Root w = roots_[static_cast<std::size_t>(root)];
    x = {x.re * w.re - x.im * w.im, x.re * w.im + x.im * w.re};
  }

  // 256 = 8 x 8 x 4, decimated in frequency and in place: element k ends at place(k).
  void transform() {
    for (int l = 0; l < 32; ++l) pass_8(z_ + l, 32, 2 * l);
    for (int k = 0; k < 8; ++k)
      for (int l = 0; l < 4; ++l) pass_8(z_ + 32 * k + l, 4, 16 * l);
    for (Point* at = z_; at < z_ + kPoints; at += 4) {
      const Point a = at[0], b = at[1], c = at[2], d = at[3];
      transform_4(a, b, c, d, at, 1);
    }
  }
  [[gnu::always_inline]] void pass_8(Point* at, int stride, int turn) const {
    Point x[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) x[j] = at[j * stride];
    transform_8(x);
    at[0] = x[0];
#pragma GCC unroll 8
    for (int k = 1; k < 8; ++k) {
      multiply(x[k], turn * k);
      at[k * stride] = x[k];
    }
  }
  static constexpr int place(int k) {
    return k % 8 * 32 + k / 8 % 8 * 4 + k / 64;
  }

  // Squared magnitudes of bins k and 256 - k of the real transform, in place, real parts:
  // X[k] = E + w O and conj X[256 - k] = E - w O with 2 E = Z[k] + conj Z[256-k], 2i O = Z[k] - conj Z[256-k].
  void powers() {
    for (int k = kLogMelFirstBin; k <= kPoints / 2; ++k) {
      Point &a = z_[place(k)], &b = z_[place(kPoints - k)];
      const Point even{a.re + b.re, a.im - b.im};
      Point odd{a.im + b.im, b.re - a.re};
      multiply(odd, k);
      const Point x{even.re + odd.re, even.im + odd.im}, y{even.re - odd.re, even.im - odd.im};
      a.re = x.re * x.re + x.im * x.im;
      b.re = y.re * y.re + y.im * y.im;
    }
  }

  // From here on in Real: all terms are positive.
  void store(Real* out) {
    // Bands, one frame a lane, with one before the first and one behind the last, of no use.
    Real bands[(kLogMelBands + 2) * kLanes] = {};
    for (int s = 0; s < kLogMelSegments; ++s)
      for (int k = tables_.segment_begin[s]; k < tables_.segment_begin[s + 1]; ++k) {
        double power[kLanes];
        std::memcpy(power, &z_[place(k)].re, sizeof power);
        const Real rise = tables_.rise[k - kLogMelFirstBin];
        Real *down = bands + s * kLanes, *up = down + kLanes;
#pragma omp simd
        for (int f = 0; f < kLanes; ++f) {
          const Real x = std::sqrt(static_cast<Real>(power[f]));
          up[f] += rise * x;
          down[f] += (Real(1) - rise) * x;
        }
      }
    Real* inner = bands + kLanes;
#pragma omp simd
    for (int i = 0; i < kLogMelBands * kLanes; ++i) inner[i] = log_normal(inner[i] + Real(0.01));
    for (int f = 0; f < kLanes; ++f)
      for (int i = 0; i < kLogMelBands; ++i) out[f * kLogMelBands + i] = inner[i * kLanes + f];
  }

  const LogMelTables<Real>& tables_ = log_mel_tables<Real>();
  const std::array<Root, kLogMelFft>& roots_ = roots();
  Point z_[kPoints];
};

}  // namespace

template <class Real, class Sample>
void log_mel(Context&, const LogMel<Real, Sample>& a) {
  constexpr std::int64_t kPatchesOfAChunk = 4;
  parallel_for(a.patches, kPatchesOfAChunk, [&](std::int64_t begin, std::int64_t end) {
    Frames<Real, Sample> frames;
    for (std::int64_t p = begin; p < end; ++p) {
      const std::int64_t first = a.first_sample[p];
      Real* out = a.out + p * kLogMelPatchSize;
      if (first < 0 || first > a.sample_count - kLogMelPatchSamples) {
        std::fill(out, out + kLogMelPatchSize, std::numeric_limits<Real>::quiet_NaN());
        continue;
      }
      for (int t = 0; t < kLogMelFrames; t += kLanes)
        frames.log_mel(a.samples + first + t * kLogMelHop, out + t * kLogMelBands);
    }
  });
}

template void log_mel(Context&, const LogMel<float>&);
template void log_mel(Context&, const LogMel<float, std::int16_t>&);
template void log_mel(Context&, const LogMel<double>&);
template void log_mel(Context&, const LogMel<double, std::int16_t>&);

}  // namespace emer::cpu
