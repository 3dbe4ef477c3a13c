// kernels/cuda/definite.h - Gram matrices made safe for Cholesky. CUDA twins only.
#pragma once

#include "core/context.h"

namespace emer::cuda {

// Each of `count` matrices G[m, m], one behind the other, G = B'B of `depth` terms summed in double: adds to the
// diagonal
//   shift = max(least, 2 (depth + m + 2) 2^-53 trace(G), 2^-900),
// for which the Cholesky factorisation in double of what is left cannot break down on finite numbers: the product is
// off by at most depth 2^-53 trace(G) in the Frobenius norm, the factorisation by (m + 1) 2^-53 times the trace of what
// it factorises (Higham, Accuracy and Stability of Numerical Algorithms, 3.5 and 10.3). A NaN stays.
void shift_to_definite(Context& ctx, int count, int m, int depth, double least, double* matrices);

}  // namespace emer::cuda
