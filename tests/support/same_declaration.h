// tests/support/same_declaration.h - whether two function pointer types are called the same way, for our own declarations
// of a library held against the library's header.
#pragma once

#include <type_traits>

namespace emer::test {

// What a caller and a callee must agree on: addresses, enumerations and integers of a size, structures by value.
template <class T>
constexpr int kKind = std::is_pointer_v<T>                         ? -1
                      : std::is_class_v<T>                         ? -2 - int{sizeof(T)}
                      : std::is_enum_v<T> || std::is_integral_v<T> ? int{sizeof(T)}
                                                                   : 0;

template <class ROne, class... One, class RTwo, class... Two>
constexpr bool alike(ROne (*)(One...), RTwo (*)(Two...)) {
  if constexpr (sizeof...(One) == sizeof...(Two))
    return kKind<ROne> == kKind<RTwo> && ((kKind<One> == kKind<Two> && kKind<One> != 0) && ...);
  else
    return false;
}

}  // namespace emer::test
