// Convolution as a product of pixels and weights without tensor cores; bias, ReLU and pool before the sums are written.
#include "core/cuda/launch.h"
#include "kernels/cuda/conv_elements.h"
#include "kernels/cuda/conv_parts.h"
#include "kernels/cuda/conv_plain_tile.h"

namespace emer::cuda {

namespace {

using Tile = PlainTile;

template <class Stored>
struct PlainForward {
  ConvShape shape;
  std::int64_t rows;  // pixels
  const Stored* x;
  const float* weight;  // [out][9 * in]
  const float* bias;    // null: y = conv(x) alone
  Stored* y;
  std::uint8_t* argmax;
};

struct Pixel {
  std::int64_t image;
  int i, j;
};

template <bool kPool>
__device__ Pixel pixel_of_row(const ConvShape& shape, std::int64_t row) {
  if constexpr (kPool) {
    const int width = shape.width / 2, height = shape.height / 2, place = static_cast<int>(row % 4);
    const std::int64_t window = row / 4, line = window / width;
    return {line / height, 2 * static_cast<int>(line % height) + place / 2,
            2 * static_cast<int>(window % width) + place % 2};
  } else {
    const std::int64_t line = row / shape.width;
    return {line / shape.height, static_cast<int>(line % shape.height), static_cast<int>(row % shape.width)};
  }
}

// Of the 3 x 3 pixels around one, those inside the image: bit 3r + s.
__device__ unsigned taps_inside(const ConvShape& shape, int i, int j) {
  unsigned taps = 0;
#pragma unroll
  for (int tap = 0; tap < 9; ++tap) {
    const int row = i + tap / 3 - 1, column = j + tap % 3 - 1;
    if (row >= 0 && row < shape.height && column >= 0 && column < shape.width) taps |= 1u << tap;
  }
  return taps;
}

// One thread's part of the operands: depth 4q .. 4q + 3 of a step, of every 32nd row and column.
template <class Stored, bool kPool, bool kFours>
class Loader {
 public:
  __device__ Loader(const PlainForward<Stored>& a, std::int64_t first_row, int first_column)
      : a_(a), lane_(static_cast<int>(threadIdx.x) / 4), channel_(4 * (static_cast<int>(threadIdx.x) % 4)) {
#pragma unroll
    for (int pass = 0; pass < kRowPasses; ++pass) {
      const std::int64_t row = first_row + lane_ + 32 * pass;
      const bool inside = row < a.rows;
      const Pixel p = pixel_of_row<kPool>(a.shape, inside ? row : 0);
      taps_[pass] = inside ? taps_inside(a.shape, p.i, p.j) : 0;
      origin_[pass] = (p.image * a.shape.height + p.i) * a.shape.width + p.j;
    }
#pragma unroll
    for (int pass = 0; pass < kColumnPasses; ++pass)
      column_inside_[pass] = first_column + lane_ + 32 * pass < a.shape.out;
    weight_ = a.weight + std::int64_t{first_column + lane_} * 9 * a.shape.in + channel_;
    wrap();
  }

  // Brings the next step into registers.
  __device__ void fetch() {
    if constexpr (kFours) {
      const int shift = (tap_ / 3 - 1) * a_.shape.width + tap_ % 3 - 1;
#pragma unroll
      for (int pass = 0; pass < kRowPasses; ++pass)
        rows_[pass] = tap_ < 9 && (taps_[pass] >> tap_ & 1) != 0
                          ? load_four(a_.x + (origin_[pass] + shift) * a_.shape.in + channel_)
                          : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
      for (int pass = 0; pass < kColumnPasses; ++pass)
        columns_[pass] = tap_ < 9 && column_inside_[pass] ? load_four(weight_ + weight_row(pass))
                                                          : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    } else {
      fetch_single();
    }
    weight_ += Tile::kDepth;
    channel_ += Tile::kDepth;
    wrap();
  }

  // Puts what fetch() brought into a stage.
  __device__ void put(Tile::Stage& stage) const {
    const int k = 4 * (static_cast<int>(threadIdx.x) % 4);
#pragma unroll
    for (int pass = 0; pass < kRowPasses; ++pass) {
      const float values[4] = {rows_[pass].x, rows_[pass].y, rows_[pass].z, rows_[pass].w};
#pragma unroll
      for (int e = 0; e < 4; ++e) stage.rows[k + e][Tile::cell(k, lane_ + 32 * pass)] = values[e];
    }
#pragma unroll
    for (int pass = 0; pass < kColumnPasses; ++pass) {
      const float values[4] = {columns_[pass].x, columns_[pass].y, columns_[pass].z, columns_[pass].w};
#pragma unroll
      for (int e = 0; e < 4; ++e)
        stage.columns[k + e][Tile::cell(k, lane_ + 32 * pass)] = rounded_weight<Stored>(values[e]);
    }
  }

 private:
  static constexpr int kRowPasses = Tile::kRows / 32, kColumnPasses = Tile::kColumns / 32;

  __device__ std::int64_t weight_row(int pass) const {
    return std::int64_t{32 * pass} * 9 * a_.shape.in;
  }
  __device__ void wrap() {
    while (channel_ >= a_.shape.in && tap_ < 9) {
      channel_ -= a_.shape.in;
      ++tap_;
    }
  }
  // Channels that are no multiple of 4, or arrays that lie badly: element by element.
  __device__ void fetch_single() {
    int tap = tap_, channel = channel_;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int shift = (tap / 3 - 1) * a_.shape.width + tap % 3 - 1;
#pragma unroll
      for (int pass = 0; pass < kRowPasses; ++pass) {
        const bool inside = tap < 9 && (taps_[pass] >> tap & 1) != 0;
        set(rows_[pass], e,
            inside ? load_element(a_.x + (origin_[pass] + shift) * a_.shape.in + channel) : 0.0f);
      }
#pragma unroll
      for (int pass = 0; pass < kColumnPasses; ++pass)
        set(columns_[pass], e, tap < 9 && column_inside_[pass] ? weight_[weight_row(pass) + e] : 0.0f);
      if (++channel == a_.shape.in) {
        channel = 0;
        ++tap;
      }
    }
  }
  static __device__ void set(float4& four, int e, float value) {
    if (e == 0) four.x = value;
    if (e == 1) four.y = value;
    if (e == 2) four.z = value;
    if (e == 3) four.w = value;
  }

  const PlainForward<Stored>& a_;
  const float* weight_;
  int lane_, channel_, tap_ = 0;
  std::int64_t origin_[kRowPasses];
  unsigned taps_[kRowPasses];
  bool column_inside_[kColumnPasses];
  float4 rows_[kRowPasses], columns_[kColumnPasses];
};

template <class T>
__device__ void store_columns(T* to, int left, bool fours, float4 values) {
  if (fours && left >= 4) return store_four(to, values);
  const float single[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (j < left) store_element(to + j, single[j]);
}

// A thread's 4 rows are a window: its maxima, and where they were.
template <class Stored>
__device__ void store_window(const PlainForward<Stored>& a, std::int64_t window, int column, bool fours,
                             const float (&z)[4][4]) {
  const int left = a.shape.out - column;
  const std::int64_t at = window * a.shape.out + column;
  PoolChoice best[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) best[j] = pool_choice(z[0][j], z[1][j], z[2][j], z[3][j]);
  store_columns(a.y + at, left, fours,
                make_float4(best[0].value, best[1].value, best[2].value, best[3].value));
  if (a.argmax == nullptr) return;
  if (fours && left >= 4) {
    *reinterpret_cast<std::uint32_t*>(a.argmax + at) =
        best[0].place | best[1].place << 8 | best[2].place << 16 | best[3].place << 24;
    return;
  }
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (j < left) a.argmax[at + j] = static_cast<std::uint8_t>(best[j].place);
}

// One block per tile of 128 pixels (blockIdx.x) and 64 output channels (.y); a thread sums 8 x 8 of them, with the pool
// two whole windows of 8 channels.
template <class Stored, bool kPool, bool kFours>
__global__ void __launch_bounds__(Tile::kThreads) conv_plain_tiles(PlainForward<Stored> a) {
  __shared__ Tile::Stage stages[2];
  const std::int64_t first_row = std::int64_t{blockIdx.x} * Tile::kRows;
  const int first_column = static_cast<int>(blockIdx.y) * Tile::kColumns;
  Loader<Stored, kPool, kFours> loader(a, first_row, first_column);
  float sums[8][8] = {};
  const int steps = (9 * a.shape.in + Tile::kDepth - 1) / Tile::kDepth;
  loader.fetch();
  loader.put(stages[0]);
  __syncthreads();
  for (int step = 0; step < steps; ++step) {
    const bool more = step + 1 < steps;
    if (more) loader.fetch();
    multiply_plain(stages[step % 2], sums);
    if (more) loader.put(stages[(step + 1) % 2]);
    __syncthreads();
  }

#pragma unroll
  for (int half = 0; half < 4; ++half) {  // two groups of 4 rows by two of 4 columns
    const int i0 = half / 2 * 4, j0 = half % 2 * 4, column = first_column + Tile::column(j0);
    const std::int64_t row = first_row + Tile::row(i0);
    if (column >= a.shape.out || row >= a.rows) continue;
    float z[4][4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float bias = a.bias != nullptr && column + j < a.shape.out ? a.bias[column + j] : 0.0f;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float sum = sums[i0 + i][j0 + j];
        z[i][j] = a.bias != nullptr ? conv_relu(sum + bias) : sum;
      }
    }
    if constexpr (kPool) {
      store_window(a, row / 4, column, kFours, z);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (row + i < a.rows)
          store_columns(a.y + (row + i) * a.shape.out + column, a.shape.out - column, kFours,
                        make_float4(z[i][0], z[i][1], z[i][2], z[i][3]));
    }
  }
}

template <class Stored>
void launch_plain(Context& ctx, const PlainForward<Stored>& a) {
  const bool fours = a.shape.in % 4 == 0 && a.shape.out % 4 == 0 && fours_aligned(a.x) &&
                     fours_aligned(a.weight) && fours_aligned(a.y) && fours_aligned(a.argmax);
  launch(ctx,
         {.name = "conv_plain_tiles",
          .grid = {blocks_for(a.rows, Tile::kRows, INT32_MAX), blocks_for(a.shape.out, Tile::kColumns)},
          .block = Tile::kThreads},
         a.shape.pool
             ? (fours ? conv_plain_tiles<Stored, true, true> : conv_plain_tiles<Stored, true, false>)
             : (fours ? conv_plain_tiles<Stored, false, true> : conv_plain_tiles<Stored, false, false>),
         a);
}

std::int64_t pixels(const ConvShape& s) {
  return std::int64_t{s.n} * s.height * s.width;
}

}  // namespace

template <class Stored>
void conv_plain_forward(Context& ctx, const ConvBlockForward<float, Stored>& a) {
  if (a.shape.in == 1 && a.shape.pool) return conv_one_channel_forward(ctx, a);
  launch_plain<Stored>(ctx, {a.shape, pixels(a.shape), a.x, a.weight, a.bias, a.y, a.argmax});
}

template <class Stored>
void conv_plain_product(Context& ctx, const ConvShape& shape, const Stored* x, const float* weight,
                        Stored* y) {
  ConvShape plain = shape;
  plain.pool = false;
  launch_plain<Stored>(ctx, {plain, pixels(shape), x, weight, nullptr, y, nullptr});
}

template void conv_plain_forward(Context&, const ConvBlockForward<float, float>&);
template void conv_plain_forward(Context&, const ConvBlockForward<float, BFloat16>&);
template void conv_plain_product(Context&, const ConvShape&, const float*, const float*, float*);
template void conv_plain_product(Context&, const ConvShape&, const BFloat16*, const float*, BFloat16*);

}  // namespace emer::cuda
