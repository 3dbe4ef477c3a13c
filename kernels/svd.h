// kernels/svd.h - T = left diag(values) right, square T.
//
// Source: LAPACK gesdd, on CUDA cuSOLVER's gesvd. Signs, and the choice inside repeated values, are LAPACK's: deterministic, not
//         meaningful.
// NaN:    a matrix with an entry that is not finite gives NaN everywhere.
// CUDA:   no convergence gives NaN, too. Cannot be recorded in a CUDA graph.
// Errors: EMER_CHECK on size, null pointers, aliasing; Error(kRunFailed) where LAPACK does not converge;
//         Error(kDevice) while a CUDA graph is recorded.
#pragma once

#include "core/context.h"

namespace emer {

template <class Real>
struct Svd {
  int m = 0;                     // >= 1
  const Real* matrix = nullptr;  // in   [m, m] row-major
  Real* left = nullptr;    // out  [m, m] row-major, COLUMN k is the left vector of values[k], overwritten
  Real* values = nullptr;  // out  [m] descending, >= 0, overwritten
  Real* right = nullptr;   // out  [m, m] row-major, ROW k is the right vector of values[k], overwritten
};

template <class Real>
void svd(Context& ctx, const Svd<Real>& args);

namespace cpu {
template <class Real>
void svd(Context& ctx, const Svd<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void svd(Context& ctx, const Svd<Real>& args);
}  // namespace cuda

}  // namespace emer
