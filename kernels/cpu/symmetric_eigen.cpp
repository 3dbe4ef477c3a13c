#include "kernels/symmetric_eigen.h"

#include <algorithm>

#include "kernels/cpu/fill.h"
#include "kernels/cpu/lapack.h"

namespace emer::cpu {

template <class Real>
void symmetric_eigen(Context& ctx, const SymmetricEigen<Real>& a) {
  const std::int64_t m = a.m;
  if (!all_finite(a.matrix, m * m)) {
    fill_nan(a.values, m);
    fill_nan(a.vectors, m * m);
    return;
  }
  if (a.vectors != a.matrix) std::copy_n(a.matrix, m * m, a.vectors);
  const ArenaScope scope(ctx);
  Real size = 0;
  lapack_int integers = 0;
  lapack::syevd(a.m, a.vectors, a.values, &size, -1, &integers, -1);
  const int count = static_cast<int>(size);
  // Column k of the column-major result is row k of the same memory read row-major.
  const int info =
      lapack::syevd(a.m, a.vectors, a.values, ctx.scratch<Real>(static_cast<std::size_t>(count)), count,
                    ctx.scratch<lapack_int>(static_cast<std::size_t>(integers)), static_cast<int>(integers));
  if (info != 0)
    fail(ErrorKind::kRunFailed,
         "symmetric_eigen: LAPACK syevd did not converge on a {} x {} matrix (info {})", m, m, info);
}

template void symmetric_eigen(Context&, const SymmetricEigen<float>&);
template void symmetric_eigen(Context&, const SymmetricEigen<double>&);

}  // namespace emer::cpu
