// kernels/cuda/polar_iteration.h - polar factors on the device; kernels/polar_factor.h and product_polar.h end here.
// CUDA twins only.
//
// Only products in double and element-wise kernels, a fixed sequence of them: nothing waits for the device, nothing is
// decided on the host, no solver is called, so that all of it can be recorded in a CUDA graph. 14 steps of three
// products (kernels/cuda/polar_steps.h), 84 m^3 operations: more than the Halley iterations of the CPU twin (17 m^3),
// whose Cholesky factorisations and triangular solves are chains of short dependent steps, where products fill a GPU.
// Accuracy: X0 = T / ||T||_F. The singular vectors P is made of are those of T with an error of a few m * 2^-53 *
// ||T||_F; singular values of P are 1 to rounding where T's are above 1e-7 ||T||_F.
// Scratch: 3 m^2 doubles, given back (400 MB at m = 4096).
#pragma once

#include "core/context.h"

namespace emer::cuda {

// P[m, m] of T[m, m] and <P, T>, rounded to Out. NaN in both outputs where an entry of T is not finite, or where one
// of info[infos], on the device, is not 0. T = 0 gives P = 0.
template <class In, class Out>
void polar_iteration(Context& ctx, int m, const In* t, const int* info, int infos, Out* p,
                     double* nuclear_norm);

}  // namespace emer::cuda
