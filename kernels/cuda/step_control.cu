// CUDA twin of kernels/step_control.h.
#include "kernels/step_control.h"

#include "core/cuda/launch.h"
#include "kernels/step_verdict.h"

namespace emer::cuda {

namespace {

// One thread.
__global__ void take_step_on_device(BeginStep a) {
  take_step(a);
}

// One thread.
__global__ void judge_on_device(JudgeStep a) {
  judge(a);
}

}  // namespace

void begin_step(Context& ctx, const BeginStep& a) {
  launch(ctx, {.name = "begin_step"}, take_step_on_device, a);
}

void judge_step(Context& ctx, const JudgeStep& a) {
  launch(ctx, {.name = "judge_step"}, judge_on_device, a);
}

}  // namespace emer::cuda
