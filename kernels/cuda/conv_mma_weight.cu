// Gradient of a 3x3 convolution's weights on mma.sync: a product over pixels, cut into ranges whose sums are added in
// order.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/conv_mma_code.h"
#include "kernels/cuda/conv_parts.h"
#include "kernels/cuda/conv_ranges.h"

namespace emer::cuda {

namespace {

constexpr int kWarps = 4;  // 2 x 2, each with 64 rows and 64 columns of the tile
constexpr int kThreads = 32 * kWarps;
constexpr int kTile = 128;  // output channels, and columns (r, s, c)
constexpr int kStages = 4;
constexpr int kPasses = 4;  // vectors of either operand that a thread copies per stage

// An operand's stage: pixels one below the other, kTile channels of each. bfloat16 are read through ldmatrix, which
// turns pairs of pixels into registers: rows of 256 bytes, vectors swapped so that eight rows lie in eight banks. Four
// bytes cannot be turned: floats are read four channels at a time, which meet no other in a bank with 32 bytes behind
// each row.
template <class Operand>
struct Stage;
template <>
struct Stage<Bf16Bits> {
  static constexpr int kPixels = 32, kRowVectors = 16, kRowBytes = 256;
  __device__ static int byte(int pixel, int vector) {
    return pixel * kRowBytes + (vector ^ (pixel & 7)) * kConvVector;
  }
};
template <>
struct Stage<float> {
  static constexpr int kPixels = 16, kRowVectors = 32, kRowBytes = 544;
  __device__ static int byte(int pixel, int vector) { return pixel * kRowBytes + vector * kConvVector; }
};
template <class Operand>
constexpr int kOperandBytes = Stage<Operand>::kPixels* Stage<Operand>::kRowBytes;
template <class Operand>
constexpr std::size_t kSharedBytes = std::size_t{kStages} * 2 * kOperandBytes<Operand>;
static_assert(Stage<Bf16Bits>::kPixels * Stage<Bf16Bits>::kRowVectors == kPasses * kThreads);
static_assert(Stage<float>::kPixels * Stage<float>::kRowVectors == kPasses * kThreads);

struct Job {
  int height, width, in, out;
  const void* x;
  const void* dz;
  float* parts;  // [ranges, out, 9 * in]
  std::int64_t pixels, range;
};

__device__ bool inside(int at, int extent) {
  return at >= 0 && at < extent;
}

// Walks a range of pixels in steps of a stage; a thread copies the same vector of a row, of every so many pixels.
template <class Operand>
struct Walk {
  static constexpr int kPixels = Stage<Operand>::kPixels, kRowVectors = Stage<Operand>::kRowVectors,
                       kPixelsAtOnce = kThreads / kRowVectors, kElements = kConvVector / sizeof(Operand);
  const Operand *dz, *x;     // of the thread's first pixel; x at the tap
  std::int64_t pixel, last;  // of the thread's first; behind the range
  int vector, row, i[kPasses], j[kPasses], down, right;
  bool row_exists, column_exists;

  __device__ Walk(const Job& job, int row0, int column0)
      : pixel(blockIdx.z * job.range + static_cast<int>(threadIdx.x) / kRowVectors),
        last((blockIdx.z + 1) * job.range < job.pixels ? (blockIdx.z + 1) * job.range : job.pixels),
        vector(static_cast<int>(threadIdx.x) % kRowVectors),
        row(static_cast<int>(threadIdx.x) / kRowVectors) {
    const int channel = row0 + vector * kElements, column = column0 + vector * kElements;
    row_exists = channel < job.out;
    column_exists = column < 9 * job.in;
    const int tap = column / job.in;
    down = tap / 3 - 1;
    right = tap % 3 - 1;
    dz = static_cast<const Operand*>(job.dz) + pixel * job.out + channel;
    x = static_cast<const Operand*>(job.x) + (pixel + std::int64_t{down} * job.width + right) * job.in +
        column % job.in;
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const std::int64_t at = pixel + pass * kPixelsAtOnce;
      i[pass] = static_cast<int>(at / job.width % job.height);
      j[pass] = static_cast<int>(at % job.width);
    }
  }

  __device__ void copy(AsyncCopies& copies, unsigned char* stage, const Job& job) const {
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int ahead = pass * kPixelsAtOnce;
      const bool exists = pixel + ahead < last;
      const bool has_dz = exists && row_exists;
      const bool has_x =
          exists && column_exists && inside(i[pass] + down, job.height) && inside(j[pass] + right, job.width);
      const int to = Stage<Operand>::byte(row + ahead, vector);
      copies.copy16(stage + to, has_dz ? dz + std::int64_t{ahead} * job.out : job.dz, has_dz);
      copies.copy16(stage + kOperandBytes<Operand> + to, has_x ? x + std::int64_t{ahead} * job.in : job.x,
                    has_x);
    }
  }

  // A stage further on: whole lines of the image, then what is left of one.
  __device__ void advance(const Job& job) {
    const int lines = kPixels / job.width % job.height, rest = kPixels % job.width;
    pixel += kPixels;
    dz += std::int64_t{kPixels} * job.out;
    x += std::int64_t{kPixels} * job.in;
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      j[pass] += rest;
      const int carry = j[pass] >= job.width ? 1 : 0;
      j[pass] -= carry * job.width;
      i[pass] += lines + carry;
      i[pass] -= i[pass] >= job.height ? job.height : 0;
    }
  }
};

// sum[m][n] += the warp's 64 x 64 part of a stage.
__device__ void multiply_stage(const unsigned char* dz, const unsigned char* x, int row0, int column0,
                               float (&sum)[4][8][4], Bf16Bits) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    std::uint32_t a[4][4], b[4][4];
#pragma unroll
    for (int m = 0; m < 4; ++m)
      load_matrices_transposed(a[m], dz + Stage<Bf16Bits>::byte(16 * step + lane % 8 + lane / 16 * 8,
                                                                row0 / 8 + 2 * m + lane / 8 % 2));
#pragma unroll
    for (int n = 0; n < 4; ++n)
      load_matrices_transposed(
          b[n], x + Stage<Bf16Bits>::byte(16 * step + lane % 16, column0 / 8 + 2 * n + lane / 16));
#pragma unroll
    for (int m = 0; m < 4; ++m)
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        multiply_bf16(sum[m][2 * n], a[m], {b[n][0], b[n][1]});
        multiply_bf16(sum[m][2 * n + 1], a[m], {b[n][2], b[n][3]});
      }
  }
}

// Four neighbouring channels of a pixel, rounded.
__device__ uint4 four_tf32(const unsigned char* at) {
  const uint4 bits = *reinterpret_cast<const uint4*>(at);
  return make_uint4(round_tf32(bits.x), round_tf32(bits.y), round_tf32(bits.z), round_tf32(bits.w));
}

// Here fragment rows and columns are channels in another order: number 8 q' + g of the warp's 64 is channel
// 32 (q' / 4) + 4 g + q' % 4, so that a lane reads its own four at a time.
__device__ void multiply_stage(const unsigned char* dz, const unsigned char* x, int row0, int column0,
                               float (&sum)[4][8][4], float) {
  const int g = static_cast<int>(threadIdx.x % 32) / 4, t = static_cast<int>(threadIdx.x % 4);
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    uint4 a[2][2], b[2][2];  // pixel t or t + 4, lower or upper 32 channels
#pragma unroll
    for (int later = 0; later < 2; ++later)
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const int pixel = 8 * step + t + 4 * later;
        a[later][upper] = four_tf32(dz + Stage<float>::byte(pixel, row0 / 4 + 8 * upper + g));
        b[later][upper] = four_tf32(x + Stage<float>::byte(pixel, column0 / 4 + 8 * upper + g));
      }
#pragma unroll
    for (int upper = 0; upper < 2; ++upper) {
      const uint4 first = a[0][upper], second = a[1][upper];
      const std::uint32_t rows[2][4] = {{first.x, first.y, second.x, second.y},
                                        {first.z, first.w, second.z, second.w}};
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const uint4 left = b[0][n], right = b[1][n];
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          multiply_tf32(sum[2 * upper + m][4 * n], rows[m], {left.x, right.x});
          multiply_tf32(sum[2 * upper + m][4 * n + 1], rows[m], {left.y, right.y});
          multiply_tf32(sum[2 * upper + m][4 * n + 2], rows[m], {left.z, right.z});
          multiply_tf32(sum[2 * upper + m][4 * n + 3], rows[m], {left.w, right.w});
        }
      }
    }
  }
}

__device__ void store_part(const Job& job, float* part, int row0, int column0, const float (&sum)[4][8][4],
                           Bf16Bits) {
  const int g = static_cast<int>(threadIdx.x % 32) / 4, t = static_cast<int>(threadIdx.x % 4);
#pragma unroll
  for (int m = 0; m < 4; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        const int row = row0 + 16 * m + 8 * half + g, column = column0 + 8 * n + 2 * t;
        if (row < job.out && column < 9 * job.in)
          *reinterpret_cast<float2*>(part + std::int64_t{row} * 9 * job.in + column) =
              make_float2(sum[m][n][2 * half], sum[m][n][2 * half + 1]);
      }
}
__device__ void store_part(const Job& job, float* part, int row0, int column0, const float (&sum)[4][8][4],
                           float) {
  const int g = static_cast<int>(threadIdx.x % 32) / 4, t = static_cast<int>(threadIdx.x % 4);
#pragma unroll
  for (int m = 0; m < 4; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int n = 0; n < 8; n += 4)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int row = row0 + 32 * (m / 2) + 4 * g + 2 * (m % 2) + half;
          const int column = column0 + 8 * n + 4 * (2 * t + e);
          if (row < job.out && column < 9 * job.in)
            *reinterpret_cast<float4*>(part + std::int64_t{row} * 9 * job.in + column) =
                make_float4(sum[m][n][2 * half + e], sum[m][n + 1][2 * half + e], sum[m][n + 2][2 * half + e],
                            sum[m][n + 3][2 * half + e]);
        }
}

// One block per 128 columns (r, s, c) (blockIdx.x), 128 output channels (.y) and range of pixels (.z); a warp has a
// quarter of the tile.
template <class Operand>
__global__ void __launch_bounds__(kThreads, 2) conv_weight_part(Job job) {
  auto* stages = dynamic_shared<unsigned char>();
  constexpr int kStageBytes = 2 * kOperandBytes<Operand>, kPixels = Stage<Operand>::kPixels;
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int column0 = static_cast<int>(blockIdx.x) * kTile, row0 = static_cast<int>(blockIdx.y) * kTile;
  Walk<Operand> walk(job, row0, column0);
  const std::int64_t begin = blockIdx.z * job.range;
  const auto steps = static_cast<int>((walk.last - begin + kPixels - 1) / kPixels);

  float sum[4][8][4] = {};
  AsyncCopies copies;
  const auto start = [&](int step) {
    if (step < steps) {
      walk.copy(copies, stages + step % kStages * kStageBytes, job);
      walk.advance(job);
    }
    copies.commit();  // also where there is nothing: the number of groups tells which have arrived
  };
  for (int step = 0; step < kStages - 1; ++step) start(step);
  for (int step = 0; step < steps; ++step) {
    copies.wait<kStages - 2>();
    __syncthreads();  // stage `step` is there for all, and all are done with the one that is filled next
    start(step + kStages - 1);
    const unsigned char* stage = stages + step % kStages * kStageBytes;
    multiply_stage(stage, stage + kOperandBytes<Operand>, warp / 2 * 64, warp % 2 * 64, sum, Operand{});
  }
  copies.wait<0>();
  float* part = job.parts + std::int64_t{blockIdx.z} * job.out * 9 * job.in;
  store_part(job, part, row0 + warp / 2 * 64, column0 + warp % 2 * 64, sum, Operand{});
}

}  // namespace

template <class Operand>
void conv_mma_weight_gradient(Context& ctx, const ConvShape& shape, const Operand* x, const Operand* dz,
                              float* d_weight) {
  const ArenaScope scope(ctx);
  // Of bfloat16 one stage, of floats two.
  const ConvRanges ranges = conv_ranges(shape, kTile, kTile, Stage<Bf16Bits>::kPixels);
  const std::int64_t weights = std::int64_t{9} * shape.out * shape.in;
  auto* parts = ctx.scratch<float>(static_cast<std::size_t>(ranges.count * weights));
  launch(ctx,
         {.name = "conv_weight_part",
          .grid = {blocks_for(9 * shape.in, kTile), blocks_for(shape.out, kTile),
                   static_cast<unsigned>(ranges.count)},
          .block = kThreads,
          .shared_bytes = kSharedBytes<Operand>},
         conv_weight_part<Operand>,
         Job{.height = shape.height,
             .width = shape.width,
             .in = shape.in,
             .out = shape.out,
             .x = x,
             .dz = dz,
             .parts = parts,
             .pixels = ranges.pixels,
             .range = ranges.length});
  conv_add_parts(
      ctx, {.parts = ranges.count, .columns = weights, .weight = d_weight, .weight_count = weights}, parts);
}

template void conv_mma_weight_gradient(Context&, const ConvShape&, const Bf16Bits*, const Bf16Bits*, float*);
template void conv_mma_weight_gradient(Context&, const ConvShape&, const float*, const float*, float*);

}  // namespace emer::cuda
