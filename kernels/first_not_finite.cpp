#include "kernels/first_not_finite.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

void first_not_finite(Context& ctx, const FirstNotFinite& a) {
  EMER_CHECK(a.count >= 0 && a.index && (a.count == 0 || a.x), "first_not_finite: null argument");
  dispatch(
      ctx, [&] { cpu::first_not_finite(ctx, a); }, [&] { cuda::first_not_finite(ctx, a); });
}

}  // namespace emer
