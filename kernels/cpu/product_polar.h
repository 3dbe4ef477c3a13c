// kernels/cpu/product_polar.h - nuclear norm of A'B, and its gradients, without forming A'B where that is
// larger than its factors. Both forms of CCA end here.
//
//   A'B = U D V',  P = U V':   nuclear = sum D = <P, A'B>,   d/dA = B P',   d/dB = A P
// n < d: A' = Q1 R1, B' = Q2 R2, and the n x n matrix R1 R2' has the same singular values;
//   B P' = (Q1 P_n R2)'.
// Of samples that several ranks hold, A'B summed over all ranks is given, and each gets the gradients of its own rows.
#pragma once

#include "core/context.h"

namespace emer::cpu {

template <class Real>
struct ProductPolar {
  int n = 0;
  int d = 0;
  const Real* a = nullptr;        // in   [n, d] row-major
  const Real* b = nullptr;        // in   [n, d]
  const Real* product = nullptr;  // in   [d, d], A'B of all ranks' rows; null: of these n, formed here
  bool by_svd = false;  // false: kernels/polar_factor.h and what it says of rank deficiency. true: singular
                        // vectors above m * eps of the largest value only, the P of least norm
  int directions = 0;   // by_svd: the k largest singular values only; 0 = all
  double* nuclear = nullptr;  // out  [1], overwritten
  Real* d_a = nullptr;        // out  [n, d], overwritten
  Real* d_b = nullptr;        // out  [n, d], overwritten
  Real* polar = nullptr;      // out  [d, d], P, overwritten; may be null; with `product` only
};

template <class Real>
void product_polar(Context& ctx, const ProductPolar<Real>& args);

}  // namespace emer::cpu
