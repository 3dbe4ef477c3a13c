// kernels/mask_steps.h - sequences with everything behind their ends cleared.
//
//   y[i,t,:] = x[i,t,:] for t < lengths[i], 0 for the other t        (NaN behind the end too becomes 0)
// Nothing is checked on the device: a length above `steps` counts as `steps`.
// NaN:    passes through before the end.
// Errors: EMER_CHECK on sizes below 1 and null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

template <class Real>
struct MaskSteps {
  int n = 0;                              // sequences, >= 1
  int steps = 0;                          // >= 1
  int width = 0;                          // >= 1
  const std::int32_t* lengths = nullptr;  // in   [n]
  const Real* x = nullptr;                // in   [n, steps, width]
  Real* y = nullptr;                      // out  [n, steps, width], overwritten; may be x
};

template <class Real>
void mask_steps(Context& ctx, const MaskSteps<Real>& args);

namespace cpu {
template <class Real>
void mask_steps(Context& ctx, const MaskSteps<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void mask_steps(Context& ctx, const MaskSteps<Real>& args);
}  // namespace cuda

}  // namespace emer
