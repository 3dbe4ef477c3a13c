#include "kernels/mask_steps.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void mask_steps(Context& ctx, const MaskSteps<Real>& a) {
  EMER_CHECK(a.n >= 1 && a.steps >= 1 && a.width >= 1,
             "mask steps: sizes n {}, steps {}, width {} must be at least 1", a.n, a.steps, a.width);
  EMER_CHECK(a.lengths && a.x && a.y, "mask steps: null argument");
  dispatch<Real>(
      ctx, "mask steps", [&] { cpu::mask_steps(ctx, a); }, [&] { cuda::mask_steps(ctx, a); });
}

template void mask_steps(Context&, const MaskSteps<float>&);
template void mask_steps(Context&, const MaskSteps<double>&);

}  // namespace emer
