// kernels/moving_average.h - exponential moving average of the weights.
//
//   average <- decay * average + (1 - decay) * x
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

template <class Real>
struct MovingAverage {
  std::int64_t count = 0;   // >= 0
  double decay = 0.999;     // [0, 1); 1 - decay is taken in double
  const Real* x = nullptr;  // in     [count]
  Real* average = nullptr;  // inout  [count], must not alias x
};

template <class Real>
void moving_average(Context& ctx, const MovingAverage<Real>& args);

namespace cpu {
template <class Real>
void moving_average(Context& ctx, const MovingAverage<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void moving_average(Context& ctx, const MovingAverage<Real>& args);
}  // namespace cuda

}  // namespace emer
