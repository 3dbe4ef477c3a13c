// kernels/linear.h - dense layer, optionally with an activation behind it.
//
//   forward    z_ij = sum_k x_ik W_jk + b_j,   y = z,  ln(1 + e^z) (softplus)  or  max(0, z) (relu)
//   backward   g = dy,  dy * (1 - e^-y)  or  dy * [y > 0]     (the derivative, from the output)
//              dW_jk += sum_i g_ij x_ik,   db_j += sum_i g_ij,   dx_ik = sum_j g_ij W_jk
// Source: method.md section 2.
// NaN:    passes through.
// Kink:   relu has slope 0 at 0.
// Order:  fixed on one machine and number of threads (the products are OpenBLAS's or cuBLASLt's). On CUDA the products
//         are of ctx.precision(), db is summed in double.
// Batch:  rows are independent in forward and dx; dW and db are sums over this rank's rows.
// Errors: EMER_CHECK on sizes below 1 and null pointers.
#pragma once

#include "core/context.h"

namespace emer {

enum class Activation { kSoftplus, kRelu, kNone };

// All matrices row-major without gaps. Nothing may alias an output.
template <class Real>
struct LinearForward {
  int n = 0;                     // rows, >= 1
  int in = 0;                    // >= 1
  int out = 0;                   // >= 1
  const Real* x = nullptr;       // in   [n, in]
  const Real* weight = nullptr;  // in   [out, in]
  const Real* bias = nullptr;    // in   [out]
  Activation activation = Activation::kNone;
  Real* y = nullptr;  // out  [n, out], overwritten
};

template <class Real>
struct LinearBackward {
  int n = 0;
  int in = 0;
  int out = 0;
  const Real* x = nullptr;                    // in   [n, in], as in forward
  const Real* weight = nullptr;               // in   [out, in]; may be null where dx is
  Activation activation = Activation::kNone;  // as in forward
  const Real* y = nullptr;                    // in   [n, out], forward's y; may be null with kNone
  const Real* dy = nullptr;                   // in   [n, out]
  Real* d_weight = nullptr;                   // out  [out, in], accumulated
  Real* d_bias = nullptr;                     // out  [out], accumulated
  Real* dx = nullptr;                         // out  [n, in]; null where the input needs no gradient
  bool accumulate_dx =
      false;  // false: dx is overwritten; true: added to (several layers that share an input)
};

template <class Real>
void linear_forward(Context& ctx, const LinearForward<Real>& args);
template <class Real>
void linear_backward(Context& ctx, const LinearBackward<Real>& args);

namespace cpu {
template <class Real>
void linear_forward(Context& ctx, const LinearForward<Real>& args);
template <class Real>
void linear_backward(Context& ctx, const LinearBackward<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void linear_forward(Context& ctx, const LinearForward<Real>& args);
template <class Real>
void linear_backward(Context& ctx, const LinearBackward<Real>& args);
}  // namespace cuda

}  // namespace emer
