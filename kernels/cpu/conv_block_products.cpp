// With U [images * height * width, 9 in] the windows of x, 0 outside: z = U W^T + bias, dW += dz^T U, and dx gathers what
// dz W holds for each of its values.
#include "kernels/cpu/conv_block_products.h"

#include <algorithm>

#include "core/parallel.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/column_sums.h"
#include "kernels/cpu/conv_block_parts.h"

namespace emer::cpu {

namespace {

// Images per product: windows of some millions of values, so that scratch does not grow with the batch.
std::int64_t images_per_product(const ConvShape& s) {
  constexpr std::int64_t kWindowValues = 1 << 21;
  const std::int64_t per_image = std::int64_t{9} * s.height * s.width * std::max(s.in, s.out);
  return std::clamp<std::int64_t>(kWindowValues / per_image, 1, s.n);
}

template <class Real, class Stored>
void unfold(const ConvShape& s, std::int64_t images, const Stored* x, Real* windows) {
  const std::int64_t in = s.in, width = s.width, window = 9 * in;
  parallel_for(images * s.height, row_grain(width * window), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t r = 0; r < 3; ++r) {
        const std::int64_t i = row % s.height + r - 1;
        const Stored* line = x + (row + r - 1) * width * in;
        for (std::int64_t j = 0; j < width; ++j)
          for (std::int64_t t = 0; t < 3; ++t) {
            Real* to = windows + (row * width + j) * window + (3 * r + t) * in;
            const std::int64_t column = j + t - 1;
            if (i < 0 || i >= s.height || column < 0 || column >= width) {
              std::fill_n(to, in, Real(0));
            } else {
              for (std::int64_t c = 0; c < in; ++c) to[c] = load<Real>(line[column * in + c]);
            }
          }
      }
  });
}

template <class Real, class Stored>
void fold(Context& ctx, const ConvShape& s, std::int64_t images, const Real* windows, Stored* dx) {
  ArenaScope scope(ctx);
  const std::int64_t in = s.in, width = s.width, window = 9 * in, rows = images * s.height;
  const std::int64_t grain = row_grain(width * window);
  const std::int64_t chunks = (rows + grain - 1) / grain;
  Real* sums = ctx.scratch<Real>(static_cast<std::size_t>(chunks * in));
  parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    Real* sum = sums + begin / grain * in;
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t j = 0; j < width; ++j) {
        std::fill_n(sum, in, Real(0));
        for (std::int64_t r = 0; r < 3; ++r)
          for (std::int64_t t = 0; t < 3; ++t) {
            const std::int64_t i = row % s.height - r + 1, column = j - t + 1;
            if (i < 0 || i >= s.height || column < 0 || column >= width) continue;
            const Real* from = windows + ((row - r + 1) * width + column) * window + (3 * r + t) * in;
            for (std::int64_t c = 0; c < in; ++c) sum[c] += from[c];
          }
        Stored* to = dx + (row * width + j) * in;
        for (std::int64_t c = 0; c < in; ++c) to[c] = store<Stored>(sum[c]);
      }
  });
}

// The weights as the products read them: rounded to bfloat16 where the activations are.
template <class Stored, class Real>
const Real* weights_for(Context& ctx, const ConvShape& s, const Real* weight) {
  if constexpr (std::is_same_v<Stored, Real>) {
    return weight;
  } else {
    const std::int64_t count = std::int64_t{9} * s.in * s.out;
    Real* rounded = ctx.scratch<Real>(static_cast<std::size_t>(count));
    for (std::int64_t k = 0; k < count; ++k) rounded[k] = load<Real>(store<Stored>(weight[k]));
    return rounded;
  }
}

// For `chunk` images at once.
template <class Real>
struct Workspace {
  std::int64_t chunk, places, window;
  const Real* weight;
  Real* windows;  // [chunk, places, window]
  Real* z;        // [chunk, places, out]: z or its gradient
};

template <class Stored, class Real>
Workspace<Real> workspace(Context& ctx, const ConvShape& s, const Real* weight) {
  const std::int64_t chunk = images_per_product(s), places = std::int64_t{s.height} * s.width,
                     window = 9 * s.in;
  return {.chunk = chunk,
          .places = places,
          .window = window,
          .weight = weights_for<Stored>(ctx, s, weight),
          .windows = ctx.scratch<Real>(static_cast<std::size_t>(chunk * places * window)),
          .z = ctx.scratch<Real>(static_cast<std::size_t>(chunk * places * s.out))};
}

}  // namespace

template <class Real, class Stored>
void conv_products_forward(Context& ctx, const ConvBlockForward<Real, Stored>& a) {
  ArenaScope scope(ctx);
  const ConvShape& s = a.shape;
  const auto [chunk, places, window, weight, windows, z] = workspace<Stored>(ctx, s, a.weight);
  for (std::int64_t first = 0; first < s.n; first += chunk) {
    const std::int64_t images = std::min<std::int64_t>(chunk, s.n - first), rows = images * places;
    unfold(s, images, a.x + first * places * s.in, windows);
    for (std::int64_t row = 0; row < rows; ++row) std::copy_n(a.bias, s.out, z + row * s.out);
    gemm(Op::kNone, Op::kTranspose, rows, s.out, window, Real(1), windows, window, weight, window, Real(1), z,
         s.out);
    finish_forward(a, first, images, z);
  }
}

template <class Real, class Stored>
void conv_products_backward(Context& ctx, const ConvBlockBackward<Real, Stored>& a) {
  ArenaScope scope(ctx);
  const ConvShape& s = a.shape;
  const auto [chunk, places, window, weight, windows, dz] = workspace<Stored>(ctx, s, a.weight);
  for (std::int64_t first = 0; first < s.n; first += chunk) {
    const std::int64_t images = std::min<std::int64_t>(chunk, s.n - first), rows = images * places;
    start_backward(a, first, images, dz);
    add_column_sums(dz, rows, s.out, s.out, a.d_bias);
    unfold(s, images, a.x + first * places * s.in, windows);
    gemm(Op::kTranspose, Op::kNone, s.out, window, rows, Real(1), dz, s.out, windows, window, Real(1),
         a.d_weight, window);
    if (a.dx == nullptr) continue;
    gemm(Op::kNone, Op::kNone, rows, window, s.out, Real(1), dz, s.out, weight, window, Real(0), windows,
         window);
    fold(ctx, s, images, windows, a.dx + first * places * s.in);
  }
}

template void conv_products_forward(Context&, const ConvBlockForward<float>&);
template void conv_products_forward(Context&, const ConvBlockForward<double>&);
template void conv_products_forward(Context&, const ConvBlockForward<float, BFloat16>&);
template void conv_products_backward(Context&, const ConvBlockBackward<float>&);
template void conv_products_backward(Context&, const ConvBlockBackward<double>&);
template void conv_products_backward(Context&, const ConvBlockBackward<float, BFloat16>&);

}  // namespace emer::cpu
