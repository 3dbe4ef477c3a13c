// CPU twin of kernels/clamp.h. Comparisons are written so that a NaN takes the branch that keeps it.
#include "kernels/clamp.h"

namespace emer::cpu {

template <class Real>
void clamp(Context&, const Clamp<Real>& a) {
#pragma omp simd
  for (std::int64_t i = 0; i < a.count; ++i) {
    const Real x = a.x[i];
    a.y[i] = x < a.low ? a.low : (x > a.high ? a.high : x);
  }
}

template <class Real>
void clamp_backward(Context&, const ClampBackward<Real>& a) {
#pragma omp simd
  for (std::int64_t i = 0; i < a.count; ++i) {
    const Real y = a.y[i];
    a.dx[i] = ((y <= a.low) | (y >= a.high)) ? Real(0) : a.dy[i];
  }
}

template void clamp(Context&, const Clamp<float>&);
template void clamp(Context&, const Clamp<double>&);
template void clamp_backward(Context&, const ClampBackward<float>&);
template void clamp_backward(Context&, const ClampBackward<double>&);

}  // namespace emer::cpu
