#include "kernels/add_into.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void add_into(Context& ctx, const AddInto<Real>& a) {
  EMER_CHECK(a.count >= 0, "add_into: {} elements", a.count);
  if (a.count == 0) return;
  EMER_CHECK(a.x && a.y, "add_into: null argument");
  dispatch<Real>(
      ctx, "add_into", [&] { cpu::add_into(ctx, a); }, [&] { cuda::add_into(ctx, a); });
}

template void add_into(Context&, const AddInto<float>&);
template void add_into(Context&, const AddInto<double>&);

}  // namespace emer
