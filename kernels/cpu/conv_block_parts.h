// kernels/cpu/conv_block_parts.h - what lies around the convolutions of the CPU's conv block: ReLU, pool, and the way
// of the gradient back through both. Every loop runs over the channels of one place.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
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

// max(0, z) at its first maximum. What is not negative is ordered as its bits are, NaN above all: compared as whole
// numbers, for which GCC, unlike for chains of floating-point comparisons, makes vector code.
template <class Real>
struct PoolMaximum {
  using Bits = std::conditional_t<sizeof(Real) == 4, std::int32_t, std::int64_t>;
  static Bits bits_of(Real z) {
    return std::bit_cast<Bits>(z <= Real(0) ? Real(0) : z) & std::numeric_limits<Bits>::max();
  }
  Real value;
  Bits place;

  PoolMaximum(Real z0, Real z1, Real z2, Real z3) {
    const Bits b0 = bits_of(z0), b1 = bits_of(z1), b2 = bits_of(z2), b3 = bits_of(z3);
    const Bits first = b1 > b0 ? b1 : b0, second = b3 > b2 ? b3 : b2;
    place = second > first ? (b3 > b2 ? 3 : 2) : (b1 > b0 ? 1 : 0);
    value = std::bit_cast<Real>(second > first ? second : first);
  }
};

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
        if (argmax != nullptr) {
          std::uint8_t* place_to = argmax + to;
#pragma omp simd
          for (std::int64_t o = 0; o < out; ++o) {
            const PoolMaximum<Real> best(z00[o], z01[o], z10[o], z11[o]);
            y_to[o] = store<Stored>(best.value);
            place_to[o] = static_cast<std::uint8_t>(best.place);
          }
        } else {
#pragma omp simd
          for (std::int64_t o = 0; o < out; ++o)
            y_to[o] = store<Stored>(PoolMaximum<Real>(z00[o], z01[o], z10[o], z11[o]).value);
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
    parallel_for(images * shape.height * line, 1 << 15, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
      for (std::int64_t k = begin; k < end; ++k) {
        const Real value = load<Real>(y[k]), d = load<Real>(dy[k]);
        dz[k] = value <= Real(0) ? Real(0) : d;
      }
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
          const Real value = load<Real>(y_from[o]), d_value = load<Real>(dy_from[o]);
          const Real d = value <= Real(0) ? Real(0) : d_value;
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
