#include "kernels/sum_squares_all.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void sum_squares_all(Context& ctx, const SumSquaresAll<Real>& a) {
  EMER_CHECK(a.total, "sum_squares_all: null argument");
  dispatch<Real>(
      ctx, "sum_squares_all", [&] { cpu::sum_squares_all(ctx, a); }, [&] { cuda::sum_squares_all(ctx, a); });
}

template void sum_squares_all(Context&, const SumSquaresAll<float>&);
template void sum_squares_all(Context&, const SumSquaresAll<double>&);

}  // namespace emer
