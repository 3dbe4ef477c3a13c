#include "kernels/cpu/conv_block_first.h"

#include "core/parallel.h"
#include "kernels/cpu/conv_block_parts.h"

namespace emer::cpu {

namespace {

// The 4 x 4 values that the four places of one pool read; 0 outside the image.
struct Window {
  float x[4][4];
};
Window window_at(const ConvShape& s, const float* image, std::int64_t i, std::int64_t j) {
  Window w;
  for (std::int64_t r = 0; r < 4; ++r)
    for (std::int64_t t = 0; t < 4; ++t) {
      const std::int64_t p = 2 * i + r - 1, q = 2 * j + t - 1;
      w.x[r][t] = p < 0 || p >= s.height || q < 0 || q >= s.width ? 0.0f : image[p * s.width + q];
    }
  return w;
}

// weight: [9, out].
template <bool keep_places>
void pooled_place(const Window& window, std::int64_t out, const float* weight, const float* bias, float* y,
                  std::uint8_t* argmax) {
  const auto [x] = window;
  const float *w0 = weight, *w1 = w0 + out, *w2 = w1 + out, *w3 = w2 + out, *w4 = w3 + out, *w5 = w4 + out,
              *w6 = w5 + out, *w7 = w6 + out, *w8 = w7 + out;
#pragma omp simd
  for (std::int64_t o = 0; o < out; ++o) {
    // Written out: GCC does not vectorise around loops in here.
    const auto z = [&](const float* r0, const float* r1, const float* r2) {
      return bias[o] + w0[o] * r0[0] + w1[o] * r0[1] + w2[o] * r0[2] + w3[o] * r1[0] + w4[o] * r1[1] +
             w5[o] * r1[2] + w6[o] * r2[0] + w7[o] * r2[1] + w8[o] * r2[2];
    };
    const PoolMaximum<float> best(z(x[0], x[1], x[2]), z(x[0] + 1, x[1] + 1, x[2] + 1), z(x[1], x[2], x[3]),
                                  z(x[1] + 1, x[2] + 1, x[3] + 1));
    y[o] = best.value;
    if constexpr (keep_places) argmax[o] = static_cast<std::uint8_t>(best.place);
  }
}

}  // namespace

void conv_first_forward(Context& ctx, const ConvBlockForward<float>& a) {
  ArenaScope scope(ctx);
  const ConvShape& s = a.shape;
  const std::int64_t out = s.out, columns = s.out_width(), rows = s.out_height();
  float* weight = ctx.scratch<float>(static_cast<std::size_t>(9 * out));
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t k = 0; k < 9; ++k) weight[k * out + o] = a.weight[o * 9 + k];
  parallel_for(s.n * rows, row_grain(4 * columns * out), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* image = a.x + row / rows * s.height * s.width;
      for (std::int64_t j = 0; j < columns; ++j) {
        const Window window = window_at(s, image, row % rows, j);
        const std::int64_t to = (row * columns + j) * out;
        if (a.argmax != nullptr)
          pooled_place<true>(window, out, weight, a.bias, a.y + to, a.argmax + to);
        else
          pooled_place<false>(window, out, weight, a.bias, a.y + to, nullptr);
      }
    }
  });
}

}  // namespace emer::cpu
