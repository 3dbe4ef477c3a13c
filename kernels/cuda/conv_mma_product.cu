// Implicit product of a 3x3 convolution on mma.sync: bias, ReLU and pool in registers behind it.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/conv_mma_code.h"

namespace emer::cuda {

namespace {

constexpr int kWarps = 4;  // 2 x 2, each with 64 pixels and half of the columns
constexpr int kThreads = 32 * kWarps;
constexpr int kRows = 128;  // pixels of a tile
constexpr int kStages = 4;
constexpr int kDepthBytes = 64;  // of channels in a stage: 32 bfloat16 or 16 floats, two products deep
constexpr int kRowVectors = kDepthBytes / kConvVector;
constexpr int kRowsAtOnce = kThreads / kRowVectors;  // a thread copies one vector of every so many rows
constexpr int kPasses = kRows / kRowsAtOnce;

template <int kColumns>
constexpr int kStageBytes = (kRows + kColumns) * kDepthBytes;
// A row of the tile of results; the gap keeps the stores of a warp in different banks.
template <int kColumns>
constexpr int kResultLd = kColumns + 8;
constexpr int kArgmaxGap = 16;

template <class Result, int kColumns>
constexpr std::size_t shared_bytes() {
  constexpr std::size_t stages = std::size_t{kStages} * kStageBytes<kColumns>;
  constexpr std::size_t results = kRows * kResultLd<kColumns> * sizeof(Result);
  return stages > results ? stages : results;
}

// Where in an operand's stage the 16 bytes number `vector` of a row are kept: eight rows that are read at once lie in
// eight different banks.
__device__ int stage_byte(int row, int vector) {
  return row * kDepthBytes + (vector ^ ((row >> 1) & 3)) * kConvVector;
}

struct Pixel {
  int image, i, j;
  bool exists;
};

// The pixel of row `row` of tile `tile`. With the pool a tile is 32 windows, laid out so that the four pixels of a
// window are rows of one thread's fragments: bits 2-0 of a row and bit 5 and 6 count windows, bits 3 and 4 are v and u.
__device__ Pixel pixel_of(const ConvProduct& p, std::int64_t tile, int row) {
  if (!p.pool) {
    const std::int64_t index = tile * kRows + row, line = index / p.width;
    return {static_cast<int>(line / p.height), static_cast<int>(line % p.height),
            static_cast<int>(index % p.width), index < std::int64_t{p.n} * p.height * p.width};
  }
  const int half_width = p.width / 2, half_height = p.height / 2;
  const std::int64_t window = tile * (kRows / 4) + row % 8 + row / 32 * 8;
  const std::int64_t line = window / half_width;
  return {static_cast<int>(line / half_height), static_cast<int>(line % half_height) * 2 + row / 16 % 2,
          static_cast<int>(window % half_width) * 2 + row / 8 % 2,
          window < std::int64_t{p.n} * half_height * half_width};
}

// What a thread copies: one vector of kPasses pixels and of as many columns.
struct Sources {
  const unsigned char* pixel[kPasses];
  unsigned taps[kPasses];  // bit 3r + s: whether x has that neighbour
};

template <class Operand>
__device__ Sources sources_of(const ConvProduct& p, std::int64_t tile) {
  Sources from;
  const auto* source = static_cast<const unsigned char*>(p.source);
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    const Pixel at = pixel_of(p, tile, pass * kRowsAtOnce + static_cast<int>(threadIdx.x) / kRowVectors);
    const std::int64_t index = (std::int64_t{at.image} * p.height + at.i) * p.width + at.j;
    from.pixel[pass] = source + (at.exists ? index : 0) * p.depth * static_cast<int>(sizeof(Operand));
    const unsigned columns = (at.j > 0 ? 1u : 0u) | 2u | (at.j + 1 < p.width ? 4u : 0u);
    from.taps[pass] =
        at.exists ? (at.i > 0 ? columns : 0u) | columns << 3 | (at.i + 1 < p.height ? columns << 6 : 0u) : 0u;
  }
  return from;
}

// Starts the copies of one stage: kDepthBytes of channels from byte `byte` on, at one of the nine places around each
// pixel; behind them the weights.
template <class Operand, int kColumns>
__device__ void copy_stage(AsyncCopies& copies, unsigned char* stage, const ConvProduct& p,
                           const Sources& from, int column0, int tap, int byte) {
  constexpr int kElement = static_cast<int>(sizeof(Operand));
  const int vector = static_cast<int>(threadIdx.x) % kRowVectors;
  const int row0 = static_cast<int>(threadIdx.x) / kRowVectors;
  const int at = byte + vector * kConvVector, depth = p.depth * kElement;
  const std::int64_t shift = (std::int64_t{tap / 3 - 1} * p.width + (tap % 3 - 1)) * depth + at;
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    const bool valid = (from.taps[pass] >> tap & 1u) != 0 && at < depth;
    copies.copy16(stage + stage_byte(pass * kRowsAtOnce + row0, vector),
                  valid ? from.pixel[pass] + shift : static_cast<const unsigned char*>(p.source), valid);
  }
  const auto* weight = static_cast<const unsigned char*>(p.weight);
#pragma unroll
  for (int pass = 0; pass < kColumns / kRowsAtOnce; ++pass) {
    const int row = pass * kRowsAtOnce + row0;
    const bool valid = column0 + row < p.columns && at < depth;
    copies.copy16(stage + kRows * kDepthBytes + stage_byte(row, vector),
                  weight + (valid ? (std::int64_t{column0 + row} * 9 + tap) * depth + at : 0), valid);
  }
}

// z[m][n] += the warp's part of a stage: 64 pixels and half of the columns.
template <class Operand, int kColumns>
__device__ void multiply_stage(const unsigned char* stage, float (&z)[4][kColumns / 16][4]) {
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int row0 = warp / 2 * 64, column0 = warp % 2 * (kColumns / 2);
  const unsigned char* columns = stage + kRows * kDepthBytes;
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    std::uint32_t a[4][4], b[kColumns / 32][4];
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      load_matrices(a[m], stage + stage_byte(row0 + 16 * m + lane % 16, 2 * step + lane / 16));
#pragma unroll
      for (int r = 0; r < 4; ++r) a[m][r] = conv_rounded<Operand>(a[m][r]);
    }
#pragma unroll
    for (int n = 0; n < kColumns / 32; ++n) {
      load_matrices(
          b[n], columns + stage_byte(column0 + 16 * n + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2));
#pragma unroll
      for (int r = 0; r < 4; ++r) b[n][r] = conv_rounded<Operand>(b[n][r]);
    }
#pragma unroll
    for (int m = 0; m < 4; ++m)
#pragma unroll
      for (int n = 0; n < kColumns / 32; ++n) {
        conv_multiply<Operand>(z[m][2 * n], a[m], {b[n][0], b[n][1]});
        conv_multiply<Operand>(z[m][2 * n + 1], a[m], {b[n][2], b[n][3]});
      }
  }
}

// The thread's results into the tile in shared memory, [kRows or kRows / 4, kColumns]; behind them the places of the
// maxima.
template <class Result, int kColumns>
__device__ void finish(const ConvProduct& p, int tile_column, float (&z)[4][kColumns / 16][4],
                       Result* results, std::uint8_t* places) {
  constexpr int kLd = kResultLd<kColumns>;
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int n = 0; n < kColumns / 16; ++n) {
    const int column = warp % 2 * (kColumns / 2) + 8 * n + 2 * t;
    const bool exists = tile_column + column < p.columns;
    if (p.bias != nullptr) {
      const float2 bias =
          exists ? *reinterpret_cast<const float2*>(p.bias + tile_column + column) : make_float2(0.0f, 0.0f);
#pragma unroll
      for (int m = 0; m < 4; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          z[m][n][2 * half] = conv_relu(z[m][n][2 * half] + bias.x);
          z[m][n][2 * half + 1] = conv_relu(z[m][n][2 * half + 1] + bias.y);
        }
    }
    if (!p.pool) {
#pragma unroll
      for (int m = 0; m < 4; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          conv_store_pair(results + (warp / 2 * 64 + 16 * m + 8 * half + g) * kLd + column, z[m][n][2 * half],
                          z[m][n][2 * half + 1]);
      continue;
    }
#pragma unroll
    for (int m = 0; m < 4; m += 2) {
      int place[2];
      float largest[2];
#pragma unroll
      for (int e = 0; e < 2; ++e)
        largest[e] = conv_pooled({z[m][n][e], z[m][n][2 + e], z[m + 1][n][e], z[m + 1][n][2 + e]}, place[e]);
      const int window = warp / 2 * 16 + m / 2 * 8 + g;
      conv_store_pair(results + window * kLd + column, largest[0], largest[1]);
      if (p.argmax != nullptr)
        *reinterpret_cast<std::uint16_t*>(places + window * (kColumns + kArgmaxGap) + column) =
            static_cast<std::uint16_t>(place[0] | place[1] << 8);
    }
  }
}

// Rows of the tile in shared memory to those of an array, Vector by Vector.
template <class Vector, class T>
__device__ void store_rows(T* to, const T* from, int from_ld, std::int64_t first_row, int rows,
                           std::int64_t all_rows, int first_column, int tile_columns, int all_columns) {
  constexpr int kElements = static_cast<int>(sizeof(Vector) / sizeof(T));
  const int vectors = tile_columns / kElements;
  for (int i = static_cast<int>(threadIdx.x); i < rows * vectors; i += kThreads) {
    const int row = i / vectors, column = i % vectors * kElements;
    if (first_row + row >= all_rows || first_column + column >= all_columns) continue;
    *reinterpret_cast<Vector*>(to + (first_row + row) * all_columns + first_column + column) =
        *reinterpret_cast<const Vector*>(from + row * from_ld + column);
  }
}

// One block per tile of 128 pixels (32 windows with the pool) and kColumns columns; tiles of the same pixels follow one
// another. A warp has 64 pixels and half of the columns, 2 x 2 of them.
template <class Operand, class Result, int kColumns>
__global__ void __launch_bounds__(kThreads, 2) conv_product(ConvProduct p) {
  auto* stages = dynamic_shared<unsigned char>();
  const int column_tiles = (p.columns + kColumns - 1) / kColumns;
  const std::int64_t tile = blockIdx.x / static_cast<unsigned>(column_tiles);
  const int column0 = static_cast<int>(blockIdx.x % static_cast<unsigned>(column_tiles)) * kColumns;
  const Sources from = sources_of<Operand>(p, tile);
  const int depth = p.depth * static_cast<int>(sizeof(Operand));
  const int steps = 9 * ((depth + kDepthBytes - 1) / kDepthBytes);

  float z[4][kColumns / 16][4] = {};
  AsyncCopies copies;
  int tap = 0, byte = 0;  // of the stage that is started next
  const auto start = [&](int step) {
    if (step < steps) {
      copy_stage<Operand, kColumns>(copies, stages + step % kStages * kStageBytes<kColumns>, p, from, column0,
                                    tap, byte);
      byte += kDepthBytes;
      if (byte >= depth) {
        byte = 0;
        ++tap;
      }
    }
    copies.commit();  // also where there is nothing: the number of groups tells which have arrived
  };
  for (int step = 0; step < kStages - 1; ++step) start(step);
  for (int step = 0; step < steps; ++step) {
    copies.wait<kStages - 2>();
    __syncthreads();  // stage `step` is there for all, and all are done with the one that is filled next
    start(step + kStages - 1);
    multiply_stage<Operand, kColumns>(stages + step % kStages * kStageBytes<kColumns>, z);
  }
  copies.wait<0>();
  __syncthreads();

  constexpr int kLd = kResultLd<kColumns>;
  auto* results = dynamic_shared<Result>();
  auto* places = reinterpret_cast<std::uint8_t*>(results + kRows / 4 * kLd);
  finish<Result, kColumns>(p, column0, z, results, places);
  __syncthreads();
  const int rows = p.pool ? kRows / 4 : kRows;
  const std::int64_t all_rows = std::int64_t{p.n} * p.height * p.width / (p.pool ? 4 : 1);
  store_rows<uint4>(static_cast<Result*>(p.result), results, kLd, tile * rows, rows, all_rows, column0,
                    kColumns, p.columns);
  if (p.pool && p.argmax != nullptr)
    store_rows<uint2>(p.argmax, places, kColumns + kArgmaxGap, tile * rows, rows, all_rows, column0, kColumns,
                      p.columns);
}

template <class Operand, class Result, int kColumns>
void launch_product(Context& ctx, const ConvProduct& p) {
  const std::int64_t tiles = (std::int64_t{p.n} * p.height * p.width + kRows - 1) / kRows;
  launch(ctx,
         {.name = "conv_product",
          .grid = {static_cast<unsigned>(tiles * ((p.columns + kColumns - 1) / kColumns))},
          .block = kThreads,
          .shared_bytes = shared_bytes<Result, kColumns>()},
         conv_product<Operand, Result, kColumns>, p);
}

}  // namespace

template <class Operand, class Result>
void conv_mma_product(Context& ctx, const ConvProduct& p) {
  if (p.columns <= 64)
    launch_product<Operand, Result, 64>(ctx, p);
  else
    launch_product<Operand, Result, 128>(ctx, p);
}

template void conv_mma_product<Bf16Bits, Bf16Bits>(Context&, const ConvProduct&);
template void conv_mma_product<Bf16Bits, float>(Context&, const ConvProduct&);
template void conv_mma_product<float, float>(Context&, const ConvProduct&);

}  // namespace emer::cuda
