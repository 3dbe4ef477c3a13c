// kernels/cca_projection.h - CCA with learned projections: value, gradients to both views and projections.
//
//   F1, F2 = centred views (kernels/covariance.h),  S11, S22 with ridge r, S12 = F1'F2/(n-1),  T = W1' S12 W2
//   R_v  = I - W_v' S_vv W_v
//   loss = scale * ( -corr(T) + penalty )
//     corr     nuclear: sum of singular values;   row_norm: sum over rows of their 2-norms (released code)
//     penalty  separate: 1/2 sum |R_1| + 1/2 sum |R_2|;   summed: 1/2 sum |R_1 + R_2| (released code)
// Source: method.md 3.2(a), EMER-CL src/loss.py. Computed from A = F1 W1, B = F2 W2 (n x d), with
//   W'SW = A'A/(n-1) + r W'W: fewer operations than the d x d chain where n < d (performance: one product of
//   n d^2 per view instead of two of d^3).
// Kink:   sign(0) = 0 in the penalty; gradient 0 at a zero row (row_norm). Nuclear norm at singular values of
//         zero: svd takes U V' over the singular vectors above min(n, d) * eps of the largest value, the
//         subgradient of least norm; polar as kernels/polar_factor.h says. Directions lost by n < d do not
//         matter to either: the gradients are B P' and A P, which P's part outside A and B does not reach.
// NaN:    a NaN in an input gives a NaN loss.
// Order:  fixed; sums outside products in double.
// Batch:  couples samples. Of several ranks each gives its rows of the global batch (core/shard.h) and gets the gradients
//         of its rows, its share of dL/dW (their sum over ranks is the gradient; the ridge is in rank 0's) and the loss
//         of the global batch, the same bits on every rank. Exchanged: column sums before and after (feature centring);
//         A'B, A'A, B'B in one all-reduce, or, below 2 d rows, the rows of A and B (kernels/batch_rows.h).
// CUDA:   products as ctx.precision() says, kBf16 meaning kTf32: a covariance does not survive operands of 8 bits.
//         Polar factor in double (kernels/cuda/product_polar.h). The svd cannot be recorded in a CUDA graph, and gives
//         NaN where it does not converge. Scratch: 6 n d + 3 d^2 floats and the polar factor's; at n = d = 4096 0.6
//         and 0.7 GB.
// Errors: Error(kRunFailed) where n < 2; EMER_CHECK on sizes, null pointers, ridge; Error(kRunFailed) where
//         LAPACK does not converge; Error(kDevice) for the svd while a CUDA graph is recorded.
#pragma once

#include "core/context.h"
#include "kernels/covariance.h"

namespace emer {

enum class Correlation { kNuclear, kRowNorm };
enum class PolarSolver { kPolar, kSvd };

// One view; all row-major on the context's device. Gradients must not alias inputs.
template <class Real>
struct ProjectedView {
  const Real* x = nullptr;           // in   [n, d]
  const Real* projection = nullptr;  // in   [d, d], W: projected sample = W' x
  Real* d_x = nullptr;               // out  [n, d], OVERWRITTEN
  Real* d_projection = nullptr;      // out  [d, d], ACCUMULATED: this rank's share
};

template <class Real>
struct CcaProjection {
  int n = 0;      // samples of this rank; of all ranks >= 2
  int total = 0;  // samples of all ranks; 0: n are all there are, and nothing is exchanged
  int d = 0;      // >= 1
  ProjectedView<Real> first;
  ProjectedView<Real> second;
  Centring centring = Centring::kFeature;
  Correlation correlation = Correlation::kNuclear;
  bool penalty_summed = false;
  PolarSolver solver = PolarSolver::kPolar;
  double ridge = 1e-4;           // > 0
  double scale = 1.0;            // of loss and gradients
  double gradient_weight = 1.0;  // of the gradients only
  double* loss = nullptr;        // out  [1], overwritten
};

template <class Real>
void cca_projection(Context& ctx, const CcaProjection<Real>& args);

namespace cpu {
template <class Real>
void cca_projection(Context& ctx, const CcaProjection<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void cca_projection(Context& ctx, const CcaProjection<Real>& args);
}  // namespace cuda

}  // namespace emer
