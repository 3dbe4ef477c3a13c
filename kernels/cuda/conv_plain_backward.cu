// Gradients of a convolution block without tensor cores: dz and dbias by one kernel, dW as a product over all pixels cut
// into parts that are added up in their order, dx as a convolution of dz with the flipped weights.
#include <algorithm>

#include "core/cuda/launch.h"
#include "kernels/cuda/conv_elements.h"
#include "kernels/cuda/conv_parts.h"
#include "kernels/cuda/conv_plain_tile.h"

namespace emer::cuda {

namespace {

using Tile = PlainTile;

template <class Stored>
struct WeightGradient {
  ConvShape shape;
  std::int64_t pixels;
  std::int64_t pixels_per_part;  // a multiple of the tile's depth
  const Stored* x;
  const Stored* dz;
  float* partial;  // [parts][out][9 * in]
};

// Place of a pixel in its image, taken forward by 16 pixels at a time.
struct Place {
  int i, j;

  __device__ Place(const ConvShape& shape, std::int64_t pixel)
      : i(static_cast<int>(pixel / shape.width % shape.height)), j(static_cast<int>(pixel % shape.width)) {}
  __device__ void advance(const ConvShape& shape) {
    j += Tile::kDepth;
    while (j >= shape.width) {
      j -= shape.width;
      i = i + 1 == shape.height ? 0 : i + 1;
    }
  }
};

// One thread's part of the operands: of pixels t / 32, + 4, ... of a step, rows (tap, channel) 4 (t % 32) .. + 3, and of
// pixels t / 16, + 8, columns (output channels) 4 (t % 16) .. + 3.
template <class Stored, bool kFours>
class GradientLoader {
 public:
  __device__ GradientLoader(const WeightGradient<Stored>& a, int first_row, int first_column,
                            std::int64_t begin, std::int64_t end)
      : a_(a),
        row_(first_row + 4 * (static_cast<int>(threadIdx.x) % Tile::kRowFours)),
        column_(first_column + 4 * (static_cast<int>(threadIdx.x) % Tile::kColumnFours)),
        pixel_(begin),
        end_(end),
        places_{Place(a.shape, begin + pixel_of(0)), Place(a.shape, begin + pixel_of(1)),
                Place(a.shape, begin + pixel_of(2)), Place(a.shape, begin + pixel_of(3))} {}

  __device__ void fetch() {
    const int in = a_.shape.in, taps = 9 * in;
#pragma unroll
    for (int pass = 0; pass < kRowPasses; ++pass) {
      const std::int64_t pixel = pixel_ + pixel_of(pass);
      rows_[pass] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      if (pixel < end_ && row_ < taps) rows_[pass] = around(pixel, places_[pass]);
      places_[pass].advance(a_.shape);
    }
#pragma unroll
    for (int pass = 0; pass < kColumnPasses; ++pass) {
      const std::int64_t pixel = pixel_ + threadIdx.x / Tile::kColumnFours + 8 * pass;
      columns_[pass] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      if (pixel >= end_ || column_ >= a_.shape.out) continue;
      const Stored* from = a_.dz + pixel * a_.shape.out + column_;
      if constexpr (kFours) {
        columns_[pass] = load_four(from);
      } else {
        const int left = a_.shape.out - column_;
        columns_[pass] =
            make_float4(load_element(from), left > 1 ? load_element(from + 1) : 0.0f,
                        left > 2 ? load_element(from + 2) : 0.0f, left > 3 ? load_element(from + 3) : 0.0f);
      }
    }
    pixel_ += Tile::kDepth;
  }

  __device__ void put(Tile::Stage& stage) const {
    const int row = 4 * (static_cast<int>(threadIdx.x) % Tile::kRowFours);
    const int column = 4 * (static_cast<int>(threadIdx.x) % Tile::kColumnFours);
#pragma unroll
    for (int pass = 0; pass < kRowPasses; ++pass) {
      const int k = pixel_of(pass);
      *reinterpret_cast<float4*>(&stage.rows[k][Tile::cell(k, row)]) = rows_[pass];
    }
#pragma unroll
    for (int pass = 0; pass < kColumnPasses; ++pass) {
      const int k = static_cast<int>(threadIdx.x) / Tile::kColumnFours + 8 * pass;
      *reinterpret_cast<float4*>(&stage.columns[k][Tile::cell(k, column)]) = columns_[pass];
    }
  }

 private:
  static constexpr int kRowPasses = 4, kColumnPasses = 2;

  static __device__ int pixel_of(int pass) {
    return static_cast<int>(threadIdx.x) / Tile::kRowFours + 4 * pass;
  }
  // x around a pixel, at this thread's tap and channels.
  __device__ float4 around(std::int64_t pixel, Place place) const {
    if constexpr (kFours) {
      const int tap = row_ / a_.shape.in, channel = row_ % a_.shape.in;
      const Stored* from = neighbour(pixel, place, tap);
      return from == nullptr ? make_float4(0.0f, 0.0f, 0.0f, 0.0f) : load_four(from + channel);
    } else {
      return make_float4(single(pixel, place, row_), single(pixel, place, row_ + 1),
                         single(pixel, place, row_ + 2), single(pixel, place, row_ + 3));
    }
  }
  __device__ float single(std::int64_t pixel, Place place, int row) const {
    if (row >= 9 * a_.shape.in) return 0.0f;
    const Stored* from = neighbour(pixel, place, row / a_.shape.in);
    return from == nullptr ? 0.0f : load_element(from + row % a_.shape.in);
  }
  __device__ const Stored* neighbour(std::int64_t pixel, Place place, int tap) const {
    const int di = tap / 3 - 1, dj = tap % 3 - 1, i = place.i + di, j = place.j + dj;
    if (i < 0 || i >= a_.shape.height || j < 0 || j >= a_.shape.width) return nullptr;
    return a_.x + (pixel + std::int64_t{di} * a_.shape.width + dj) * a_.shape.in;
  }

  const WeightGradient<Stored>& a_;
  int row_, column_;
  std::int64_t pixel_, end_;
  Place places_[kRowPasses];
  float4 rows_[kRowPasses], columns_[kColumnPasses];
};

// One block per tile of 128 (tap, input channel) pairs (blockIdx.x), 64 output channels (.y) and part of the pixels
// (.z); a thread sums 8 x 8.
template <class Stored, bool kFours>
__global__ void __launch_bounds__(Tile::kThreads) conv_plain_weight_tiles(WeightGradient<Stored> a) {
  __shared__ Tile::Stage stages[2];
  const int first_row = static_cast<int>(blockIdx.x) * Tile::kRows;
  const int first_column = static_cast<int>(blockIdx.y) * Tile::kColumns;
  const std::int64_t begin = std::int64_t{blockIdx.z} * a.pixels_per_part;
  const std::int64_t end = begin + a.pixels_per_part < a.pixels ? begin + a.pixels_per_part : a.pixels;
  GradientLoader<Stored, kFours> loader(a, first_row, first_column, begin, end);
  float sums[8][8] = {};
  const std::int64_t steps = (end - begin + Tile::kDepth - 1) / Tile::kDepth;
  loader.fetch();
  loader.put(stages[0]);
  __syncthreads();
  for (std::int64_t step = 0; step < steps; ++step) {
    const bool more = step + 1 < steps;
    if (more) loader.fetch();
    multiply_plain(stages[step % 2], sums);
    if (more) loader.put(stages[(step + 1) % 2]);
    __syncthreads();
  }
  const int rows = 9 * a.shape.in;
  float* partial = a.partial + std::int64_t{blockIdx.z} * a.shape.out * rows;
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const int column = first_column + Tile::column(j);
    if (column >= a.shape.out) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + Tile::row(4 * half);
      float* to = partial + std::int64_t{column} * rows + row;
      if constexpr (kFours) {
        if (row < rows)
          store_four(to, make_float4(sums[4 * half][j], sums[4 * half + 1][j], sums[4 * half + 2][j],
                                     sums[4 * half + 3][j]));
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (row + i < rows) to[i] = sums[4 * half + i][j];
      }
    }
  }
}

std::int64_t divided(std::int64_t value, std::int64_t by) {
  return (value + by - 1) / by;
}

template <class Stored>
void weight_gradient(Context& ctx, const ConvBlockBackward<float, Stored>& a, const Stored* dz) {
  // Parts enough to fill a large device, each deep enough to be worth its partial sums; of the shape alone.
  constexpr std::int64_t kBlocks = 1024, kSmallestPart = 512, kMostParts = 256;
  const std::int64_t rows = std::int64_t{9} * a.shape.in;
  const std::int64_t pixels = std::int64_t{a.shape.n} * a.shape.height * a.shape.width;
  const std::int64_t tiles = divided(rows, Tile::kRows) * divided(a.shape.out, Tile::kColumns);
  const std::int64_t wanted =
      std::clamp<std::int64_t>(std::min(kBlocks / tiles, pixels / kSmallestPart), 1, kMostParts);
  const std::int64_t per_part = divided(divided(pixels, wanted), Tile::kDepth) * Tile::kDepth;
  const auto parts = static_cast<int>(divided(pixels, per_part));
  const std::int64_t columns = rows * a.shape.out;
  const ArenaScope scope(ctx);
  float* partial = ctx.scratch<float>(static_cast<std::size_t>(parts * columns));
  const bool fours = a.shape.in % 4 == 0 && a.shape.out % 4 == 0 && fours_aligned(a.x) && fours_aligned(dz);
  launch(ctx,
         {.name = "conv_plain_weight_tiles",
          .grid = {blocks_for(rows, Tile::kRows), blocks_for(a.shape.out, Tile::kColumns),
                   static_cast<unsigned>(parts)},
          .block = Tile::kThreads},
         fours ? conv_plain_weight_tiles<Stored, true> : conv_plain_weight_tiles<Stored, false>,
         WeightGradient<Stored>{a.shape, pixels, per_part, a.x, dz, partial});
  conv_add_parts(ctx, {.parts = parts, .columns = columns, .weight = a.d_weight, .weight_count = columns},
                 partial);
}

}  // namespace

template <class Stored>
void conv_plain_backward(Context& ctx, const ConvBlockBackward<float, Stored>& a) {
  if (a.shape.in == 1 && a.shape.pool && a.dx == nullptr) return conv_one_channel_backward(ctx, a);
  const ArenaScope scope(ctx);
  const auto elements = static_cast<std::size_t>(a.shape.n) * static_cast<std::size_t>(a.shape.height) *
                        static_cast<std::size_t>(a.shape.width) * static_cast<std::size_t>(a.shape.out);
  auto* dz = ctx.scratch<Stored>(elements);
  conv_gradient_behind(ctx, a, dz);
  weight_gradient(ctx, a, dz);
  if (a.dx == nullptr) return;
  auto* flipped = ctx.scratch<float>(static_cast<std::size_t>(9) * static_cast<std::size_t>(a.shape.in) *
                                     static_cast<std::size_t>(a.shape.out));
  conv_flip_weights(ctx, a.shape.out, a.shape.in, a.weight, flipped);
  ConvShape transposed = a.shape;
  transposed.in = a.shape.out;
  transposed.out = a.shape.in;
  conv_plain_product(ctx, transposed, dz, flipped, a.dx);
}

template void conv_plain_backward(Context&, const ConvBlockBackward<float, float>&);
template void conv_plain_backward(Context&, const ConvBlockBackward<float, BFloat16>&);

}  // namespace emer::cuda
