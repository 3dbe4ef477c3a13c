// CPU twin of kernels/gather_patches.h.
#include "kernels/gather_patches.h"

#include <algorithm>

#include "core/parallel.h"
#include "kernels/patch_window.h"

namespace emer::cpu {

template <class Real>
void gather_patches(Context&, const GatherPatches<Real>& a) {
  const std::int64_t width = a.width, room = a.steps * width;
  parallel_for(a.n, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const PatchWindow window = patch_window(a, i);
      Real* to = a.out + i * room;
      std::copy_n(a.table + window.first * width, window.count * width, to);
      std::fill(to + window.count * width, to + room, Real(0));
      a.out_lengths[i] = window.count;
    }
  });
}

template void gather_patches(Context&, const GatherPatches<float>&);
template void gather_patches(Context&, const GatherPatches<double>&);

}  // namespace emer::cpu
