// kernels/step_verdict.h - the arithmetic of kernels/step_control.h, the same for both devices.
#pragma once

#include <cmath>

#include "core/random.h"  // EMER_HOST_DEVICE
#include "kernels/step_control.h"

namespace emer {

EMER_HOST_DEVICE inline void take_step(const BeginStep& a) {
  StepScalars scalars = a.table[*a.next];
  *a.next += 1;
  if (*a.stop != 0) scalars.halted = 1;
  *a.scalars = scalars;
}

EMER_HOST_DEVICE inline void judge(const JudgeStep& a) {
  const double cca = a.values[0], kl = a.values[1], norm = sqrt(*a.squares);
  const double loss = a.lambda * cca + (1.0 - a.lambda) * kl;
  a.scalars->gradient_norm = norm;
  a.scalars->gradient_scale = a.clip_norm > 0.0 && norm > a.clip_norm ? a.clip_norm / norm : 1.0;
  a.log[a.scalars->index] = {cca, kl, norm};
  if (!(fabs(loss) <= 1.79769313486231570e308) || !(norm <= 1.79769313486231570e308)) {  // also NaN
    *a.stop = 1;
    a.scalars->halted = 1;
  }
}

}  // namespace emer
