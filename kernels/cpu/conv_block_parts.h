// kernels/cpu/conv_block_parts.h - what lies around the convolutions of the CPU's conv block: ReLU, pool, and the way
// of the gradient back through both. Every loop runs over the channels of one place.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/parallel.h"
#include "kernels/conv_block.h"

namespace emer::cpu {

template <class Real, class Stored>
Real load(Stored value) {
  if constexpr (std::is_same_v<Stored, BFloat16>)
    return to_float(value);
  else
    return value;
}
template <class Stored, class Real>
Stored store(Real value) {
  if constexpr (std::is_same_v<Stored, BFloat16>)
    return to_bfloat16(value);
  else
    return value;
}

// Rows of images a chunk of element-wise work takes: some 10 us, below which waking threads costs more than it saves.
inline std::int64_t row_grain(std::int64_t elements_per_row) {
  return 1 + (1 << 15) / elements_per_row;
}

// y = max(0, z) for count values. z may be y.
template <class Real, class Stored>
void relu(std::int64_t count, const Real* z, Stored* y) {
  parallel_for(count, 1 << 15, [&](std::int64_t begin, std::int64_t end) {
  // Not max(0, z): that would swallow a NaN.
#pragma omp simd
    for (std::int64_t k = begin; k < end; ++k) y[k] = store<Stored>(z[k] <= Real(0) ? Real(0) : z[k]);
  });
}

// z of `images` images of the shape to y and, where not null, argmax.
template <class Real, class Stored>
void relu_pool(const ConvShape& shape, std::int64_t images, const Real* z, Stored* y, std::uint8_t* argmax) {
  const std::int64_t out = shape.out, columns = shape.out_width(), line = shape.width * out;
  parallel_for(images * shape.out_height(), row_grain(2 * line), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t j = 0; j < columns; ++j) {
        const Real* z00 = z + 2 * row * line + 2 * j * out;
        const Real *z01 = z00 + out, *z10 = z00 + line, *z11 = z10 + out;
        const std::int64_t to = (row * columns + j) * out;
        Stored* y_to = y + to;
        // A later place takes over where it is larger or the first NaN. Where nothing is above 0, every place of max(0,
        // z) is a maximum and the first one counts.
        const auto best_of = [](Real v0, Real v1, Real v2, Real v3, int& place) {
          Real best = v0;
          place = 0;
          const auto meet = [&](Real v, int k) {
            const bool take = !(v <= best) & (best == best);
            best = take ? v : best;
            place = take ? k : place;
          };
          meet(v1, 1);
          meet(v2, 2);
          meet(v3, 3);
          const bool off = best <= Real(0);
          place = off ? 0 : place;
          return off ? Real(0) : best;
        };
        if (argmax != nullptr) {
          std::uint8_t* place_to = argmax + to;
#pragma omp simd
          for (std::int64_t o = 0; o < out; ++o) {
            int place;
            y_to[o] = store<Stored>(best_of(z00[o], z01[o], z10[o], z11[o], place));
            place_to[o] = static_cast<std::uint8_t>(place);
          }
        } else {
#pragma omp simd
          for (std::int64_t o = 0; o < out; ++o) {
            int place;
            y_to[o] = store<Stored>(best_of(z00[o], z01[o], z10[o], z11[o], place));
          }
        }
      }
  });
}

// dz of `images` images from dy, y and, with the pool, argmax.
template <class Real, class Stored>
void relu_pool_backward(const ConvShape& shape, std::int64_t images, const Stored* y,
                        const std::uint8_t* argmax, const Stored* dy, Real* dz) {
  const std::int64_t out = shape.out, line = shape.width * out;
  if (!shape.pool) {
    parallel_for(images * shape.height, row_grain(line), [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
      for (std::int64_t k = begin * line; k < end * line; ++k)
        dz[k] = load<Real>(y[k]) <= Real(0) ? Real(0) : load<Real>(dy[k]);
    });
    return;
  }
  const std::int64_t columns = shape.out_width();
  parallel_for(images * shape.out_height(), row_grain(2 * line), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t j = 0; j < columns; ++j) {
        const std::int64_t from = (row * columns + j) * out;
        const Stored *y_from = y + from, *dy_from = dy + from;
        const std::uint8_t* place = argmax + from;
        Real* d00 = dz + 2 * row * line + 2 * j * out;
        Real *d01 = d00 + out, *d10 = d00 + line, *d11 = d10 + out;
#pragma omp simd
        for (std::int64_t o = 0; o < out; ++o) {
          const Real d = load<Real>(y_from[o]) <= Real(0) ? Real(0) : load<Real>(dy_from[o]);
          const int k = place[o];
          d00[o] = k == 0 ? d : Real(0);
          d01[o] = k == 1 ? d : Real(0);
          d10[o] = k == 2 ? d : Real(0);
          d11[o] = k == 3 ? d : Real(0);
        }
      }
  });
}

// From z of `images` images to y, starting at image `first` of the arguments.
template <class Real, class Stored>
void finish_forward(const ConvBlockForward<Real, Stored>& a, std::int64_t first, std::int64_t images,
                    const Real* z) {
  const ConvShape& s = a.shape;
  const std::int64_t size = std::int64_t{s.out_height()} * s.out_width() * s.out;
  if (s.pool)
    relu_pool(s, images, z, a.y + first * size, a.argmax == nullptr ? nullptr : a.argmax + first * size);
  else
    relu(images * size, z, a.y + first * size);
}
template <class Real, class Stored>
void start_backward(const ConvBlockBackward<Real, Stored>& a, std::int64_t first, std::int64_t images,
                    Real* dz) {
  const ConvShape& s = a.shape;
  const std::int64_t at = first * s.out_height() * s.out_width() * s.out;
  relu_pool_backward(s, images, a.y + at, a.argmax == nullptr ? nullptr : a.argmax + at, a.dy + at, dz);
}

}  // namespace emer::cpu
