// kernels/sum_squares_all.h - the squared 2-norm of all gradients of a list.
//
//   total = sum over arrays, sum_i gradient_i^2
// Order: array after array as kernels/sum_squares.h on the CPU; on CUDA chunks of kAdamChunk, each by a block's tree in
//        double, then their sums by a tree of one block.
// NaN: a NaN in a gradient gives a NaN total.   Batch: sums what this rank holds; nothing is exchanged.
// Errors: EMER_CHECK on a null total.
#pragma once

#include "core/context.h"
#include "kernels/adam_list.h"

namespace emer {

template <class Real>
struct SumSquaresAll {
  AdamList<Real> list;      // in, of an AdamTable
  double* total = nullptr;  // out  [1], device, overwritten
};

template <class Real>
void sum_squares_all(Context& ctx, const SumSquaresAll<Real>& args);

namespace cpu {
template <class Real>
void sum_squares_all(Context& ctx, const SumSquaresAll<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void sum_squares_all(Context& ctx, const SumSquaresAll<Real>& args);
}  // namespace cuda

}  // namespace emer
