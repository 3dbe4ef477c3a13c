#include "kernels/adam_table.h"

#include <algorithm>

#include "core/check.h"

namespace emer {

namespace {

bool divisible_by_16(std::initializer_list<const void*> pointers) {
  return std::all_of(pointers.begin(), pointers.end(),
                     [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; });
}

template <class Real>
std::vector<AdamChunk<Real>> cut(const std::vector<AdamArray<Real>>& arrays) {
  std::vector<AdamChunk<Real>> chunks;
  for (const AdamArray<Real>& a : arrays) {
    const bool divisible = divisible_by_16({a.gradient, a.value, a.m, a.v, a.average});
    for (std::int64_t first = 0; first < a.count; first += kAdamChunk) {
      const auto count = static_cast<std::int32_t>(std::min<std::int64_t>(kAdamChunk, a.count - first));
      chunks.push_back({.gradient = a.gradient + first,
                        .value = a.value + first,
                        .m = a.m + first,
                        .v = a.v + first,
                        .average = a.average != nullptr ? a.average + first : nullptr,
                        .count = count,
                        .rate_scale = a.rate_scale,
                        .decay = a.decay,
                        .whole = divisible && count == kAdamChunk});
    }
  }
  return chunks;
}

}  // namespace

template <class Real>
void AdamTable<Real>::set(Context& ctx, const std::vector<AdamArray<Real>>& arrays) {
  if (arrays == arrays_) return;
  for (const AdamArray<Real>& a : arrays) {
    EMER_CHECK(a.count >= 0, "adam table: an array of {} elements", a.count);
    EMER_CHECK(a.count == 0 || (a.gradient && a.value && a.m && a.v), "adam table: null array");
  }
  if (ctx.on_cuda()) {
    const std::vector<AdamChunk<Real>> chunks = cut(arrays);
    chunks_.resize(ctx, {static_cast<std::int64_t>(chunks.size())});
    chunks_.from_host(ctx, chunks);
  }
  arrays_ = arrays;
}

template class AdamTable<float>;
template class AdamTable<double>;

}  // namespace emer
