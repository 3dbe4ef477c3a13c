// kernels/cuda/solver_kernels.h - kernels around the solvers of solver.h. For solver.cpp.
#pragma once

#include "kernels/cuda/solver.h"

namespace emer::cuda {

// to[m, m] <- from, or the identity where from holds a NaN or an infinity, on which an iteration may not end;
// *info <- 0 or 1 accordingly. `to` may be `from`.
template <class Real>
void replace_unless_finite(Context& ctx, int m, const Real* from, Real* to, int* info);

}  // namespace emer::cuda
