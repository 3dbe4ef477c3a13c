// CPU twin of kernels/mask_steps.h.
#include "kernels/mask_steps.h"

#include <algorithm>

#include "core/parallel.h"

namespace emer::cpu {

template <class Real>
void mask_steps(Context&, const MaskSteps<Real>& a) {
  const std::int64_t size = std::int64_t{a.steps} * a.width;
  parallel_for(a.n, 1 + (1 << 15) / size, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t kept = std::clamp(a.lengths[i], 0, a.steps) * std::int64_t{a.width};
      if (a.y != a.x) std::copy_n(a.x + i * size, kept, a.y + i * size);
      std::fill(a.y + i * size + kept, a.y + (i + 1) * size, Real(0));
    }
  });
}

template void mask_steps(Context&, const MaskSteps<float>&);
template void mask_steps(Context&, const MaskSteps<double>&);

}  // namespace emer::cpu
