// kernels/sum_squares.h - for the 2-norm of all gradients.
//
//   total <- total + sum_i x_i^2
// Order: chunks of 16384 elements are summed in double, then added in order, whatever the number of threads; on CUDA
//        chunks of kSumSquaresChunk, each by a block's tree, then their sums by a tree of one block.
// NaN: a NaN in x gives a NaN total.   Batch: sums what this rank holds; nothing is exchanged.
// Errors: EMER_CHECK on a negative count and null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

inline constexpr int kSumSquaresChunk = 4096;  // elements that one block sums on CUDA

template <class Real>
struct SumSquares {
  std::int64_t count = 0;   // >= 0
  const Real* x = nullptr;  // in     [count]
  double* total = nullptr;  // inout  [1], device, ACCUMULATED
};

template <class Real>
void sum_squares(Context& ctx, const SumSquares<Real>& args);

namespace cpu {
template <class Real>
void sum_squares(Context& ctx, const SumSquares<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void sum_squares(Context& ctx, const SumSquares<Real>& args);
}  // namespace cuda

}  // namespace emer
