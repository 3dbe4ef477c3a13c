#include "kernels/cca_projection.h"

#include <cmath>

#include "core/check.h"
#include "kernels/dispatch.h"
#include "kernels/global_rows.h"

namespace emer {

template <class Real>
void cca_projection(Context& ctx, const CcaProjection<Real>& a) {
  const int total = check_global_rows(ctx, "cca_projection", a.n, a.total);
  EMER_CHECK(total >= 1 && a.d >= 1, "cca_projection: n {} and d {} must be at least 1", total, a.d);
  if (total < 2)
    fail(ErrorKind::kRunFailed,
         "the CCA loss needs at least 2 pairs in a batch and got {}: merge or drop a last batch of one",
         total);
  for (const ProjectedView<Real>* view : {&a.first, &a.second})
    EMER_CHECK((a.n == 0 || (view->x && view->d_x)) && view->projection && view->d_projection,
               "cca_projection: null argument");
  EMER_CHECK(a.loss, "cca_projection: null loss");
  EMER_CHECK(a.ridge > 0 && std::isfinite(a.scale) && std::isfinite(a.gradient_weight),
             "cca_projection: ridge {} must be above 0, scale {} and weight {} finite", a.ridge, a.scale,
             a.gradient_weight);
  dispatch<Real>(
      ctx, "cca_projection", [&] { cpu::cca_projection(ctx, a); }, [&] { cuda::cca_projection(ctx, a); });
}

template void cca_projection(Context&, const CcaProjection<float>&);
template void cca_projection(Context&, const CcaProjection<double>&);

}  // namespace emer
