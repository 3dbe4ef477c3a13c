#include "kernels/covariance.h"

#include "core/check.h"
#include "kernels/dispatch.h"
#include "kernels/global_rows.h"

namespace emer {

template <class Real>
void centre(Context& ctx, const Centre<Real>& a) {
  const int total =
      a.centring == Centring::kSample && a.total == 0 ? a.n : check_global_rows(ctx, "centre", a.n, a.total);
  EMER_CHECK(total >= 1 && a.d >= 1, "centre: n {} and d {} must be at least 1", total, a.d);
  EMER_CHECK(a.n == 0 || (a.x && a.y), "centre: null argument");
  dispatch<Real>(
      ctx, "centre", [&] { cpu::centre(ctx, a); }, [&] { cuda::centre(ctx, a); });
}

template <class Real>
void covariance(Context& ctx, const Covariance<Real>& a) {
  const int total = check_global_rows(ctx, "covariance", a.n, a.total);
  EMER_CHECK(total >= 2 && a.d >= 1, "covariance: n {} must be at least 2 and d {} at least 1", total, a.d);
  EMER_CHECK(a.ridge >= 0, "covariance: ridge {} must not be negative", a.ridge);
  EMER_CHECK(a.n == 0 || (a.x1 && a.x2 && a.f1 && a.f2), "covariance: null argument");
  dispatch<Real>(
      ctx, "covariance", [&] { cpu::covariance(ctx, a); }, [&] { cuda::covariance(ctx, a); });
}

template void centre(Context&, const Centre<float>&);
template void centre(Context&, const Centre<double>&);
template void covariance(Context&, const Covariance<float>&);
template void covariance(Context&, const Covariance<double>&);

}  // namespace emer
