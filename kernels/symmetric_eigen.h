// kernels/symmetric_eigen.h - S = sum_k values_k q_k q_k', all eigenvalues and orthonormal eigenvectors.
//
// Source: LAPACK syevd (divide and conquer), on CUDA cuSOLVER's. Signs of eigenvectors, and their choice inside a repeated
//         eigenvalue, are LAPACK's: deterministic, not meaningful.
// NaN:    a matrix with an entry that is not finite gives NaN everywhere.
// CUDA:   no convergence gives NaN, too. Cannot be recorded in a CUDA graph.
// Errors: EMER_CHECK on size and null pointers; Error(kRunFailed) where LAPACK does not converge;
//         Error(kDevice) while a CUDA graph is recorded.
#pragma once

#include "core/context.h"

namespace emer {

template <class Real>
struct SymmetricEigen {
  int m = 0;                     // >= 1
  const Real* matrix = nullptr;  // in   [m, m], symmetric; one triangle is read
  Real* values = nullptr;        // out  [m] ascending, overwritten
  Real* vectors = nullptr;  // out  [m, m] row-major, row k belongs to values[k], overwritten; may be matrix
};

template <class Real>
void symmetric_eigen(Context& ctx, const SymmetricEigen<Real>& args);

namespace cpu {
template <class Real>
void symmetric_eigen(Context& ctx, const SymmetricEigen<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void symmetric_eigen(Context& ctx, const SymmetricEigen<Real>& args);
}  // namespace cuda

}  // namespace emer
