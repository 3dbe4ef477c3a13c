#include "kernels/adam_update_all.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void adam_update_all(Context& ctx, const AdamUpdateAll<Real>& a) {
  EMER_CHECK(a.t >= 1 || a.scalars, "adam: step {} before the first", a.t);
  EMER_CHECK(a.beta1 >= 0 && a.beta1 < 1 && a.beta2 >= 0 && a.beta2 < 1,
             "adam: betas {} and {} must be in [0, 1)", a.beta1, a.beta2);
  EMER_CHECK(a.epsilon >= 0, "adam: negative epsilon {}", a.epsilon);
  EMER_CHECK(a.average_decay >= 0 && a.average_decay < 1, "adam: average_decay {} is outside [0, 1)",
             a.average_decay);
  dispatch<Real>(
      ctx, "adam", [&] { cpu::adam_update_all(ctx, a); }, [&] { cuda::adam_update_all(ctx, a); });
}

template void adam_update_all(Context&, const AdamUpdateAll<float>&);
template void adam_update_all(Context&, const AdamUpdateAll<double>&);

}  // namespace emer
