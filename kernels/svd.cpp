#include "kernels/svd.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void svd(Context& ctx, const Svd<Real>& a) {
  EMER_CHECK(a.m >= 1, "svd: size {} must be at least 1", a.m);
  EMER_CHECK(a.matrix && a.left && a.values && a.right, "svd: null argument");
  EMER_CHECK(a.matrix != a.left && a.matrix != a.right && a.left != a.right, "svd: arguments alias");
  dispatch<Real>(
      ctx, "svd", [&] { cpu::svd(ctx, a); }, [&] { cuda::svd(ctx, a); });
}

template void svd(Context&, const Svd<float>&);
template void svd(Context&, const Svd<double>&);

}  // namespace emer
