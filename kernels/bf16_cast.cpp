#include "kernels/bf16_cast.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

void round_to_bf16(Context& ctx, const RoundToBf16& a) {
  EMER_CHECK(a.count >= 0 && (a.count == 0 || (a.from && a.to)), "round to bf16: null argument");
  dispatch(
      ctx, [&] { cpu::round_to_bf16(ctx, a); }, [&] { cuda::round_to_bf16(ctx, a); });
}

void widen_bf16(Context& ctx, const WidenBf16& a) {
  EMER_CHECK(a.count >= 0 && (a.count == 0 || (a.from && a.to)), "widen bf16: null argument");
  dispatch(
      ctx, [&] { cpu::widen_bf16(ctx, a); }, [&] { cuda::widen_bf16(ctx, a); });
}

}  // namespace emer
