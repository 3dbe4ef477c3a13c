// CUDA twin of kernels/log_mel.h. A warp transforms one frame: its 256 complex points lie eight to a lane, 8 x 8 x 4, and
// change lanes through shared memory.
#include "kernels/log_mel.h"

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/log_mel_tables.h"

namespace emer::cuda {

namespace {

constexpr int kWarps = 8;
constexpr int kUnitFrames =
    16;  // of a patch, by one block at a time: their samples overlap and are read once
constexpr int kUnits = kLogMelFrames / kUnitFrames;
constexpr int kUnitSamples = (kUnitFrames - 1) * kLogMelHop + kLogMelWindow;
constexpr int kMostBlocks = 2048;  // blocks fill the tables once and walk over units
constexpr int kRow = 36;           // 32 points and a gap that spreads the rows over the banks
constexpr int kPoints = kLogMelFft / 2;

struct Point {
  double re, im;
};

struct Shared {
  double re[kWarps][8 * kRow], im[kWarps][8 * kRow];
  Point root[kLogMelFft];  // exp(-2 pi i k / 512)
  double window[kLogMelWindow];
  float samples[kUnitSamples];
  float magnitude[kWarps][kPoints];
  float rise[kLogMelBins];
  int segment_begin[kLogMelSegments + 1];
};

__device__ Point operator+(Point a, Point b) {
  return {a.re + b.re, a.im + b.im};
}
__device__ Point operator-(Point a, Point b) {
  return {a.re - b.re, a.im - b.im};
}
__device__ Point operator*(Point a, Point b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
__device__ Point quarter_turn(Point a) {  // times -i
  return {a.im, -a.re};
}

// y[stride k] = sum of a, b, c, d times exp(-2 pi i jk / 4), j = 0..3.
__device__ void transform_4(Point a, Point b, Point c, Point d, Point* y, int stride) {
  const Point ac = a + c, a_c = a - c, bd = b + d, b_d = quarter_turn(b - d);
  y[0] = ac + bd;
  y[stride] = a_c + b_d;
  y[2 * stride] = ac - bd;
  y[3 * stride] = a_c - b_d;
}

// In place: y[k] = sum_j x[j] exp(-2 pi i jk / 8).
__device__ void transform_8(Point* x) {
  constexpr double kHalfRoot = 0.70710678118654752440;
  const Point b = x[1] - x[5], d = x[3] - x[7];
  const Point one{kHalfRoot * (b.re + b.im), kHalfRoot * (b.im - b.re)};
  const Point three{kHalfRoot * (d.im - d.re), -kHalfRoot * (d.re + d.im)};
  const Point odd = x[0] - x[4], two = quarter_turn(x[2] - x[6]);
  transform_4(x[0] + x[4], x[1] + x[5], x[2] + x[6], x[3] + x[7], x, 2);
  transform_4(odd, one, two, three, x + 1, 2);
}

__device__ void fill_tables(const LogMelTables<float>& t, Shared& s) {
  for (int i = static_cast<int>(threadIdx.x); i < kLogMelFft; i += 32 * kWarps) {
    s.root[i] = {t.cosine(i), t.cosine(i + kLogMelFft / 4)};
    if (i < kLogMelWindow) s.window[i] = t.half_window(i);
    if (i < kLogMelBins) s.rise[i] = t.rise[i];
    if (i <= kLogMelSegments) s.segment_begin[i] = t.segment_begin[i];
  }
}

// Where point k of the transform lies, in re and im.
__device__ int place(int k) {
  return k + k / 8;
}

// Magnitudes of bins 1..255 of a frame.
__device__ void transform_frame(const Shared& s, const float* samples, int lane, double* re, double* im,
                                float* magnitude) {
  Point x[8];
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const int n = 2 * (lane + 32 * j);
    x[j] =
        n < kLogMelWindow ? Point{samples[n] * s.window[n], samples[n + 1] * s.window[n + 1]} : Point{0, 0};
  }
  transform_8(x);
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    const Point y = k == 0 ? x[0] : x[k] * s.root[2 * lane * k];
    re[k * kRow + lane] = y.re;
    im[k * kRow + lane] = y.im;
  }
  __syncwarp();

  const int column = lane % 4, middle = lane / 4 * kRow + column;
#pragma unroll
  for (int j = 0; j < 8; ++j) x[j] = {re[middle + 4 * j], im[middle + 4 * j]};
  transform_8(x);
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    const Point y = k == 0 ? x[0] : x[k] * s.root[16 * column * k];
    re[middle + 4 * k] = y.re;
    im[middle + 4 * k] = y.im;
  }
  __syncwarp();

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int from = (lane / 8 + 4 * half) * kRow + lane % 8 * 4;
    Point y[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) y[k] = {re[from + k], im[from + k]};
    transform_4(y[0], y[1], y[2], y[3], x + 4 * half, 1);
  }
  __syncwarp();
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int to = place(lane / 8 + 4 * half + lane % 8 * 8 + 64 * k);
      re[to] = x[4 * half + k].re;
      im[to] = x[4 * half + k].im;
    }
  __syncwarp();

  // Bins k and 256 - k of the real transform (kernels/cpu/log_mel.cpp); lane 0 takes k = 128 where it would have 0.
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int k = lane + 32 * i == 0 ? kPoints / 2 : lane + 32 * i;
    const int low = place(k), high = place(kPoints - k);
    const Point a{re[low], im[low]}, b{re[high], im[high]};
    const Point even{a.re + b.re, a.im - b.im};
    const Point odd = Point{a.im + b.im, b.re - a.re} * s.root[k];
    const Point p = even + odd, q = even - odd;
    magnitude[k] = sqrtf(static_cast<float>(p.re * p.re + p.im * p.im));
    if (k != kPoints / 2) magnitude[kPoints - k] = sqrtf(static_cast<float>(q.re * q.re + q.im * q.im));
  }
  __syncwarp();
}

__device__ float band_of(const Shared& s, const float* magnitude, int band) {
  float sum = 0.0f;
  for (int k = s.segment_begin[band]; k < s.segment_begin[band + 1]; ++k)
    sum += s.rise[k - kLogMelFirstBin] * magnitude[k];
  for (int k = s.segment_begin[band + 1]; k < s.segment_begin[band + 2]; ++k)
    sum += (1.0f - s.rise[k - kLogMelFirstBin]) * magnitude[k];
  return logf(sum + 0.01f);
}

__device__ float sample(float x) {
  return x;
}
__device__ float sample(std::int16_t x) {
  return static_cast<float>(x) * (1.0f / 32768.0f);
}

// A block walks over units, 16 frames of one patch each; a warp takes every eighth of its frames, a lane two bands, a
// narrow and a wide one.
template <class Sample>
__global__ void __launch_bounds__(32 * kWarps)
    log_mel_frames(LogMel<float, Sample> a, const __grid_constant__ LogMelTables<float> tables) {
  Shared& s = *dynamic_shared<Shared>();
  fill_tables(tables, s);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  for (std::int64_t unit = blockIdx.x; unit < a.patches * kUnits; unit += gridDim.x) {
    const std::int64_t patch = unit / kUnits;
    const int first_frame = static_cast<int>(unit % kUnits) * kUnitFrames;
    float* out = a.out + patch * kLogMelPatchSize + first_frame * kLogMelBands;
    const std::int64_t start = a.first_sample[patch];
    if (start < 0 || start > a.sample_count - kLogMelPatchSamples) {
      for (int i = static_cast<int>(threadIdx.x); i < kUnitFrames * kLogMelBands; i += 32 * kWarps)
        out[i] = __int_as_float(0x7fc00000);
      continue;
    }
    const Sample* from = a.samples + start + first_frame * kLogMelHop;
    __syncthreads();  // the unit before is done with the samples
    for (int i = static_cast<int>(threadIdx.x); i < kUnitSamples; i += 32 * kWarps)
      s.samples[i] = sample(from[i]);
    __syncthreads();
    for (int f = warp; f < kUnitFrames; f += kWarps) {
      transform_frame(s, s.samples + f * kLogMelHop, lane, s.re[warp], s.im[warp], s.magnitude[warp]);
      const int mirrored = kLogMelBands - 1 - lane;
      out[f * kLogMelBands + lane] = band_of(s, s.magnitude[warp], lane);
      out[f * kLogMelBands + mirrored] = band_of(s, s.magnitude[warp], mirrored);
      __syncwarp();
    }
  }
}

}  // namespace

template <class Real, class Sample>
void log_mel(Context& ctx, const LogMel<Real, Sample>& a) {
  launch(ctx,
         {.name = "log_mel",
          .grid = blocks_for(a.patches * kUnits, 1, kMostBlocks),
          .block = 32 * kWarps,
          .shared_bytes = sizeof(Shared)},
         log_mel_frames<Sample>, a, log_mel_tables<float>());
}

template void log_mel(Context&, const LogMel<float>&);
template void log_mel(Context&, const LogMel<float, std::int16_t>&);

}  // namespace emer::cuda
