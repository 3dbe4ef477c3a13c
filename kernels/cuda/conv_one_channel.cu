// Convolution of one input channel with a pool behind it: nine products per output, so that memory is the limit. A
// thread keeps four output channels' weights in registers and walks along a row of windows.
#include <algorithm>

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/conv_elements.h"
#include "kernels/cuda/conv_parts.h"

namespace emer::cuda {

namespace {

constexpr int kBlock = 256;
constexpr int kStrip = 8;   // windows of a row that one thread takes one after the other
constexpr int kLanes = 16;  // backward: groups of four channels beside one another in a block
constexpr int kChannels = 4 * kLanes;
constexpr int kSums = 10;  // of an output channel: nine weights and the bias

struct Strips {
  int per_row;
  std::int64_t count;
};
Strips strips_of(const ConvShape& shape) {
  const int per_row = (shape.width / 2 + kStrip - 1) / kStrip;
  return {per_row, std::int64_t{shape.n} * (shape.height / 2) * per_row};
}

// The 4 x 4 pixels that a window's four outputs see; moves two columns to the right at a time.
template <class Stored>
class Surroundings {
 public:
  float pixels[4][4];

  // Window (row, column) of an image.
  __device__ Surroundings(const ConvShape& shape, const Stored* image, int row, int column)
      : shape_(shape), image_(image), row_(2 * row - 1), column_(2 * column - 1) {
    load(0);
    load(1);
    load(2);
    load(3);
  }
  __device__ void next() {
    column_ += 2;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      pixels[r][0] = pixels[r][2];
      pixels[r][1] = pixels[r][3];
    }
    load(2);
    load(3);
  }

 private:
  __device__ void load(int s) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int i = row_ + r, j = column_ + s;
      const bool inside = i >= 0 && i < shape_.height && j >= 0 && j < shape_.width;
      pixels[r][s] = inside ? load_element(image_ + i * shape_.width + j) : 0.0f;
    }
  }
  const ConvShape& shape_;
  const Stored* image_;
  int row_, column_;
};

struct StripPlace {
  std::int64_t image;
  int row, first, end;  // of windows

  __device__ StripPlace(const ConvShape& shape, int per_row, std::int64_t strip) {
    const std::int64_t line = strip / per_row;
    image = line / (shape.height / 2);
    row = static_cast<int>(line % (shape.height / 2));
    first = static_cast<int>(strip % per_row) * kStrip;
    end = first + kStrip < shape.width / 2 ? first + kStrip : shape.width / 2;
  }
  __device__ std::int64_t output(const ConvShape& shape, int column) const {
    return (image * (shape.height / 2) + row) * (shape.width / 2) + column;
  }
};

// One thread per strip of windows and group of four channels; neighbours have neighbouring groups.
template <class Stored, bool kFours>
__global__ void __launch_bounds__(kBlock)
    conv_one_channel(ConvBlockForward<float, Stored> a, Strips strips, int groups) {
  const std::int64_t item = std::int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (item >= strips.count * groups) return;
  const int channel = 4 * static_cast<int>(item % groups), out = a.shape.out, left = out - channel;
  const StripPlace place(a.shape, strips.per_row, item / groups);
  float weight[4][9], bias[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const bool valid = k < left;
    bias[k] = valid ? a.bias[channel + k] : 0.0f;
#pragma unroll
    for (int tap = 0; tap < 9; ++tap)
      weight[k][tap] = valid ? rounded_weight<Stored>(a.weight[(channel + k) * 9 + tap]) : 0.0f;
  }
  Surroundings<Stored> x(a.shape, a.x + place.image * a.shape.height * a.shape.width, place.row, place.first);
  for (int column = place.first; column < place.end; ++column) {
    PoolChoice best[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      float z[4];
#pragma unroll
      for (int p = 0; p < 4; ++p) {
        float sum = 0.0f;
#pragma unroll
        for (int tap = 0; tap < 9; ++tap)
          sum = fmaf(x.pixels[p / 2 + tap / 3][p % 2 + tap % 3], weight[k][tap], sum);
        z[p] = conv_relu(sum + bias[k]);
      }
      best[k] = pool_choice(z[0], z[1], z[2], z[3]);
    }
    const std::int64_t at = place.output(a.shape, column) * out + channel;
    if constexpr (kFours) {
      store_four(a.y + at, make_float4(best[0].value, best[1].value, best[2].value, best[3].value));
      if (a.argmax != nullptr)
        *reinterpret_cast<std::uint32_t*>(a.argmax + at) =
            best[0].place | best[1].place << 8 | best[2].place << 16 | best[3].place << 24;
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (k < left) {
          store_element(a.y + at + k, best[k].value);
          if (a.argmax != nullptr) a.argmax[at + k] = static_cast<std::uint8_t>(best[k].place);
        }
    }
    if (column + 1 < place.end) x.next();
  }
}

// dz of one window and channel, where the maximum was.
struct WindowGradient {
  float g;
  unsigned place;
};

// One block per 64 channels (blockIdx.x) and part of the strips (.y): thread t takes the four channels of group t % 16 of
// strips t / 16, t / 16 + 16, ... of the part. partial [parts][9 * out weights, then out biases].
template <class Stored, bool kFours>
__global__ void __launch_bounds__(kBlock)
    conv_one_channel_gradient(ConvBlockBackward<float, Stored> a, Strips strips, std::int64_t strips_per_part,
                              double* partial) {
  const int out = a.shape.out, group = static_cast<int>(threadIdx.x % kLanes);
  const int channel = static_cast<int>(blockIdx.x) * kChannels + 4 * group, left = out - channel;
  const std::int64_t begin = std::int64_t{blockIdx.y} * strips_per_part;
  const std::int64_t end = begin + strips_per_part < strips.count ? begin + strips_per_part : strips.count;
  float sums[4][9] = {};
  double bias[4] = {};
  for (std::int64_t strip = begin + threadIdx.x / kLanes; strip < end && left > 0; strip += kBlock / kLanes) {
    const StripPlace place(a.shape, strips.per_row, strip);
    Surroundings<Stored> x(a.shape, a.x + place.image * a.shape.height * a.shape.width, place.row,
                           place.first);
    for (int column = place.first; column < place.end; ++column) {
      const std::int64_t at = place.output(a.shape, column) * out + channel;
      WindowGradient of[4] = {};
      if constexpr (kFours) {
        const float4 y = load_four(a.y + at), dy = load_four(a.dy + at);
        const std::uint32_t places = *reinterpret_cast<const std::uint32_t*>(a.argmax + at);
        of[0] = {conv_relu_backward(y.x, dy.x), places & 0xffu};
        of[1] = {conv_relu_backward(y.y, dy.y), places >> 8 & 0xffu};
        of[2] = {conv_relu_backward(y.z, dy.z), places >> 16 & 0xffu};
        of[3] = {conv_relu_backward(y.w, dy.w), places >> 24};
      } else {
#pragma unroll
        for (int k = 0; k < 4; ++k)
          if (k < left)
            of[k] = {conv_relu_backward(load_element(a.y + at + k), load_element(a.dy + at + k)),
                     a.argmax[at + k]};
      }
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        bias[k] += static_cast<double>(of[k].g);
#pragma unroll
        for (int p = 0; p < 4; ++p) {
          const float g = of[k].place == static_cast<unsigned>(p) ? of[k].g : 0.0f;
#pragma unroll
          for (int tap = 0; tap < 9; ++tap)
            sums[k][tap] = fmaf(g, x.pixels[p / 2 + tap / 3][p % 2 + tap % 3], sums[k][tap]);
        }
      }
      if (column + 1 < place.end) x.next();
    }
  }
  __shared__ double of_row[kBlock / kLanes][kChannels];
#pragma unroll
  for (int s = 0; s < kSums; ++s) {
    __syncthreads();  // the readers of the sum before are done
#pragma unroll
    for (int k = 0; k < 4; ++k)
      of_row[threadIdx.x / kLanes][4 * group + k] =
          s < 9 ? static_cast<double>(sums[k][s < 9 ? s : 0]) : bias[k];
    __syncthreads();
    const int mine = static_cast<int>(blockIdx.x * kChannels + threadIdx.x);
    if (threadIdx.x >= kChannels || mine >= out) continue;
    double total = 0.0;
    for (int row = 0; row < kBlock / kLanes; ++row) total += of_row[row][threadIdx.x];
    partial[std::int64_t{blockIdx.y} * kSums * out + (s < 9 ? 9 * mine + s : 9 * out + mine)] = total;
  }
}

}  // namespace

template <class Stored>
void conv_one_channel_forward(Context& ctx, const ConvBlockForward<float, Stored>& a) {
  const Strips strips = strips_of(a.shape);
  const int groups = (a.shape.out + 3) / 4;
  const bool fours = a.shape.out % 4 == 0 && fours_aligned(a.y) && fours_aligned(a.argmax);
  launch(ctx,
         {.name = "conv_one_channel",
          .grid = blocks_for(strips.count * groups, kBlock, INT32_MAX),
          .block = kBlock},
         fours ? conv_one_channel<Stored, true> : conv_one_channel<Stored, false>, a, strips, groups);
}

template <class Stored>
void conv_one_channel_backward(Context& ctx, const ConvBlockBackward<float, Stored>& a) {
  constexpr std::int64_t kSmallestPart = kBlock / kLanes, kMostParts = 512;
  const Strips strips = strips_of(a.shape);
  const std::int64_t per_part = std::max(kSmallestPart, (strips.count + kMostParts - 1) / kMostParts);
  const auto parts = static_cast<int>((strips.count + per_part - 1) / per_part);
  const std::int64_t columns = std::int64_t{kSums} * a.shape.out;
  const ArenaScope scope(ctx);
  double* partial = ctx.scratch<double>(static_cast<std::size_t>(parts * columns));
  const bool fours =
      a.shape.out % 4 == 0 && fours_aligned(a.y) && fours_aligned(a.dy) && fours_aligned(a.argmax);
  launch(ctx,
         {.name = "conv_one_channel_gradient",
          .grid = {blocks_for(a.shape.out, kChannels), static_cast<unsigned>(parts)},
          .block = kBlock},
         fours ? conv_one_channel_gradient<Stored, true> : conv_one_channel_gradient<Stored, false>, a,
         strips, per_part, partial);
  conv_add_parts(ctx,
                 {.parts = parts,
                  .columns = columns,
                  .weight = a.d_weight,
                  .weight_count = std::int64_t{9} * a.shape.out,
                  .bias = a.d_bias},
                 partial);
}

template void conv_one_channel_forward(Context&, const ConvBlockForward<float, float>&);
template void conv_one_channel_forward(Context&, const ConvBlockForward<float, BFloat16>&);
template void conv_one_channel_backward(Context&, const ConvBlockBackward<float, float>&);
template void conv_one_channel_backward(Context&, const ConvBlockBackward<float, BFloat16>&);

}  // namespace emer::cuda
