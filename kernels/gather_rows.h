// kernels/gather_rows.h - the rows of a batch out of a table of songs.
//
//   out[i, 0..used)  = table[rows[first + i], 0..used)
//   out_lengths[i]   = lengths[rows[first + i]]
// with first = scalars->first, or 0. Nothing is checked on the device: rows must be inside the table.
// Source: plain copying; float values are exact in float and in double.
// Errors: EMER_CHECK on sizes and null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"
#include "kernels/step_scalars.h"

namespace emer {

template <class Real>
struct GatherRows {
  int n = 0;                              // rows to gather, >= 1
  std::int64_t stored = 0;                // floats from one row of the table to the next
  std::int64_t used = 0;                  // floats taken of each, 1..stored
  const float* table = nullptr;           // in   [songs, stored]
  const std::int32_t* lengths = nullptr;  // in   [songs]; null where out_lengths is
  const std::int64_t* rows = nullptr;     // in   [first + n], songs of the table
  const StepScalars* scalars = nullptr;   // in   [1]; null: first = 0
  Real* out = nullptr;                    // out  [n, used], overwritten
  std::int32_t* out_lengths = nullptr;    // out  [n], overwritten; may be null
};

template <class Real>
void gather_rows(Context& ctx, const GatherRows<Real>& args);

namespace cpu {
template <class Real>
void gather_rows(Context& ctx, const GatherRows<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void gather_rows(Context& ctx, const GatherRows<Real>& args);
}  // namespace cuda

}  // namespace emer
