// kernels/dropout.h - inverted dropout whose mask is a pure function of a key; no mask is stored.
//
//   y_i = x_i / (1 - p)  where element i is kept, 0 where it is dropped
//   element i is dropped where unit_float(word[i mod 4]) < p, the word being of the block
//     philox(seed, stream, index),   index = step * 2^32 + floor(i / 4)
//   stream = dropout_stream(view, layer)
// i = first + the element's place in this array, row-major: an array of some rows of a batch is dropped as those rows
// of the whole batch are, whoever holds them. unit_float takes 24 bits, so the comparison is
// exact and every device draws the same mask; the same key after a resume draws the same mask again. The
// derivative has the form of the op itself: backward is dropout() of dy under the same key.
// NaN:    passes through where kept.
// Errors: EMER_CHECK on p outside [0, 1), first or count < 0, first + count >= 2^34, step >= 2^32.
#pragma once

#include <cstdint>

#include "core/context.h"
#include "core/random.h"
#include "kernels/step_scalars.h"

namespace emer {

// view < 2^8, layer < 2^16.
inline constexpr std::uint64_t dropout_stream(std::uint64_t view, std::uint64_t layer) {
  return streams::kDropout + (view << 16) + layer;
}

template <class Real>
struct Dropout {
  std::int64_t count = 0;
  std::int64_t first = 0;  // of the batch's elements, the one that x begins with
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;  // from dropout_stream()
  std::uint64_t step = 0;    // training step
  // In device memory, or null. Where given, its dropout_step, below 2^32, takes the place of `step`.
  const StepScalars* scalars = nullptr;
  float p = 0.0f;           // probability of dropping; 0 copies
  const Real* x = nullptr;  // in   [count]
  Real* y = nullptr;        // out  [count], overwritten; may be x
};

template <class Real>
void dropout(Context& ctx, const Dropout<Real>& args);

namespace cpu {
template <class Real>
void dropout(Context& ctx, const Dropout<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void dropout(Context& ctx, const Dropout<Real>& args);
}  // namespace cuda

}  // namespace emer
