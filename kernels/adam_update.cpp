#include "kernels/adam_update.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void adam_update(Context& ctx, const AdamUpdate<Real>& a) {
  EMER_CHECK(a.t >= 1 || a.scalars, "adam: step {} before the first", a.t);
  EMER_CHECK(a.beta1 >= 0 && a.beta1 < 1 && a.beta2 >= 0 && a.beta2 < 1,
             "adam: betas {} and {} must be in [0, 1)", a.beta1, a.beta2);
  EMER_CHECK(a.epsilon >= 0, "adam: negative epsilon {}", a.epsilon);
  EMER_CHECK(a.count == 0 || (a.gradient && a.value && a.m && a.v), "adam: null argument");
  dispatch<Real>(
      ctx, "adam", [&] { cpu::adam_update(ctx, a); }, [&] { cuda::adam_update(ctx, a); });
}

template void adam_update(Context&, const AdamUpdate<float>&);
template void adam_update(Context&, const AdamUpdate<double>&);

}  // namespace emer
