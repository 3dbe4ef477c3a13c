#include "kernels/widen.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

void widen(Context& ctx, const Widen& a) {
  EMER_CHECK(a.count >= 0 && (a.count == 0 || (a.from && a.to)), "widen: null argument");
  dispatch(
      ctx, [&] { cpu::widen(ctx, a); }, [&] { cuda::widen(ctx, a); });
}

}  // namespace emer
