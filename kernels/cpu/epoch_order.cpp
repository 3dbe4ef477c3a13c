// CPU twin of kernels/epoch_order.h.
#include "kernels/epoch_order.h"

#include "core/random.h"

namespace emer::cpu {

void epoch_order(Context&, const EpochOrder& a) {
  RandomStream random(a.seed, a.stream);
  const std::vector<std::int64_t> order = shuffled_indices(a.count, random);
  for (std::size_t k = 0; k < order.size(); ++k) a.order[k] = a.songs[order[k]];
}

}  // namespace emer::cpu
