// kernels/cuda/product_polar.h - nuclear norm of A'B and its gradients; the device's counterpart of
// kernels/cpu/product_polar.h. Both forms of CCA end here. CUDA twins only.
//
//   A'B = U D V',  P = U V':   nuclear = sum D = <P, A'B>,   d/dA = B P',   d/dB = A P
// polar, n >= d: P by kernels/cuda/polar_iteration.h, in double.
// polar, n < d:  the n x n matrix T = La'Lb has the same singular values, where A A' = La La', B B' = Lb Lb' by
//   Cholesky in double, and with P that of T, Q = L^-1 of the view:  d/dA = (Lb P') (La^-1 A),  d/dB = (La P) (Lb^-1 B).
//   A A' may be singular (feature-centred samples always make it so): kernels/cuda/definite.h adds a shift s to its
//   diagonal. ||La^-1 A||_2 <= 1 all the same, a singular value v of A enters as (v^2 + s)^(1/2), and a direction that
//   is lost in one view only adds its s^(1/2), below 1e-6 of ||A||_F, times the other view's.
// svd: of the d x d matrix A'B, in double; singular vectors above min(n, d) * eps of the largest value only, the P of
//   least norm. Cannot be recorded in a CUDA graph: Error(kDevice).
// Of samples that several ranks hold, A'B summed over all ranks is given, and each gets the gradients of its own rows.
// Products with P of float views are float (kernels/cuda/products.h has their precision); all others are double.
// NaN:     an entry that is not finite gives NaN everywhere.
// Scratch, given back, in doubles, at most: n >= d: 2 d^2 + max(3 d^2, 2 n d). n < d: 7 n^2 + 2 n d. svd: 4 d^2 + 2 n d
// and cuSOLVER's. At n = d = 4096: 0.7 GB.
#pragma once

#include "core/context.h"

namespace emer::cuda {

template <class Real>
struct ProductPolar {
  int n = 0;
  int d = 0;
  const Real* a = nullptr;  // in   [n, d] row-major
  const Real* b = nullptr;  // in   [n, d]
  double* product =
      nullptr;  // in   [d, d], A'B of all ranks' rows, destroyed by the svd; null: of these n, formed here
  bool by_svd = false;
  double gradient_scale = 1.0;  // of d_a and d_b
  const int* info =
      nullptr;  // in   [infos], on the device: one that is not 0 makes all results NaN (polar only)
  int infos = 0;
  double* nuclear = nullptr;  // out  [1], on the device, overwritten
  Real* d_a = nullptr;        // out  [n, d], overwritten; must not alias inputs
  Real* d_b = nullptr;        // out  [n, d], overwritten
  Real* polar = nullptr;      // out  [d, d], P, overwritten; may be null; with `product` and not by_svd only
};

template <class Real>
void product_polar(Context& ctx, const ProductPolar<Real>& args);

// product[d, d] <- A'B, summed in double.
template <class Real>
void cross_product(Context& ctx, int n, int d, const Real* a, const Real* b, double* product);

// The singular vectors of a decomposition (kernels/cuda/solver.h) that count: the `wanted` first whose value is above
// tolerance * values[0]. The columns of left[m, m] and the values of the others become 0; *sum <- the values that stay.
void keep_directions(Context& ctx, int m, int wanted, double tolerance, double* left, double* values,
                     double* sum);

}  // namespace emer::cuda
