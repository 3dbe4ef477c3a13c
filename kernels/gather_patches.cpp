#include "kernels/gather_patches.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void gather_patches(Context& ctx, const GatherPatches<Real>& a) {
  EMER_CHECK(a.n >= 1 && a.steps >= 1 && a.width >= 1, "gather_patches: {} songs of {} patches of {}", a.n,
             a.steps, a.width);
  EMER_CHECK(a.table && a.offset && a.rows && a.out && a.out_lengths, "gather_patches: null argument");
  dispatch<Real>(
      ctx, "gather_patches", [&] { cpu::gather_patches(ctx, a); }, [&] { cuda::gather_patches(ctx, a); });
}

template void gather_patches(Context&, const GatherPatches<float>&);
template void gather_patches(Context&, const GatherPatches<double>&);

}  // namespace emer
