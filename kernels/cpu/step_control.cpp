// CPU twin of kernels/step_control.h.
#include "kernels/step_control.h"

#include "kernels/step_verdict.h"

namespace emer::cpu {

void begin_step(Context&, const BeginStep& a) {
  take_step(a);
}

void judge_step(Context&, const JudgeStep& a) {
  judge(a);
}

}  // namespace emer::cpu
