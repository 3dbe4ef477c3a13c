// kernels/cca_exact.h - deep CCA without learned projections: minus the sum of the canonical correlations.
//
//   S11 = F1'F1/(n-1) + rI, S22 likewise, S12 = F1'F2/(n-1),  T = S11^-1/2 S12 S22^-1/2 = U D V'
//   loss = -scale * sum D    (or of the k largest)
// Source: method.md 3.2(b); Andrew, Arora, Bilmes, Livescu, Deep canonical correlation analysis, ICML 2013.
//   eigen  S^-1/2 by eigendecomposition, svd of T:  dcorr/dS12 = S11^-1/2 U V' S22^-1/2,
//          dcorr/dS11 = -1/2 S11^-1/2 U D U' S11^-1/2, S22 likewise with V.
//   polar  S = L L' (Cholesky), A = F1 L1^-T (n-1)^-1/2, B likewise, P = polar factor of A'B:
//          dcorr/dF1 = (B P' - A A' B P') L1^-1 (n-1)^-1/2,  F2 likewise. No eigendecomposition. Where
//          rounding has made S indefinite, the eigen route is taken.
// Kink:   singular values of zero as in kernels/cca_projection.h.
// n <= d: defined thanks to the ridge, but all sample correlations tend to 1 and the gradient says little.
// NaN:    an input that is not finite gives a NaN loss and NaN gradients.
// Order:  fixed. Everything runs in double for both scalars: S is inverted, and its condition number may be
//         anything up to the largest variance over the ridge.
// CUDA:   products in double (there are tensor cores for them), kernels/cuda/product_polar.h for P. There is no second
//         route to fall back on without asking the device: instead the ridge is at least the bound of what rounding can
//         do to S, 2 (n + d + 2) 2^-53 trace(S) (kernels/cuda/definite.h), so that the factorisation does not break
//         down. That changes nothing below a trace of r / (2 (n + d + 2) 2^-53), 4e8 at r = 1e-4, n = d = 512. The
//         eigen route cannot be recorded in a CUDA graph, and gives NaN where it does not converge. Scratch, in
//         doubles: polar 4 n d + 2 d^2 and the polar factor's; at n = d = 4096 1.5 GB.
// Batch:  couples samples. Of several ranks each gives its rows of the global batch (core/shard.h) and gets the gradients
//         of its rows and the loss of the global batch, the same bits on every rank. Exchanged: column sums before and
//         after (feature centring), S11, S22 and, by the eigen route, S12 in one all-reduce, A'B (polar); below 2 d
//         rows only the rows themselves, and every rank does what one would (kernels/batch_rows.h).
// Errors: Error(kRunFailed) where n < 2 or LAPACK does not converge; EMER_CHECK on sizes, null pointers,
//         ridge; Error(kDevice) for the eigen route while a CUDA graph is recorded.
#pragma once

#include "core/context.h"
#include "kernels/covariance.h"

namespace emer {

enum class CcaRoute { kPolar, kEigen };

template <class Real>
struct CcaExact {
  int n = 0;                 // samples of this rank; of all ranks >= 2
  int total = 0;             // samples of all ranks; 0: n are all there are, and nothing is exchanged
  int d = 0;                 // >= 1
  const Real* x1 = nullptr;  // in   [n, d] row-major
  const Real* x2 = nullptr;  // in   [n, d]
  Real* d_x1 = nullptr;      // out  [n, d], OVERWRITTEN; must not alias inputs
  Real* d_x2 = nullptr;      // out  [n, d], OVERWRITTEN
  Centring centring = Centring::kFeature;
  CcaRoute route = CcaRoute::kPolar;
  int directions = 0;            // the k largest correlations, 0 = all; k > 0 takes the eigen route
  double ridge = 1e-4;           // > 0
  double scale = 1.0;            // of loss and gradients
  double gradient_weight = 1.0;  // of the gradients only
  double* loss = nullptr;        // out  [1], overwritten
};

template <class Real>
void cca_exact(Context& ctx, const CcaExact<Real>& args);

namespace cpu {
template <class Real>
void cca_exact(Context& ctx, const CcaExact<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void cca_exact(Context& ctx, const CcaExact<Real>& args);
}  // namespace cuda

}  // namespace emer
