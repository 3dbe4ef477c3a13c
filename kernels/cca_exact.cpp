#include "kernels/cca_exact.h"

#include <cmath>

#include "core/check.h"
#include "kernels/dispatch.h"
#include "kernels/global_rows.h"

namespace emer {

template <class Real>
void cca_exact(Context& ctx, const CcaExact<Real>& a) {
  const int total = check_global_rows(ctx, "cca_exact", a.n, a.total);
  EMER_CHECK(total >= 1 && a.d >= 1, "cca_exact: n {} and d {} must be at least 1", total, a.d);
  if (total < 2)
    fail(ErrorKind::kRunFailed,
         "the CCA loss needs at least 2 pairs in a batch and got {}: merge or drop a last batch of one",
         total);
  EMER_CHECK(a.loss && (a.n == 0 || (a.x1 && a.x2 && a.d_x1 && a.d_x2)), "cca_exact: null argument");
  EMER_CHECK(a.directions >= 0 && a.directions <= a.d, "cca_exact: {} directions of {}", a.directions, a.d);
  EMER_CHECK(a.ridge > 0 && std::isfinite(a.scale) && std::isfinite(a.gradient_weight),
             "cca_exact: ridge {} must be above 0, scale {} and weight {} finite", a.ridge, a.scale,
             a.gradient_weight);
  dispatch<Real>(
      ctx, "cca_exact", [&] { cpu::cca_exact(ctx, a); }, [&] { cuda::cca_exact(ctx, a); });
}

template void cca_exact(Context&, const CcaExact<float>&);
template void cca_exact(Context&, const CcaExact<double>&);

}  // namespace emer
