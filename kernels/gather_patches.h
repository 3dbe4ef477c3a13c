// kernels/gather_patches.h - a padded batch of songs' patches out of a packed table.
//
// With s = rows[first + i], L = offset[s + 1] - offset[s] and first = scalars->first, or 0:
//   out_lengths[i] = min(L, steps)
//   out[i, t, 0..width) = table[offset[s] + begin_i + t, 0..width)  for t < out_lengths[i], else 0
//   begin_i = 0, or, where `random`, uniform on 0 .. max(0, L - steps): floor(w (L - steps + 1) / 2^32) with w the first
//     word of philox(seed, stream, step * 2^32 + s): a function of seed, step and song, not of the song's place in the
//     batch. step = scalars->dropout_step where scalars are given.
// Nothing is checked on the device: rows must be inside the table, every L >= 1.
// Source: plain copying; float values are exact in float and in double.
// Errors: EMER_CHECK on sizes and null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"
#include "kernels/step_scalars.h"

namespace emer {

template <class Real>
struct GatherPatches {
  int n = 0;                             // songs to gather, >= 1
  int steps = 0;                         // patches a song has room for, >= 1
  int width = 0;                         // of a patch, >= 1
  const float* table = nullptr;          // in   [patches, width]
  const std::int64_t* offset = nullptr;  // in   [songs + 1]
  const std::int64_t* rows = nullptr;    // in   [first + n], songs of the table
  const StepScalars* scalars = nullptr;  // in   [1]; null: first = 0, and `step`
  bool random = false;                   // of longer songs, a random stretch instead of the beginning
  std::uint64_t seed = 0;
  std::uint64_t stream = 7ull << 32;    // beside those of core/random.h
  std::uint64_t step = 0;               // training step, below 2^32
  Real* out = nullptr;                  // out  [n, steps, width], overwritten
  std::int32_t* out_lengths = nullptr;  // out  [n], overwritten
};

template <class Real>
void gather_patches(Context& ctx, const GatherPatches<Real>& args);

namespace cpu {
template <class Real>
void gather_patches(Context& ctx, const GatherPatches<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void gather_patches(Context& ctx, const GatherPatches<Real>& args);
}  // namespace cuda

}  // namespace emer
