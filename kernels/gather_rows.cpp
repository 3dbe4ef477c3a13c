#include "kernels/gather_rows.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void gather_rows(Context& ctx, const GatherRows<Real>& a) {
  EMER_CHECK(a.n >= 1 && a.used >= 1 && a.used <= a.stored, "gather_rows: {} rows, {} of {} values", a.n,
             a.used, a.stored);
  EMER_CHECK(a.table && a.rows && a.out && (a.lengths || !a.out_lengths), "gather_rows: null argument");
  dispatch<Real>(
      ctx, "gather_rows", [&] { cpu::gather_rows(ctx, a); }, [&] { cuda::gather_rows(ctx, a); });
}

template void gather_rows(Context&, const GatherRows<float>&);
template void gather_rows(Context&, const GatherRows<double>&);

}  // namespace emer
