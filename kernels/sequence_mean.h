// kernels/sequence_mean.h - the mean of a sequence's valid vectors, and its gradient.
//
//   y[i,k] = 1/len_i sum_{t < len_i} x[i,t,k];   dx[i,t,k] = dy[i,k] / len_i for t < len_i, else 0
// Vectors past the length are never read.
// NaN:    passes through, within its row and column.
// Order:  over t from 0 up, in double: the same bits on every device.
// Errors: EMER_CHECK on sizes below 1 and null pointers. Lengths, each 1..steps, are trusted.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

template <class Real>
struct SequenceMean {
  int n = 0;
  int steps = 0;
  int width = 0;
  const std::int32_t* lengths = nullptr;  // in   [n]; null: all `steps`
  const Real* x = nullptr;                // in   [n, steps, width]
  Real* y = nullptr;                      // out  [n, width], overwritten
};

template <class Real>
struct SequenceMeanBackward {
  int n = 0;
  int steps = 0;
  int width = 0;
  const std::int32_t* lengths = nullptr;  // in   as in forward
  const Real* dy = nullptr;               // in   [n, width]
  Real* dx = nullptr;                     // out  [n, steps, width], overwritten
};

template <class Real>
void sequence_mean(Context& ctx, const SequenceMean<Real>& args);
template <class Real>
void sequence_mean_backward(Context& ctx, const SequenceMeanBackward<Real>& args);

namespace cpu {
template <class Real>
void sequence_mean(Context& ctx, const SequenceMean<Real>& args);
template <class Real>
void sequence_mean_backward(Context& ctx, const SequenceMeanBackward<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void sequence_mean(Context& ctx, const SequenceMean<Real>& args);
template <class Real>
void sequence_mean_backward(Context& ctx, const SequenceMeanBackward<Real>& args);
}  // namespace cuda

}  // namespace emer
