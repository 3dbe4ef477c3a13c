#include "kernels/moving_average.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void moving_average(Context& ctx, const MovingAverage<Real>& a) {
  EMER_CHECK(a.count >= 0, "moving_average: count {} is negative", a.count);
  EMER_CHECK((a.x && a.average) || a.count == 0, "moving_average: null argument");
  EMER_CHECK(a.count == 0 || a.x != a.average, "moving_average: average aliases x");
  EMER_CHECK(a.decay >= 0.0 && a.decay < 1.0, "moving_average: decay {} is outside [0, 1)", a.decay);
  dispatch<Real>(
      ctx, "moving_average", [&] { cpu::moving_average(ctx, a); }, [&] { cuda::moving_average(ctx, a); });
}

template void moving_average(Context&, const MovingAverage<float>&);
template void moving_average(Context&, const MovingAverage<double>&);

}  // namespace emer
