// kernels/adam_update_all.h - one Adam step over all arrays of a model, their moving averages and the clearing of their
// gradients in the same pass: one launch on CUDA.
//
//   x, m, v   as kernels/adam_update.h, with weight decay 0 for arrays that do not decay and each array's rate_scale
//   average <- average_decay * average + (1 - average_decay) * x    where an array keeps one, with the new x
//   gradient <- 0                                                   where zero_gradients
// NaN:    passes through.
// Order:  elements are independent: the same bits as adam_update and moving_average array by array.
// Errors: EMER_CHECK on t < 1, betas or average_decay outside [0, 1), negative eps.
#pragma once

#include <cstdint>

#include "core/context.h"
#include "kernels/adam_list.h"
#include "kernels/adam_update.h"

namespace emer {

template <class Real>
struct AdamUpdateAll {
  AdamList<Real> list;  // of an AdamTable; value, m, v, average and, where zero_gradients, gradient are inout
  std::int64_t t = 0;   // this step's number, the first is 1
  AdamForm form = AdamForm::kTensorFlow;
  double learning_rate = 1e-5;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;  // of the arrays that decay
  double gradient_scale = 1.0;
  double average_decay = 0.0;
  bool zero_gradients = false;
  // In device memory, or null: as in kernels/adam_update.h. Halted, averages and gradients are left alone too.
  const StepScalars* scalars = nullptr;
};

template <class Real>
void adam_update_all(Context& ctx, const AdamUpdateAll<Real>& args);

namespace cpu {
template <class Real>
void adam_update_all(Context& ctx, const AdamUpdateAll<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void adam_update_all(Context& ctx, const AdamUpdateAll<Real>& args);
}  // namespace cuda

}  // namespace emer
