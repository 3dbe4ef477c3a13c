// kernels/clamp.h - y = min(max(x, low), high), and its gradient.
//
// Kink:   the gradient is 0 where y is low or high, that is outside the open interval.
// NaN:    passes through both ways. Infinite bounds are allowed.
// Errors: EMER_CHECK on !(low < high).
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

template <class Real>
struct Clamp {
  std::int64_t count = 0;
  Real low = 0;
  Real high = 0;
  const Real* x = nullptr;  // in   [count]
  Real* y = nullptr;        // out  [count], overwritten; may be x
};

template <class Real>
struct ClampBackward {
  std::int64_t count = 0;
  Real low = 0;
  Real high = 0;
  const Real* y = nullptr;   // in   [count], clamp's result
  const Real* dy = nullptr;  // in   [count]
  Real* dx = nullptr;        // out  [count], overwritten; may be dy
};

template <class Real>
void clamp(Context& ctx, const Clamp<Real>& args);
template <class Real>
void clamp_backward(Context& ctx, const ClampBackward<Real>& args);

namespace cpu {
template <class Real>
void clamp(Context& ctx, const Clamp<Real>& args);
template <class Real>
void clamp_backward(Context& ctx, const ClampBackward<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void clamp(Context& ctx, const Clamp<Real>& args);
template <class Real>
void clamp_backward(Context& ctx, const ClampBackward<Real>& args);
}  // namespace cuda

}  // namespace emer
