#include "kernels/sum_squares.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void sum_squares(Context& ctx, const SumSquares<Real>& a) {
  EMER_CHECK(a.count >= 0, "sum_squares: count {} is negative", a.count);
  EMER_CHECK(a.total && (a.x || a.count == 0), "sum_squares: null argument");
  dispatch<Real>(
      ctx, "sum_squares", [&] { cpu::sum_squares(ctx, a); }, [&] { cuda::sum_squares(ctx, a); });
}

template void sum_squares(Context&, const SumSquares<float>&);
template void sum_squares(Context&, const SumSquares<double>&);

}  // namespace emer
