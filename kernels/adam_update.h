// kernels/adam_update.h - one Adam step over a flat array.
//
//   g <- gradient_scale * g
//   m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2
//   x <- x - lr * weight_decay * x                                                  (decoupled decay, AdamW)
//   lr is learning_rate * rate_scale
//   kTensorFlow   x <- x - lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)
//   kUsual        x <- x - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
// Source: Kingma and Ba, ICLR 2015, section 2 (kTensorFlow) and algorithm 1 (kUsual); Loshchilov and Hutter,
//         ICLR 2019. The two differ in what eps is added to. The corrections are computed in double.
// Errors: EMER_CHECK on t < 1, b1 or b2 outside [0, 1), negative eps, null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"
#include "kernels/step_scalars.h"

namespace emer {

enum class AdamForm { kTensorFlow, kUsual };

template <class Real>
struct AdamUpdate {
  std::int64_t count = 0;
  std::int64_t t = 0;  // this step's number, the first is 1
  AdamForm form = AdamForm::kTensorFlow;
  double learning_rate = 1e-5;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;    // 0 for Adam
  double gradient_scale = 1.0;  // of clipping by norm
  double rate_scale = 1.0;      // multiplies the learning rate, the scalars' too
  // In device memory, or null. Where given, its learning_rate, corrections and gradient_scale take the place of t and
  // of the fields here, and nothing is written where it says halted.
  const StepScalars* scalars = nullptr;
  const Real* gradient = nullptr;  // in     [count]
  Real* value = nullptr;           // inout  [count], x
  Real* m = nullptr;               // inout  [count], zero before the first step
  Real* v = nullptr;               // inout  [count], zero before the first step
};

template <class Real>
void adam_update(Context& ctx, const AdamUpdate<Real>& args);

namespace cpu {
template <class Real>
void adam_update(Context& ctx, const AdamUpdate<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void adam_update(Context& ctx, const AdamUpdate<Real>& args);
}  // namespace cuda

}  // namespace emer
