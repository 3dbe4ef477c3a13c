#include "kernels/polar_factor.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void polar_factor(Context& ctx, const PolarFactor<Real>& a) {
  EMER_CHECK(a.m >= 1, "polar_factor: size {} must be at least 1", a.m);
  EMER_CHECK(a.matrix && a.polar && a.matrix != a.polar, "polar_factor: null argument or aliasing");
  dispatch<Real>(
      ctx, "polar_factor", [&] { cpu::polar_factor(ctx, a); }, [&] { cuda::polar_factor(ctx, a); });
}

template void polar_factor(Context&, const PolarFactor<float>&);
template void polar_factor(Context&, const PolarFactor<double>&);

}  // namespace emer
