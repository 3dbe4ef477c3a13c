#include "kernels/symmetric_eigen.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void symmetric_eigen(Context& ctx, const SymmetricEigen<Real>& a) {
  EMER_CHECK(a.m >= 1, "symmetric_eigen: size {} must be at least 1", a.m);
  EMER_CHECK(a.matrix && a.values && a.vectors, "symmetric_eigen: null argument");
  dispatch<Real>(
      ctx, "symmetric_eigen", [&] { cpu::symmetric_eigen(ctx, a); }, [&] { cuda::symmetric_eigen(ctx, a); });
}

template void symmetric_eigen(Context&, const SymmetricEigen<float>&);
template void symmetric_eigen(Context&, const SymmetricEigen<double>&);

}  // namespace emer
