// kernels/step_control.h - the beginning and the verdict of a training step, on the device.
//
// begin_step   *scalars = table[*next], *next += 1; scalars->halted is raised where *stop is not 0
// judge_step   loss = lambda * values[0] + (1 - lambda) * values[1],   norm = sqrt(*squares)
//              scale = clip_norm / norm where norm > clip_norm > 0, else 1
//              log[scalars->index] = {values[0], values[1], norm}, scalars take norm and scale
//              loss or norm not finite: *stop and scalars->halted become 1, and every later step leaves the weights
//              as this one found them
// So the host need not look at a step before the next is begun.
// Errors: EMER_CHECK on null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"
#include "kernels/step_scalars.h"

namespace emer {

struct StepLog {
  double cca = 0.0;
  double kl = 0.0;
  double gradient_norm = 0.0;
};

struct BeginStep {
  const StepScalars* table =
      nullptr;                   // in     [steps of the window]; halted != 0: a step that must not update
  std::int32_t* next = nullptr;  // inout  [1]
  const std::int32_t* stop = nullptr;  // in     [1]
  StepScalars* scalars = nullptr;      // out    [1], overwritten
};
void begin_step(Context& ctx, const BeginStep& args);

struct JudgeStep {
  double lambda = 0.5;
  double clip_norm = 0.0;           // 0 = off
  const double* values = nullptr;   // in     [2]: cca, kl
  const double* squares = nullptr;  // in     [1]: sum of the squares of all gradients
  StepScalars* scalars = nullptr;   // inout  [1]
  StepLog* log = nullptr;           // out    [index + 1], one element overwritten
  std::int32_t* stop = nullptr;     // inout  [1]
};
void judge_step(Context& ctx, const JudgeStep& args);

namespace cpu {
void begin_step(Context& ctx, const BeginStep& args);
void judge_step(Context& ctx, const JudgeStep& args);
}  // namespace cpu
namespace cuda {  // defined only with CUDA
void begin_step(Context& ctx, const BeginStep& args);
void judge_step(Context& ctx, const JudgeStep& args);
}  // namespace cuda

}  // namespace emer
