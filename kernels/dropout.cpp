#include "kernels/dropout.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void dropout(Context& ctx, const Dropout<Real>& a) {
  EMER_CHECK(a.p >= 0.0f && a.p < 1.0f, "dropout: p is {}, it must be at least 0 and below 1", a.p);
  constexpr std::int64_t kMost = std::int64_t{1} << 34;
  EMER_CHECK(a.count >= 0 && a.count < kMost && a.first >= 0 && a.first < kMost - a.count,
             "dropout: {} elements from element {}", a.count, a.first);
  EMER_CHECK(a.step < (std::uint64_t{1} << 32), "dropout: step {} does not fit the counter", a.step);
  EMER_CHECK(a.count == 0 || (a.x && a.y), "dropout: null argument");
  dispatch<Real>(
      ctx, "dropout", [&] { cpu::dropout(ctx, a); }, [&] { cuda::dropout(ctx, a); });
}

template void dropout(Context&, const Dropout<float>&);
template void dropout(Context&, const Dropout<double>&);

}  // namespace emer
