// kernels/step_scalars.h - what changes from one training step to the next, in device memory.
//
// A recorded step (core/work_graph.h) has its scalars baked in. The ones that move are read from here: an op takes
// `const StepScalars* scalars`, null for ordinary calls, where its by-value fields count.
#pragma once

#include <cstdint>

namespace emer {

struct StepScalars {
  std::uint64_t dropout_step = 0;  // kernels/dropout.h, step
  std::int64_t t = 0;              // kernels/adam_update.h, number of this optimiser step, from 1
  double learning_rate = 0.0;      // of this step
  double beta1_correction = 0.0;   // 1 - beta1^t
  double beta2_correction = 0.0;   // 1 - beta2^t
  double gradient_norm = 0.0;      // of the unscaled gradients
  double gradient_scale = 1.0;     // of clipping by norm
  std::int64_t first = 0;          // place of the batch in the epoch's order
  std::int32_t index = 0;          // place of the step in the table and in the log
  std::int32_t halted = 0;  // not 0: a loss or norm was not finite, the optimiser leaves everything alone
};

}  // namespace emer
