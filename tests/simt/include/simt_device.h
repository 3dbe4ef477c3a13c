// simt_device.h - what device code may call: built-in variables, barriers, warp operations, atomics, fences,
// clusters. Everything here ends in an out-of-line function of the harness, which is not instrumented.
//
// threadIdx and its kin are declared const: the value belongs to the running device thread and does not change
// during its life, which lets the compiler keep them in registers. The harness writes them at each switch, under
// the lock which lets one launch run at a time. (For the same reason: no link-time optimisation.)
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "vector_types.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __managed__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __cluster_dims__(...)  // the launch must say it too: cudaLaunchAttributeClusterDimension
#define __align__(bytes) alignas(bytes)

extern "C" {
extern const uint3 threadIdx;
extern const uint3 blockIdx;
extern const dim3 blockDim;
extern const dim3 gridDim;
}
inline constexpr int warpSize = 32;

namespace emer::simt {

// ---- memory of the running block ----------------------------------------------------------------------------
void* dynamic_shared();              // 1024-byte aligned; uninitialised when the block starts
std::size_t dynamic_shared_bytes();  // what the launch asked for

// ---- clusters (blocks of a cluster live at once) ------------------------------------------------------------
unsigned cluster_rank();  // of the running block in its cluster; 0 without a cluster
unsigned cluster_size();
void cluster_arrive(const char* file = __builtin_FILE(), int line = __builtin_LINE());  // release
void cluster_wait(const char* file = __builtin_FILE(), int line = __builtin_LINE());    // acquire
void* map_shared(const void* own,
                 unsigned rank);  // the same offset in the dynamic shared memory of block `rank`
template <class T>
T* map_shared(T* own, unsigned rank) {
  return static_cast<T*>(map_shared(static_cast<const void*>(own), rank));
}

// ---- waiting for other blocks -------------------------------------------------------------------------------
void yield();  // lets every other live device thread run; every spin loop must call it or load_acquire()

enum class Rmw { kAdd, kSub, kExchange, kMin, kMax, kAnd, kOr, kXor, kInc, kDec, kCompareExchange };
enum class Number { kSigned, kUnsigned, kFloat };
enum class Order { kRelaxed, kAcquire, kRelease, kAcquireRelease };
std::uint64_t atomic_rmw(void* at, std::size_t bytes, Rmw operation, Number number, std::uint64_t operand,
                         std::uint64_t expected, Order order);
std::uint64_t atomic_load(const void* at, std::size_t bytes, Order order);
void atomic_store(void* at, std::size_t bytes, std::uint64_t value, Order order);
void fence();  // __threadfence and wider

namespace detail {
template <std::size_t bytes>
using Bits =
    std::conditional_t<bytes == 8, std::uint64_t,
                       std::conditional_t<bytes == 4, std::uint32_t,
                                          std::conditional_t<bytes == 2, std::uint16_t, std::uint8_t>>>;
template <class T>
std::uint64_t to_bits(T value) {
  static_assert(std::is_trivially_copyable_v<T> &&
                (sizeof(T) == 8 || sizeof(T) == 4 || sizeof(T) == 2 || sizeof(T) == 1));
  return std::bit_cast<Bits<sizeof(T)>>(value);
}
template <class T>
T from_bits(std::uint64_t bits) {
  return std::bit_cast<T>(static_cast<Bits<sizeof(T)>>(bits));
}
template <class T>
constexpr Number number_of() {
  return std::is_floating_point_v<T> ? Number::kFloat
         : std::is_signed_v<T>       ? Number::kSigned
                                     : Number::kUnsigned;
}
template <class T>
T rmw(T* at, Rmw operation, T operand, T expected = T(), Order order = Order::kRelaxed) {
  return from_bits<T>(
      atomic_rmw(at, sizeof(T), operation, number_of<T>(), to_bits(operand), to_bits(expected), order));
}
}  // namespace detail

template <class T>
T load_acquire(const T* at) {  // ld.acquire.gpu; yields, so it may be spun on
  return detail::from_bits<T>(atomic_load(at, sizeof(T), Order::kAcquire));
}
template <class T>
T load_relaxed(const T* at) {  // ld.relaxed.gpu; yields
  return detail::from_bits<T>(atomic_load(at, sizeof(T), Order::kRelaxed));
}
template <class T>
void store_release(T* at, std::type_identity_t<T> value) {  // st.release.gpu
  atomic_store(at, sizeof(T), detail::to_bits(value), Order::kRelease);
}
template <class T>
void store_relaxed(T* at, std::type_identity_t<T> value) {
  atomic_store(at, sizeof(T), detail::to_bits(value), Order::kRelaxed);
}
template <class T>
T add_release(T* at, std::type_identity_t<T> value) {  // atom.add.release.gpu
  return detail::rmw(at, Rmw::kAdd, value, T(), Order::kRelease);
}
template <class T>
T add_acquire_release(T* at, std::type_identity_t<T> value) {  // atom.add.acq_rel.gpu
  return detail::rmw(at, Rmw::kAdd, value, T(), Order::kAcquireRelease);
}

// ---- barriers and warp operations ---------------------------------------------------------------------------
enum class BlockVote { kNone, kCount, kAnd, kOr };
int block_barrier(BlockVote vote, int predicate, const char* file, int line);

enum class WarpOp { kSync, kShuffle, kBallot, kAny, kAll, kMatchAny, kAdd, kMin, kMax, kAnd, kOr, kXor };
// `source` is the lane whose value is wanted (kShuffle). Returns the value, ballot or reduction.
std::uint64_t warp_op(WarpOp op, unsigned mask, std::uint64_t value, int source, Number number,
                      const char* file, int line);
int lane();
[[noreturn]] void trap(const char* file, int line);
long long clock();

}  // namespace emer::simt

// NOLINTBEGIN: CUDA's names, and its signatures
#define EMER_SIMT_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(EMER_SIMT_SITE) {
  emer::simt::block_barrier(emer::simt::BlockVote::kNone, 0, file, line);
}
inline int __syncthreads_count(int predicate, EMER_SIMT_SITE) {
  return emer::simt::block_barrier(emer::simt::BlockVote::kCount, predicate, file, line);
}
inline int __syncthreads_and(int predicate, EMER_SIMT_SITE) {
  return emer::simt::block_barrier(emer::simt::BlockVote::kAnd, predicate, file, line);
}
inline int __syncthreads_or(int predicate, EMER_SIMT_SITE) {
  return emer::simt::block_barrier(emer::simt::BlockVote::kOr, predicate, file, line);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, EMER_SIMT_SITE) {
  emer::simt::warp_op(emer::simt::WarpOp::kSync, mask, 0, 0, emer::simt::Number::kUnsigned, file, line);
}

namespace emer::simt::detail {
template <class T>
T shuffle(unsigned mask, T value, int source, const char* file, int line) {
  return from_bits<T>(warp_op(WarpOp::kShuffle, mask, to_bits(value), source, Number::kUnsigned, file, line));
}
inline unsigned vote(WarpOp op, unsigned mask, int predicate, const char* file, int line) {
  return static_cast<unsigned>(warp_op(op, mask, predicate != 0 ? 1 : 0, 0, Number::kUnsigned, file, line));
}
template <class T>
T reduce(WarpOp op, unsigned mask, T value, const char* file, int line) {
  return from_bits<T>(warp_op(op, mask, to_bits(value), 0, number_of<T>(), file, line));
}
}  // namespace emer::simt::detail

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMER_SIMT_SITE) {
  const int own = emer::simt::lane();
  return emer::simt::detail::shuffle(mask, value, (own & ~(width - 1)) | (source & (width - 1)), file, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, EMER_SIMT_SITE) {
  const int own = emer::simt::lane();
  const int source = own ^ lanes;  // a source past the own segment gives the own value
  return emer::simt::detail::shuffle(mask, value, source > (own | (width - 1)) ? own : source, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMER_SIMT_SITE) {
  const int own = emer::simt::lane(), source = own - static_cast<int>(delta);
  return emer::simt::detail::shuffle(mask, value, source < (own & ~(width - 1)) ? own : source, file, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMER_SIMT_SITE) {
  const int own = emer::simt::lane(), source = own + static_cast<int>(delta);
  return emer::simt::detail::shuffle(mask, value, source > (own | (width - 1)) ? own : source, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMER_SIMT_SITE) {
  return emer::simt::detail::vote(emer::simt::WarpOp::kBallot, mask, predicate, file, line);
}
inline int __any_sync(unsigned mask, int predicate, EMER_SIMT_SITE) {
  return static_cast<int>(emer::simt::detail::vote(emer::simt::WarpOp::kAny, mask, predicate, file, line));
}
inline int __all_sync(unsigned mask, int predicate, EMER_SIMT_SITE) {
  return static_cast<int>(emer::simt::detail::vote(emer::simt::WarpOp::kAll, mask, predicate, file, line));
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, EMER_SIMT_SITE) {
  return static_cast<unsigned>(emer::simt::warp_op(emer::simt::WarpOp::kMatchAny, mask,
                                                   emer::simt::detail::to_bits(value), 0,
                                                   emer::simt::Number::kUnsigned, file, line));
}
#define EMER_SIMT_REDUCE(name, op)                                                        \
  inline int __reduce_##name##_sync(unsigned mask, int value, EMER_SIMT_SITE) {           \
    return emer::simt::detail::reduce(emer::simt::WarpOp::op, mask, value, file, line);   \
  }                                                                                       \
  inline unsigned __reduce_##name##_sync(unsigned mask, unsigned value, EMER_SIMT_SITE) { \
    return emer::simt::detail::reduce(emer::simt::WarpOp::op, mask, value, file, line);   \
  }
EMER_SIMT_REDUCE(add, kAdd)
EMER_SIMT_REDUCE(min, kMin)
EMER_SIMT_REDUCE(max, kMax)
EMER_SIMT_REDUCE(and, kAnd)
EMER_SIMT_REDUCE(or, kOr)
EMER_SIMT_REDUCE(xor, kXor)
#undef EMER_SIMT_REDUCE

inline void __threadfence() {
  emer::simt::fence();
}
inline void __threadfence_block() {
  emer::simt::fence();
}
inline void __threadfence_system() {
  emer::simt::fence();
}
inline void __nanosleep(unsigned) {
  emer::simt::yield();
}
inline void __trap(EMER_SIMT_SITE) {
  emer::simt::trap(file, line);
}
inline long long clock64() {
  return emer::simt::clock();
}

#define EMER_SIMT_ATOMIC(name, op, T)                               \
  inline T name(T* at, T value) {                                   \
    return emer::simt::detail::rmw(at, emer::simt::Rmw::op, value); \
  }
#define EMER_SIMT_ATOMIC_INTEGERS(name, op) \
  EMER_SIMT_ATOMIC(name, op, int)           \
  EMER_SIMT_ATOMIC(name, op, unsigned)      \
  EMER_SIMT_ATOMIC(name, op, unsigned long long)
EMER_SIMT_ATOMIC_INTEGERS(atomicAdd, kAdd)
EMER_SIMT_ATOMIC(atomicAdd, kAdd, float)
EMER_SIMT_ATOMIC(atomicAdd, kAdd, double)
EMER_SIMT_ATOMIC(atomicSub, kSub, int)
EMER_SIMT_ATOMIC(atomicSub, kSub, unsigned)
EMER_SIMT_ATOMIC_INTEGERS(atomicExch, kExchange)
EMER_SIMT_ATOMIC(atomicExch, kExchange, float)
EMER_SIMT_ATOMIC_INTEGERS(atomicMin, kMin)
EMER_SIMT_ATOMIC(atomicMin, kMin, long long)
EMER_SIMT_ATOMIC_INTEGERS(atomicMax, kMax)
EMER_SIMT_ATOMIC(atomicMax, kMax, long long)
EMER_SIMT_ATOMIC_INTEGERS(atomicAnd, kAnd)
EMER_SIMT_ATOMIC_INTEGERS(atomicOr, kOr)
EMER_SIMT_ATOMIC_INTEGERS(atomicXor, kXor)
EMER_SIMT_ATOMIC(atomicInc, kInc, unsigned)
EMER_SIMT_ATOMIC(atomicDec, kDec, unsigned)
#undef EMER_SIMT_ATOMIC_INTEGERS
#undef EMER_SIMT_ATOMIC
#define EMER_SIMT_CAS(T)                                                                    \
  inline T atomicCAS(T* at, T expected, T value) {                                          \
    return emer::simt::detail::rmw(at, emer::simt::Rmw::kCompareExchange, value, expected); \
  }
EMER_SIMT_CAS(int)
EMER_SIMT_CAS(unsigned)
EMER_SIMT_CAS(unsigned long long)
EMER_SIMT_CAS(unsigned short)
#undef EMER_SIMT_CAS

#define EMER_SIMT_LOAD(name) \
  template <class T>         \
  T name(const T* at) {      \
    return *at;              \
  }
EMER_SIMT_LOAD(__ldg)
EMER_SIMT_LOAD(__ldca)
EMER_SIMT_LOAD(__ldcg)
EMER_SIMT_LOAD(__ldcs)
EMER_SIMT_LOAD(__ldlu)
#undef EMER_SIMT_LOAD
#define EMER_SIMT_STORE(name)                       \
  template <class T>                                \
  void name(T* at, std::type_identity_t<T> value) { \
    *at = value;                                    \
  }
EMER_SIMT_STORE(__stwb)
EMER_SIMT_STORE(__stcg)
EMER_SIMT_STORE(__stcs)
EMER_SIMT_STORE(__stwt)
#undef EMER_SIMT_STORE
// ld.volatile: other threads may be writing it, so it counts as an atomic access, and it yields.
template <class T>
T __ldcv(const T* at) {
  return emer::simt::load_relaxed(at);
}
// NOLINTEND
