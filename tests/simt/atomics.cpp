// Atomics and fences of device code: CUDA's, and those which -fsanitize=thread makes of std::atomic and __atomic_….
// One device thread runs at a time, so plain arithmetic is atomic here; what counts is the check.
#include <cstring>

#include "tests/simt/internal.h"

namespace emer::simt {

namespace {

template <class T>
T apply(Rmw operation, T old, T operand, T expected) {
  switch (operation) {
    case Rmw::kAdd:
      return static_cast<T>(old + operand);
    case Rmw::kSub:
      return static_cast<T>(old - operand);
    case Rmw::kExchange:
      return operand;
    case Rmw::kMin:
      return operand < old ? operand : old;
    case Rmw::kMax:
      return old < operand ? operand : old;
    case Rmw::kCompareExchange:
      return old == expected ? operand : old;
    default:
      break;
  }
  if constexpr (std::is_integral_v<T>) {
    switch (operation) {
      case Rmw::kAnd:
        return static_cast<T>(old & operand);
      case Rmw::kOr:
        return static_cast<T>(old | operand);
      case Rmw::kXor:
        return static_cast<T>(old ^ operand);
      case Rmw::kInc:
        return old >= operand ? T(0) : static_cast<T>(old + 1);
      case Rmw::kDec:
        return old == 0 || old > operand ? operand : static_cast<T>(old - 1);
      default:
        break;
    }
  }
  return old;
}

template <class T>
std::uint64_t apply_bits(Rmw operation, std::uint64_t old, std::uint64_t operand, std::uint64_t expected) {
  return detail::to_bits(apply<T>(operation, detail::from_bits<T>(old), detail::from_bits<T>(operand),
                                  detail::from_bits<T>(expected)));
}

std::uint64_t changed(std::size_t bytes, Rmw operation, Number number, std::uint64_t old,
                      std::uint64_t operand, std::uint64_t expected) {
  const bool is_signed = number == Number::kSigned;
  if (number == Number::kFloat)
    return bytes == 4 ? apply_bits<float>(operation, old, operand, expected)
                      : apply_bits<double>(operation, old, operand, expected);
  switch (bytes) {
    case 8:
      return is_signed ? apply_bits<std::int64_t>(operation, old, operand, expected)
                       : apply_bits<std::uint64_t>(operation, old, operand, expected);
    case 4:
      return is_signed ? apply_bits<std::int32_t>(operation, old, operand, expected)
                       : apply_bits<std::uint32_t>(operation, old, operand, expected);
    case 2:
      return is_signed ? apply_bits<std::int16_t>(operation, old, operand, expected)
                       : apply_bits<std::uint16_t>(operation, old, operand, expected);
    default:
      return is_signed ? apply_bits<std::int8_t>(operation, old, operand, expected)
                       : apply_bits<std::uint8_t>(operation, old, operand, expected);
  }
}

std::uint64_t get(const void* at, std::size_t bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, at, bytes);
  return value;
}
void put(void* at, std::size_t bytes, std::uint64_t value) {
  std::memcpy(at, &value, bytes);
}

void check_aligned(const void* at, std::size_t bytes, const void* pc) {
  if (reinterpret_cast<std::uintptr_t>(at) % bytes != 0)
    device_fault(
        [&] {
          return "misaligned: atomic of " + std::to_string(bytes) + " bytes at " +
                 describe_address(reinterpret_cast<std::uintptr_t>(at));
        },
        pc);
}

bool acquires(Order order) {
  return order == Order::kAcquire || order == Order::kAcquireRelease;
}
bool releases(Order order) {
  return order == Order::kRelease || order == Order::kAcquireRelease;
}

std::uint64_t load(const void* at, std::size_t bytes, Order order, const void* pc) {
  static_cast<void>(acquires(order));  // a relaxed read counts as acquire: runtime.h says why
  yield();
  if (Thread* me = g_checked; me != nullptr) {
    const Inside inside;
    check_aligned(at, bytes, pc);
    check_access(*me, reinterpret_cast<std::uintptr_t>(at), bytes, false, true, pc);
    acquire_from(*me, reinterpret_cast<std::uintptr_t>(at));
  }
  return get(at, bytes);
}

void store(void* at, std::size_t bytes, std::uint64_t value, Order order, const void* pc) {
  if (Thread* me = g_checked; me != nullptr) {
    const Inside inside;
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    check_aligned(at, bytes, pc);
    if (in_heap(at) && all_addressable(address, bytes)) set_initialised(address, bytes);
    check_access(*me, address, bytes, true, in_heap(at), pc);
    release_to(*me, address, releases(order));
  }
  put(at, bytes, value);
  progress();
}

std::uint64_t modify(void* at, std::size_t bytes, Rmw operation, Number number, std::uint64_t operand,
                     std::uint64_t expected, Order order, const void* pc) {
  if (Thread* me = g_checked; me != nullptr) {
    const Inside inside;
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    check_aligned(at, bytes, pc);
    check_access(*me, address, bytes, true, true, pc);
    acquire_from(*me, address);
    release_to(*me, address, releases(order));
  }
  const std::uint64_t old = get(at, bytes);
  const std::uint64_t next = changed(bytes, operation, number, old, operand, expected);
  put(at, bytes, next);
  if (next != old) {
    progress();
  } else {
    yield();  // a lock that is taken, a ticket that has not come: loops of this kind wait too
  }
  return old;
}

}  // namespace

std::uint64_t atomic_rmw(void* at, std::size_t bytes, Rmw operation, Number number, std::uint64_t operand,
                         std::uint64_t expected, Order order) {
  return modify(at, bytes, operation, number, operand, expected, order, __builtin_return_address(0));
}

std::uint64_t atomic_load(const void* at, std::size_t bytes, Order order) {
  return load(at, bytes, order, __builtin_return_address(0));
}

void atomic_store(void* at, std::size_t bytes, std::uint64_t value, Order order) {
  store(at, bytes, value, order, __builtin_return_address(0));
}

void fence() {
  if (Thread* me = g_checked; me != nullptr) {
    const Inside inside;
    take_fence(*me);
  }
}

namespace {
Order order_of(int memory_order) {
  switch (memory_order) {
    case __ATOMIC_RELAXED:
      return Order::kRelaxed;
    case __ATOMIC_CONSUME:
    case __ATOMIC_ACQUIRE:
      return Order::kAcquire;
    case __ATOMIC_RELEASE:
      return Order::kRelease;
    default:
      return Order::kAcquireRelease;
  }
}
}  // namespace

}  // namespace emer::simt

// ---- what -fsanitize=thread makes of std::atomic; host code of the same source comes here too --------------------
// NOLINTBEGIN: the compiler's names
using namespace emer::simt;
#define EMER_SIMT_TSAN_RMW(bits, T, name, op, builtin)                                                \
  T __tsan_atomic##bits##_##name(volatile T* at, T value, int order) {                                \
    if (g_running == nullptr) return builtin(at, value, __ATOMIC_SEQ_CST);                            \
    return static_cast<T>(modify(const_cast<T*>(at), sizeof(T), Rmw::op, Number::kUnsigned, value, 0, \
                                 order_of(order), __builtin_return_address(0)));                      \
  }
#define EMER_SIMT_TSAN_ATOMICS(bits, T)                                                                   \
  T __tsan_atomic##bits##_load(const volatile T* at, int order) {                                         \
    if (g_running == nullptr) return __atomic_load_n(at, __ATOMIC_SEQ_CST);                               \
    return static_cast<T>(                                                                                \
        load(const_cast<const T*>(at), sizeof(T), order_of(order), __builtin_return_address(0)));         \
  }                                                                                                       \
  void __tsan_atomic##bits##_store(volatile T* at, T value, int order) {                                  \
    if (g_running == nullptr) {                                                                           \
      __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                                      \
      return;                                                                                             \
    }                                                                                                     \
    store(const_cast<T*>(at), sizeof(T), value, order_of(order), __builtin_return_address(0));            \
  }                                                                                                       \
  EMER_SIMT_TSAN_RMW(bits, T, exchange, kExchange, __atomic_exchange_n)                                   \
  EMER_SIMT_TSAN_RMW(bits, T, fetch_add, kAdd, __atomic_fetch_add)                                        \
  EMER_SIMT_TSAN_RMW(bits, T, fetch_sub, kSub, __atomic_fetch_sub)                                        \
  EMER_SIMT_TSAN_RMW(bits, T, fetch_and, kAnd, __atomic_fetch_and)                                        \
  EMER_SIMT_TSAN_RMW(bits, T, fetch_or, kOr, __atomic_fetch_or)                                           \
  EMER_SIMT_TSAN_RMW(bits, T, fetch_xor, kXor, __atomic_fetch_xor)                                        \
  T __tsan_atomic##bits##_compare_exchange_val(volatile T* at, T expected, T value, int order, int) {     \
    if (g_running == nullptr) {                                                                           \
      __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);       \
      return expected;                                                                                    \
    }                                                                                                     \
    return static_cast<T>(modify(const_cast<T*>(at), sizeof(T), Rmw::kCompareExchange, Number::kUnsigned, \
                                 value, expected, order_of(order), __builtin_return_address(0)));         \
  }                                                                                                       \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* at, T* expected, T value, int order,      \
                                                    int failure) {                                        \
    const T old = __tsan_atomic##bits##_compare_exchange_val(at, *expected, value, order, failure);       \
    const bool same = old == *expected;                                                                   \
    *expected = old;                                                                                      \
    return same ? 1 : 0;                                                                                  \
  }                                                                                                       \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* at, T* expected, T value, int order,        \
                                                  int failure) {                                          \
    return __tsan_atomic##bits##_compare_exchange_strong(at, expected, value, order, failure);            \
  }

extern "C" {
EMER_SIMT_TSAN_ATOMICS(8, unsigned char)
EMER_SIMT_TSAN_ATOMICS(16, unsigned short)
EMER_SIMT_TSAN_ATOMICS(32, unsigned int)
EMER_SIMT_TSAN_ATOMICS(64, unsigned long)
void __tsan_atomic_thread_fence(int) {
  if (g_running != nullptr) {
    fence();
  } else {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
  }
}
void __tsan_atomic_signal_fence(int) {}
}
// NOLINTEND
