// What stands around the products of a convolution block: bias, ReLU and pool both ways, flipped weights, partial sums.
#include <algorithm>

#include "core/cuda/launch.h"
#include "kernels/cuda/conv_elements.h"
#include "kernels/cuda/conv_parts.h"

namespace emer::cuda {

namespace {

constexpr int kBlock = 256;
constexpr int kLanes = 16;  // of four channels each, beside one another in a block
constexpr int kChannels = 4 * kLanes;

// Four neighbouring channels, as many as there are; 0 behind the end.
template <bool kFours, class Stored>
__device__ void load_channels(const Stored* from, int left, float (&values)[4]) {
  if constexpr (kFours) {
    const float4 four = load_four(from);
    values[0] = four.x;
    values[1] = four.y;
    values[2] = four.z;
    values[3] = four.w;
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k) values[k] = k < left ? load_element(from + k) : 0.0f;
  }
}

template <bool kFours, class Stored>
__device__ void store_channels(Stored* to, int left, const float (&values)[4]) {
  if constexpr (kFours) {
    store_four(to, make_float4(values[0], values[1], values[2], values[3]));
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k)
      if (k < left) store_element(to + k, values[k]);
  }
}

template <bool kFours>
__device__ std::uint32_t load_places(const std::uint8_t* from, int left) {
  if constexpr (kFours) {
    return *reinterpret_cast<const std::uint32_t*>(from);
  } else {
    std::uint32_t places = 0;
#pragma unroll
    for (int k = 0; k < 4; ++k)
      if (k < left) places |= static_cast<std::uint32_t>(from[k]) << (8 * k);
    return places;
  }
}

template <class Stored, class Element>
struct Finish {
  ConvBlockForward<float, Stored> args;
  const Element* z;
  std::int64_t outputs;  // pixels, or windows of four
  int groups;            // of four channels
};

// One thread per output and group of four neighbouring channels.
template <class Stored, class Element, bool kPool, bool kFours>
__global__ void conv_finish(Finish<Stored, Element> f) {
  const std::int64_t item = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (item >= f.outputs * f.groups) return;
  const int out = f.args.shape.out, width = f.args.shape.width;
  const int channel = 4 * static_cast<int>(item % f.groups), left = out - channel;
  const std::int64_t output = item / f.groups;
  float bias[4], y[4];
  load_channels<false>(f.args.bias + channel, left, bias);
  const auto load_pixel = [&](std::int64_t pixel, float(&a)[4]) {
    load_channels<kFours>(f.z + pixel * out + channel, left, a);
#pragma unroll
    for (int k = 0; k < 4; ++k) a[k] = conv_relu(a[k] + bias[k]);
  };
  if constexpr (kPool) {
    const std::int64_t line = output / (width / 2);
    const std::int64_t pixel = 2 * line * width + 2 * (output % (width / 2));
    float a[4][4];
#pragma unroll
    for (int place = 0; place < 4; ++place)
      load_pixel(pixel + std::int64_t{place / 2} * width + place % 2, a[place]);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const PoolChoice best = pool_choice(a[0][k], a[1][k], a[2][k], a[3][k]);
      y[k] = best.value;
      if (f.args.argmax != nullptr && k < left)
        f.args.argmax[output * out + channel + k] = static_cast<std::uint8_t>(best.place);
    }
  } else {
    load_pixel(output, y);
  }
  store_channels<kFours>(f.args.y + output * out + channel, left, y);
}

// One block per 64 channels (blockIdx.x) and span of outputs (.y): thread t takes four neighbouring channels, group
// t % 16, of outputs t / 16, t / 16 + 16, ... of the span. An output is a pixel, or a window of four.
template <class Stored, bool kPool, bool kFours>
__global__ void __launch_bounds__(kBlock)
    conv_gradient_spans(ConvBlockBackward<float, Stored> a, Stored* dz, std::int64_t outputs,
                        std::int64_t span, double* partial) {
  const int out = a.shape.out, width = a.shape.width;
  const int channel = static_cast<int>(blockIdx.x) * kChannels + 4 * static_cast<int>(threadIdx.x % kLanes);
  const std::int64_t begin = std::int64_t{blockIdx.y} * span;
  const std::int64_t end = begin + span < outputs ? begin + span : outputs;
  double sum[4] = {};
  if (channel < out) {
    const int left = out - channel;
    for (std::int64_t at = begin + threadIdx.x / kLanes; at < end; at += kBlock / kLanes) {
      float y[4], g[4];
      load_channels<kFours>(a.y + at * out + channel, left, y);
      load_channels<kFours>(a.dy + at * out + channel, left, g);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        g[k] = conv_relu_backward(y[k], g[k]);
        sum[k] += static_cast<double>(g[k]);
      }
      if constexpr (kPool) {
        const std::uint32_t places = load_places<kFours>(a.argmax + at * out + channel, left);
        const std::int64_t line = at / (width / 2), column = at % (width / 2);
        Stored* window = dz + (2 * line * width + 2 * column) * out + channel;
#pragma unroll
        for (int place = 0; place < 4; ++place) {
          float pixel[4];
#pragma unroll
          for (int k = 0; k < 4; ++k)
            pixel[k] = (places >> (8 * k) & 0xffu) == static_cast<unsigned>(place) ? g[k] : 0.0f;
          store_channels<kFours>(window + (std::int64_t{place / 2} * width + place % 2) * out, left, pixel);
        }
      } else {
        store_channels<kFours>(dz + at * out + channel, left, g);
      }
    }
  }
  __shared__ double of_row[kBlock / kLanes][kChannels];
#pragma unroll
  for (int k = 0; k < 4; ++k) of_row[threadIdx.x / kLanes][4 * (threadIdx.x % kLanes) + k] = sum[k];
  __syncthreads();
  const int mine = static_cast<int>(blockIdx.x * kChannels + threadIdx.x);
  if (threadIdx.x >= kChannels || mine >= out) return;
  double total = 0.0;
  for (int row = 0; row < kBlock / kLanes; ++row) total += of_row[row][threadIdx.x];
  partial[std::int64_t{blockIdx.y} * out + mine] = total;
}

// One thread per element of the result.
__global__ void conv_flip(int out, int in, const float* weight, float* flipped) {
  const std::int64_t at = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (at >= std::int64_t{9} * in * out) return;
  const std::int64_t o = at % out, tap = at / out % 9, c = at / out / 9;
  flipped[at] = weight[(o * 9 + 8 - tap) * in + c];
}

template <class Real>
__device__ double to_double(Real value) {
  if constexpr (sizeof(Real) == sizeof(BFloat16))
    return static_cast<double>(load_element(&value));
  else
    return static_cast<double>(value);
}

// One block per 32 columns: thread t adds parts t / 32, t / 32 + 8, ... of column t % 32; then the eight in their order.
template <class Real>
__global__ void __launch_bounds__(kBlock) conv_add_columns(ConvPartialSums a, const Real* partial) {
  constexpr int kWarps = kBlock / 32;
  __shared__ double of_warp[kWarps][32];
  const std::int64_t column = std::int64_t{blockIdx.x} * 32 + threadIdx.x % 32;
  double sum = 0.0;
  if (column < a.columns)
    for (int part = static_cast<int>(threadIdx.x / 32); part < a.parts; part += kWarps)
      sum += to_double(partial[part * a.columns + column]);
  of_warp[threadIdx.x / 32][threadIdx.x % 32] = sum;
  __syncthreads();
  if (threadIdx.x >= 32 || column >= a.columns) return;
  double total = 0.0;
  for (int warp = 0; warp < kWarps; ++warp) total += of_warp[warp][threadIdx.x];
  float& to = column < a.weight_count ? a.weight[column] : a.bias[column - a.weight_count];
  to = static_cast<float>(static_cast<double>(to) + total);
}

template <class Real>
void add_parts(Context& ctx, const ConvPartialSums& a, const Real* partial) {
  launch(ctx, {.name = "conv_add_columns", .grid = blocks_for(a.columns, 32, INT32_MAX), .block = kBlock},
         conv_add_columns<Real>, a, partial);
}

template <class Stored>
auto gradient_kernel(const ConvBlockBackward<float, Stored>& a, const Stored* dz) {
  const bool fours = a.shape.out % 4 == 0 && fours_aligned(a.y) && fours_aligned(a.dy) &&
                     fours_aligned(a.argmax) && fours_aligned(dz);
  if (a.shape.pool)
    return fours ? conv_gradient_spans<Stored, true, true> : conv_gradient_spans<Stored, true, false>;
  return fours ? conv_gradient_spans<Stored, false, true> : conv_gradient_spans<Stored, false, false>;
}

}  // namespace

template <class Stored>
void conv_gradient_behind(Context& ctx, const ConvBlockBackward<float, Stored>& a, Stored* dz) {
  constexpr std::int64_t kSmallestSpan = 256, kMostSpans = 512;
  const std::int64_t outputs = std::int64_t{a.shape.n} * a.shape.out_height() * a.shape.out_width();
  const std::int64_t span = std::max(kSmallestSpan, (outputs + kMostSpans - 1) / kMostSpans);
  const auto spans = static_cast<int>((outputs + span - 1) / span);
  const ArenaScope scope(ctx);
  double* partial =
      ctx.scratch<double>(static_cast<std::size_t>(spans) * static_cast<std::size_t>(a.shape.out));
  launch(ctx,
         {.name = "conv_gradient_spans",
          .grid = {blocks_for(a.shape.out, kChannels), static_cast<unsigned>(spans)},
          .block = kBlock},
         gradient_kernel(a, dz), a, dz, outputs, span, partial);
  conv_add_parts(ctx, {.parts = spans, .columns = a.shape.out, .bias = a.d_bias}, partial);
}

template <class Stored, class Element>
void conv_finish_forward(Context& ctx, const ConvBlockForward<float, Stored>& a, const Element* z) {
  const bool fours = a.shape.out % 4 == 0 && fours_aligned(a.y) && fours_aligned(z);
  const std::int64_t outputs = std::int64_t{a.shape.n} * a.shape.out_height() * a.shape.out_width();
  const int groups = (a.shape.out + 3) / 4;
  const auto kernel =
      a.shape.pool
          ? (fours ? conv_finish<Stored, Element, true, true> : conv_finish<Stored, Element, true, false>)
          : (fours ? conv_finish<Stored, Element, false, true> : conv_finish<Stored, Element, false, false>);
  launch(ctx,
         {.name = "conv_finish",
          .grid = blocks_for(outputs * groups, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         kernel, Finish<Stored, Element>{a, z, outputs, groups});
}

void conv_flip_weights(Context& ctx, int out, int in, const float* weight, float* flipped) {
  launch(ctx,
         {.name = "conv_flip",
          .grid = blocks_for(std::int64_t{9} * in * out, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         conv_flip, out, in, weight, flipped);
}

void conv_add_parts(Context& ctx, const ConvPartialSums& a, const float* partial) {
  add_parts(ctx, a, partial);
}
void conv_add_parts(Context& ctx, const ConvPartialSums& a, const double* partial) {
  add_parts(ctx, a, partial);
}
void conv_add_parts(Context& ctx, const ConvPartialSums& a, const BFloat16* partial) {
  add_parts(ctx, a, partial);
}

template void conv_finish_forward(Context&, const ConvBlockForward<float, float>&, const float*);
template void conv_finish_forward(Context&, const ConvBlockForward<float, float>&, const BFloat16*);
template void conv_finish_forward(Context&, const ConvBlockForward<float, BFloat16>&, const BFloat16*);
template void conv_gradient_behind(Context&, const ConvBlockBackward<float, float>&, float*);
template void conv_gradient_behind(Context&, const ConvBlockBackward<float, BFloat16>&, BFloat16*);

}  // namespace emer::cuda
