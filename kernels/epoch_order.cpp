#include "kernels/epoch_order.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

void epoch_order(Context& ctx, const EpochOrder& a) {
  EMER_CHECK(a.count >= 1 && a.count < (std::int64_t{1} << 31), "epoch_order: {} songs", a.count);
  EMER_CHECK(a.songs && a.order && a.songs != a.order, "epoch_order: null argument or aliasing");
  dispatch<float>(
      ctx, "epoch_order", [&] { cpu::epoch_order(ctx, a); }, [&] { cuda::epoch_order(ctx, a); });
}

}  // namespace emer
