#include "kernels/step_control.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

void begin_step(Context& ctx, const BeginStep& a) {
  EMER_CHECK(a.table && a.next && a.stop && a.scalars, "begin_step: null argument");
  dispatch<float>(
      ctx, "begin_step", [&] { cpu::begin_step(ctx, a); }, [&] { cuda::begin_step(ctx, a); });
}

void judge_step(Context& ctx, const JudgeStep& a) {
  EMER_CHECK(a.values && a.squares && a.scalars && a.log && a.stop, "judge_step: null argument");
  dispatch<float>(
      ctx, "judge_step", [&] { cpu::judge_step(ctx, a); }, [&] { cuda::judge_step(ctx, a); });
}

}  // namespace emer
