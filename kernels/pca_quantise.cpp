#include "kernels/pca_quantise.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

void pca_quantise(Context& ctx, const PcaQuantise& a) {
  EMER_CHECK(a.rows >= 0 && a.width >= 1 && a.width <= 4096, "pca_quantise: {} rows of {}", a.rows, a.width);
  if (a.rows == 0) return;
  EMER_CHECK(a.e && a.matrix && a.mean && a.out, "pca_quantise: null argument");
  dispatch(
      ctx, [&] { cpu::pca_quantise(ctx, a); }, [&] { cuda::pca_quantise(ctx, a); });
}

}  // namespace emer
