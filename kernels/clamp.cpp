#include "kernels/clamp.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void clamp(Context& ctx, const Clamp<Real>& a) {
  EMER_CHECK(a.low < a.high, "clamp: low {} is not below high {}", a.low, a.high);
  EMER_CHECK(a.count == 0 || (a.x && a.y), "clamp: null argument");
  dispatch<Real>(
      ctx, "clamp", [&] { cpu::clamp(ctx, a); }, [&] { cuda::clamp(ctx, a); });
}

template <class Real>
void clamp_backward(Context& ctx, const ClampBackward<Real>& a) {
  EMER_CHECK(a.low < a.high, "clamp: low {} is not below high {}", a.low, a.high);
  EMER_CHECK(a.count == 0 || (a.y && a.dy && a.dx), "clamp backward: null argument");
  dispatch<Real>(
      ctx, "clamp backward", [&] { cpu::clamp_backward(ctx, a); }, [&] { cuda::clamp_backward(ctx, a); });
}

template void clamp(Context&, const Clamp<float>&);
template void clamp(Context&, const Clamp<double>&);
template void clamp_backward(Context&, const ClampBackward<float>&);
template void clamp_backward(Context&, const ClampBackward<double>&);

}  // namespace emer
