// kernels/polar_factor.h - T = P H with P orthogonal and H symmetric positive semi-definite.
//
// With T = U D V', P = U V'. P is the gradient of the nuclear norm: d||T||_* / dT = P, and ||T||_* = <P, T>.
// Source: dynamically weighted Halley iterations, Nakatsukasa, Bai, Gygi, SIAM J. Matrix Anal. Appl. 31, 2010:
//   X_0 = T / alpha, alpha >= ||T||_2;   X <- X (a I + b X'X) (I + c X'X)^-1
// with weights a, b, c from a lower bound l of the singular values of X, so that their number does not depend
// on the data: five in float (l_0 = 1e-7), six in double (l_0 = 1e-15), for any T.
// Rank deficiency: singular values above l_0 * alpha (alpha <= m^(1/2) ||T||_2) become 1. Smaller ones grow to
//         something in [0, 1], so that P is then a subgradient of the nuclear norm, though not the one of
//         least norm: exact zeros stay near 0, rounding noise may be raised. ||T||_* is not affected. The
//         zero matrix gives P = 0.
// NaN:    a matrix with an entry that is not finite gives NaN everywhere.
// Order:  fixed; iterations run in double for both scalars.
// CUDA:   14 polynomial steps instead, from l_0 = 1e-7 and alpha = ||T||_F (kernels/cuda/polar_iteration.h): products
//         only, so that it can be recorded in a CUDA graph. What is said of rank deficiency holds.
// Errors: EMER_CHECK on size and null pointers.
#pragma once

#include "core/context.h"

namespace emer {

template <class Real>
struct PolarFactor {
  int m = 0;                       // >= 1
  const Real* matrix = nullptr;    // in   [m, m] row-major
  Real* polar = nullptr;           // out  [m, m] row-major, overwritten; must not alias matrix
  double* nuclear_norm = nullptr;  // out  [1], overwritten; may be null
};

template <class Real>
void polar_factor(Context& ctx, const PolarFactor<Real>& args);

namespace cpu {
template <class Real>
void polar_factor(Context& ctx, const PolarFactor<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void polar_factor(Context& ctx, const PolarFactor<Real>& args);
}  // namespace cuda

}  // namespace emer
