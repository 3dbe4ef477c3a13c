#include "core/random.h"

#include <numeric>

#include "core/check.h"

namespace emer {

std::uint64_t RandomStream::below(std::uint64_t bound) {
  EMER_CHECK(bound >= 1, "random: below(0)");
  // Reject the tail that would favour small values; at most one draw in two is rejected.
  const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % bound;
  for (;;) {
    const PhiloxBlock block = philox(seed_, stream_, index_++);
    const std::uint64_t draw = std::uint64_t{block.word[0]} << 32 | block.word[1];
    if (draw < limit) return draw % bound;
  }
}

std::vector<std::int64_t> shuffled_indices(std::int64_t count, RandomStream& random) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

}  // namespace emer
