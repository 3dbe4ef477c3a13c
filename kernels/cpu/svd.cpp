#include "kernels/svd.h"

#include <algorithm>

#include "kernels/cpu/fill.h"
#include "kernels/cpu/lapack.h"

namespace emer::cpu {

template <class Real>
void svd(Context& ctx, const Svd<Real>& a) {
  const std::int64_t m = a.m;
  if (!all_finite(a.matrix, m * m)) {
    fill_nan(a.left, m * m);
    fill_nan(a.values, m);
    fill_nan(a.right, m * m);
    return;
  }
  const ArenaScope scope(ctx);
  Real* overwritten = ctx.scratch<Real>(static_cast<std::size_t>(m * m));
  std::copy_n(a.matrix, m * m, overwritten);
  auto* integers = ctx.scratch<lapack_int>(static_cast<std::size_t>(8 * m));
  // LAPACK sees T' = right' D left', so its column-major U is `right` and its V' is `left`, both read
  // row-major.
  Real size = 0;
  lapack::gesdd(a.m, overwritten, a.values, a.right, a.left, &size, -1, integers);
  const int count = static_cast<int>(size);
  const int info = lapack::gesdd(a.m, overwritten, a.values, a.right, a.left,
                                 ctx.scratch<Real>(static_cast<std::size_t>(count)), count, integers);
  if (info != 0)
    fail(ErrorKind::kRunFailed, "svd: LAPACK gesdd did not converge on a {} x {} matrix (info {})", m, m,
         info);
}

template void svd(Context&, const Svd<float>&);
template void svd(Context&, const Svd<double>&);

}  // namespace emer::cpu
