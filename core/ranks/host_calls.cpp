#include "core/ranks/host_calls.h"

#include <fmt/format.h>

#include <cstdint>

namespace emer {

namespace {
template <class T>
void add(void* sum, const void* more, std::size_t count) {
  T* const to = static_cast<T*>(sum);
  const T* const from = static_cast<const T*>(more);
  for (std::size_t i = 0; i < count; ++i) to[i] += from[i];
}
}  // namespace

std::size_t size_of(Element element) {
  return element == Element::kFloat ? sizeof(float) : sizeof(double);
}

void add_elements(Element element, void* sum, const void* more, std::size_t count) {
  switch (element) {
    case Element::kFloat:
      return add<float>(sum, more, count);
    case Element::kDouble:
      return add<double>(sum, more, count);
    case Element::kInt64:
      return add<std::uint64_t>(sum, more, count);
  }
}

std::string describe(const Collective* call) {
  if (call == nullptr) return "barrier";
  constexpr const char* kKinds[] = {"all_reduce", "all_gather", "reduce_scatter", "broadcast"};
  constexpr const char* kElements[] = {"float", "double", "int64"};
  return fmt::format("{} of {} {}", kKinds[static_cast<int>(call->kind)], call->count,
                     kElements[static_cast<int>(call->element)]);
}

std::string failure_line(int rank, int ranks, const std::string& why) {
  const std::string me = fmt::format("rank {} of {}", rank, ranks);
  if (why.compare(0, me.size(), me) == 0) return why;
  return fmt::format("{} failed: {}", me, why);
}

std::string silence_line(int rank, int ranks, const std::string& silent, double seconds,
                         const Collective* call) {
  return fmt::format("rank {} of {}: no answer from {} for {:g} s in {}", rank, ranks, silent, seconds,
                     describe(call));
}

}  // namespace emer
