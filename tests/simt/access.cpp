// The checks behind every access of device code: is the address the thread's to use, has someone written it, and
// does another thread's access race with it.
#include <cstring>
#include <vector>

#include "tests/simt/internal.h"

namespace emer::simt {

namespace {

constexpr std::uint32_t kNoBlock = 0xfffffffd;

bool mine(const Thread& me, const Access& access) {
  return access.thread == me.id && access.block == me.block_id;
}

std::string who(const Access& access) {
  if (access.block == kManyBlocks) return "threads of several blocks";
  if (access.block == kReaderSet) return "several warps or blocks";
  std::string text = "block " + std::to_string(access.block);
  if (access.thread == kBlockReaders) return text + ", several threads";
  if ((access.thread & kWarpReaders) != 0)
    return text + ", several lanes of warp " + std::to_string(access.thread & 0x7fff);
  return text + ", thread " + std::to_string(access.thread);
}

[[noreturn]] void race(const Access& other, bool other_wrote, bool i_write, bool atomic, std::uintptr_t at,
                       const void* pc) {
  device_fault(
      [&] {
        const std::string own = std::string(atomic ? "atomic " : "") + (i_write ? "write" : "read");
        const std::string before =
            std::string((other.flags & kAtomic) != 0 ? "atomic " : "") + (other_wrote ? "write" : "read");
        return "race: " + own + " of " + describe_address(at) + " after a " + before + " by " + who(other) +
               ", with nothing that orders them";
      },
      pc);
}

std::uint16_t warp_of(const Access& access) {
  return (access.thread & kWarpReaders) != 0 ? access.thread & 0x7fffu : access.thread / 32u;
}

// A read that neither replaces the recorded one nor is covered by it: the record becomes one of several readers. Where
// releases order threads, warps are told apart: each may be released by itself.
void merge_reader(const Thread& me, Access& read, Stamp since) {
  const Inside inside;
  const auto warp = static_cast<std::uint16_t>(me.id / 32);
  if (read.block == me.block_id && read.thread != kBlockReaders && warp_of(read) == warp) {
    read.thread = static_cast<std::uint16_t>(kWarpReaders | warp);
  } else if (read.block == me.block_id && (read.thread == kBlockReaders || !g_run.knowledge)) {
    read.thread = kBlockReaders;
  } else if (read.block != me.block_id && !g_run.together && read.block != kReaderSet) {
    read.block = kManyBlocks;
  } else {
    std::size_t index = 0;
    if (read.block == kReaderSet) {
      index = (static_cast<std::size_t>(read.flags) >> 1) << 16 | read.thread;
    } else {
      index = g_run.reader_sets.size();
      g_run.reader_sets.push_back({{read}});
      read.block = kReaderSet;
      read.thread = static_cast<std::uint16_t>(index);
      read.flags = static_cast<std::uint16_t>(index >> 16 << 1);
    }
    auto& readers = g_run.reader_sets[index].readers;
    bool known = false;
    for (Access& reader : readers) {
      if (reader.block != me.block_id || (reader.thread != kBlockReaders && warp_of(reader) != warp))
        continue;
      known = true;
      if (mine(me, reader) || reader.when < since || ordered(me, reader)) {
        reader.thread = me.id;
        reader.when = g_stamp;
      } else {
        merge_reader(me, reader, since);
      }
    }
    if (!known) readers.push_back({g_stamp, me.block_id, me.id, 0});
  }
  read.when = g_stamp;
}

inline void check_cell(Thread& me, Cell& cell, bool write, bool atomic, Stamp since, std::uintptr_t at,
                       const void* pc) {
  Access& last = cell.write;
  const bool own_write = mine(me, last);
  if (last.when >= since && !own_write && !(atomic && (last.flags & kAtomic) != 0) && !ordered(me, last))
    race(last, true, write, atomic, at, pc);
  Access& read = cell.read;
  const Access now{g_stamp, me.block_id, me.id, atomic ? kAtomic : std::uint16_t{0}};
  if (write) {
    if (read.when >= since && !mine(me, read) && !(atomic && (read.flags & kAtomic) != 0) &&
        !ordered(me, read))
      race(read, false, true, atomic, at, pc);
    // An atomic write on top of an own plain one that nobody has been told of does not make that one atomic.
    const bool still_plain = atomic && own_write && last.when >= since && last.when >= me.block->barrier &&
                             (last.flags & kAtomic) == 0 && me.released == nullptr;
    last = now;
    if (still_plain) last.flags = 0;
    read.when = 0;
    return;
  }
  if (read.when < since || mine(me, read) || (read.block == me.block_id && read.when < me.block->barrier)) {
    read = now;
  } else if (!g_run.knowledge &&
             (read.block == kManyBlocks || (read.block == me.block_id && read.thread == kBlockReaders))) {
    read.when = g_stamp;  // one more of many: the usual case of operands that all threads read
  } else if ((read.flags & kAtomic) != 0 || ordered(me, read)) {
    read = now;
  } else if (!atomic) {
    merge_reader(me, read, since);
  }
}

void split(Shadow& shadow, std::size_t word, Stamp since) {
  Cell& cell = shadow.cells[word];
  if ((cell.write.flags & kSplit) != 0 && cell.write.when >= since) return;
  for (std::size_t i = 0; i < 4; ++i) shadow.bytes[4 * word + i] = cell;
  cell.write = {g_stamp, kNoBlock, 0, kSplit};
}

inline void check_word(Thread& me, Shadow& shadow, std::size_t word, bool write, bool atomic, Stamp since,
                       const void* pc) {
  Cell& cell = shadow.cells[word];
  if ((cell.write.flags & kSplit) != 0 && cell.write.when >= since) [[unlikely]] {
    for (std::size_t i = 0; i < 4; ++i)
      check_cell(me, shadow.bytes[4 * word + i], write, atomic, since, shadow.base + 4 * word + i, pc);
    return;
  }
  check_cell(me, cell, write, atomic, since, shadow.base + 4 * word, pc);
}

void check_order(Thread& me, Shadow& shadow, std::size_t offset, std::size_t bytes, bool write, bool atomic,
                 Stamp since, const void* pc) {
  const std::size_t end = offset + bytes;
  while (offset < end) {
    if (offset % 4 == 0 && offset + 4 <= end) {
      check_word(me, shadow, offset / 4, write, atomic, since, pc);
      offset += 4;
    } else {
      split(shadow, offset / 4, since);
      check_cell(me, shadow.bytes[offset], write, atomic, since, shadow.base + offset, pc);
      ++offset;
    }
  }
}

// ---- static shared memory ---------------------------------------------------------------------------------------

struct Touched {
  Shadow* shadow = nullptr;
  std::size_t first = 0, last = 0;  // states
};
Touched g_touched;
struct Constant {
  std::uintptr_t begin, end;
};
std::vector<Constant>& constants() {
  static std::vector<Constant> ranges;
  return ranges;
}

bool is_builtin(std::uintptr_t at) {
  const auto within = [at](const void* object, std::size_t bytes) {
    return at - reinterpret_cast<std::uintptr_t>(object) < bytes;
  };
  return within(&threadIdx, sizeof threadIdx) || within(&blockIdx, sizeof blockIdx) ||
         within(&blockDim, sizeof blockDim) || within(&gridDim, sizeof gridDim);
}

void check_static(Thread& me, Shadow& shadow, std::uintptr_t at, std::size_t bytes, bool write, bool atomic,
                  const void* pc) {
  if (!write && is_builtin(at)) return;
  for (const Constant& range : constants())
    if (at >= range.begin && at + bytes <= range.end) {
      if (write) device_fault([&] { return std::string("write to constant memory"); }, pc);
      return;
    }
  if (g_run.together)
    device_fault(
        [&] {
          return std::string(
              "static __shared__ memory in a kernel whose blocks live at once: the harness has one copy of "
              "it, use "
              "dynamic shared memory");
        },
        pc);
  const std::size_t offset = at - shadow.base;
  const std::size_t first = offset / 4, last = (offset + bytes - 1) / 4;
  if (g_touched.shadow != &shadow) {
    start_static_shared();
    g_touched = {&shadow, first, last};
  }
  if (first < g_touched.first) g_touched.first = first;
  if (last > g_touched.last) g_touched.last = last;
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    std::uint8_t& state = shadow.state[i / 4];
    const auto bit = static_cast<std::uint8_t>(1u << (i % 4));
    if (write && !atomic) {
      state = static_cast<std::uint8_t>(state | bit | bit << 4);  // "addressable": no constant, no built-in
    } else if ((state & bit) == 0) {
      device_fault(
          [&] {
            return "read of shared memory that this block has not written: byte " +
                   std::to_string(i - offset) + " of " + std::to_string(bytes);
          },
          pc);
    }
  }
  check_order(me, shadow, offset, bytes, write, atomic, me.block->start, pc);
}

}  // namespace

void start_static_shared() {
  if (g_touched.shadow == nullptr) return;
  std::memset(g_touched.shadow->state + g_touched.first, 0, g_touched.last - g_touched.first + 1);
  g_touched = {};
}

void allow_constant(std::uintptr_t at, std::size_t bytes) {
  constants().push_back({at, at + bytes});
}

// `atomic` with `write`: a read-modify-write, so the bytes must have been written before.
void check_access(Thread& me, std::uintptr_t at, std::size_t bytes, bool write, bool atomic, const void* pc) {
  const Inside inside;
  if (bytes == 0 || at - me.stack_low < me.stack_size) return;
  const auto text = [&] {
    return (write ? "write of " : "read of ") + std::to_string(bytes) + " bytes at " + describe_address(at);
  };
  const std::size_t offset = at - g_heap.base;
  if (offset < g_heap.size) {
    if (!all_addressable(at, bytes)) device_fault([&] { return "out of bounds: " + text(); }, pc);
    if (!write || atomic) {
      const std::size_t blank = first_uninitialised(at, bytes);
      if (blank != bytes)
        device_fault(
            [&] {
              return "uninitialised: " + text() + ", of which nothing has written byte " +
                     std::to_string(blank);
            },
            pc);
    }
    if (write && !atomic) set_initialised(at, bytes);
    check_order(me, g_heap, offset, bytes, write, atomic,
                offset < kWindowBytes ? me.block->start : g_run.start, pc);
    return;
  }
  if (at >= g_run.arguments && at + bytes <= g_run.arguments + g_run.argument_bytes) {
    if (write) device_fault([&] { return std::string("write to the kernel's arguments"); }, pc);
    return;
  }
  if (Shadow* shadow = static_shadow(at); shadow != nullptr) {
    check_static(me, *shadow, at, bytes, write, atomic, pc);
    return;
  }
  if (image_kind(at) == ImageKind::kReadOnly && !write) return;
  device_fault([&] { return "bad address: " + text(); }, pc);
}

namespace {

template <std::size_t bytes>
struct StatesOf;
template <>
struct StatesOf<4> {
  using Type = std::uint8_t;
};
template <>
struct StatesOf<8> {
  using Type = std::uint16_t;
};
template <>
struct StatesOf<16> {
  using Type = std::uint32_t;
};

// The common cases, quickly: an access to live device memory or to static shared memory, at its own alignment and
// of bytes that are written if it reads. All else goes through check_access.
template <std::size_t bytes, bool write>
inline bool quick(Thread& me, Shadow& shadow, std::size_t offset, Stamp since, const void* pc) {
  if (offset % bytes != 0) return false;
  std::uint8_t* const plane = shadow.state + offset / 4;
  if constexpr (bytes >= 4) {
    using States = typename StatesOf<bytes>::Type;
    constexpr auto kAddressable = static_cast<States>(0xf0f0f0f0u);
    constexpr auto kAll = static_cast<States>(0xffffffffu);
    States states;
    std::memcpy(&states, plane, sizeof states);
    if (write ? (states & kAddressable) != kAddressable : states != kAll) return false;
    if (write) std::memcpy(plane, &kAll, sizeof kAll);
    for (std::size_t i = 0; i < bytes / 4; ++i)
      check_word(me, shadow, offset / 4 + i, write, false, since, pc);
  } else {
    const unsigned mask = ((1u << bytes) - 1) << (offset % 4);
    if ((*plane >> 4 & mask) != mask || (!write && (*plane & mask) != mask)) return false;
    if (write) *plane = static_cast<std::uint8_t>(*plane | mask);
    split(shadow, offset / 4, since);
    for (std::size_t i = 0; i < bytes; ++i)
      check_cell(me, shadow.bytes[offset + i], write, false, since, shadow.base + offset + i, pc);
  }
  return true;
}

// `aligned`: the compiler has taken the pointer's type by its word. Compilers promise no more than 8 here; what is
// aligned to 8 and should be to 16 is for -fsanitize=alignment to find (misaligned.cpp).
template <std::size_t bytes, bool write, bool aligned = true>
inline void on_access(const void* pointer, const void* pc) {
  Thread* me = g_checked;
  if (me == nullptr) return;
  const auto at = reinterpret_cast<std::uintptr_t>(pointer);
  if (at - me->stack_low < me->stack_size) return;
  if (aligned && at % (bytes < 8 ? bytes : 8) != 0) [[unlikely]]
    device_fault(
        [&] {
          return "misaligned: access of " + std::to_string(bytes) + " bytes at " + describe_address(at);
        },
        pc);
  const std::size_t offset = at - g_heap.base;
  if (offset < g_heap.size) [[likely]] {
    if (quick<bytes, write>(*me, g_heap, offset, offset < kWindowBytes ? me->block->start : g_run.start, pc))
      return;
  } else if (Shadow* shadow = g_touched.shadow;
             shadow != nullptr && at - shadow->base < shadow->size && !g_run.together) {
    // Within what the block has used already; the first use of an address goes the long way.
    const std::size_t word = (at - shadow->base) / 4;
    if (word >= g_touched.first && word + (bytes + 3) / 4 <= g_touched.last + 1 &&
        quick<bytes, write>(*me, *shadow, at - shadow->base, me->block->start, pc))
      return;
  }
  check_access(*me, at, bytes, write, false, pc);
}

// Other threads may be at the same address: an access like a relaxed atomic, and a read may be spun on.
void volatile_access(void* at, std::size_t bytes, bool write, const void* pc) {
  Thread* me = g_running;
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  if (me == nullptr || address - me->stack_low < me->stack_size) return;
  if (write) {
    if (g_checked != nullptr) {
      // A plain write initialises; as an atomic it does not race with other volatile or atomic accesses.
      if (in_heap(at) && all_addressable(address, bytes)) set_initialised(address, bytes);
      check_access(*me, address, bytes, true, in_heap(at), pc);
      release_to(*me, address, false);
    }
    progress();
    return;
  }
  yield();
  if (g_checked != nullptr) {
    check_access(*me, address, bytes, false, true, pc);
    acquire_from(*me, address);
  }
}
void on_range(const void* at, std::size_t bytes, bool write, const void* pc) {
  if (g_checked != nullptr)
    check_access(*g_checked, reinterpret_cast<std::uintptr_t>(at), bytes, write, false, pc);
}

}  // namespace

}  // namespace emer::simt

// ---- what -fsanitize=thread calls ------------------------------------------------------------------------------
// NOLINTBEGIN: the compiler's names
using namespace emer::simt;
#define EMER_SIMT_PC __builtin_return_address(0)
#define EMER_SIMT_HOOKS(bytes)                            \
  void __tsan_read##bytes(void* at) {                     \
    on_access<bytes, false>(at, EMER_SIMT_PC);            \
  }                                                       \
  void __tsan_write##bytes(void* at) {                    \
    on_access<bytes, true>(at, EMER_SIMT_PC);             \
  }                                                       \
  void __tsan_unaligned_read##bytes(void* at) {           \
    on_access<bytes, false, false>(at, EMER_SIMT_PC);     \
  }                                                       \
  void __tsan_unaligned_write##bytes(void* at) {          \
    on_access<bytes, true, false>(at, EMER_SIMT_PC);      \
  }                                                       \
  void __tsan_read##bytes##_pc(void* at, void* pc) {      \
    on_access<bytes, false>(at, pc);                      \
  }                                                       \
  void __tsan_write##bytes##_pc(void* at, void* pc) {     \
    on_access<bytes, true>(at, pc);                       \
  }                                                       \
  void __tsan_read_write##bytes(void* at) {               \
    on_access<bytes, false>(at, EMER_SIMT_PC);            \
    on_access<bytes, true>(at, EMER_SIMT_PC);             \
  }                                                       \
  void __tsan_unaligned_read_write##bytes(void* at) {     \
    on_access<bytes, false, false>(at, EMER_SIMT_PC);     \
    on_access<bytes, true, false>(at, EMER_SIMT_PC);      \
  }                                                       \
  void __tsan_volatile_read##bytes(void* at) {            \
    volatile_access(at, bytes, false, EMER_SIMT_PC);      \
  }                                                       \
  void __tsan_volatile_write##bytes(void* at) {           \
    volatile_access(at, bytes, true, EMER_SIMT_PC);       \
  }                                                       \
  void __tsan_unaligned_volatile_read##bytes(void* at) {  \
    volatile_access(at, bytes, false, EMER_SIMT_PC);      \
  }                                                       \
  void __tsan_unaligned_volatile_write##bytes(void* at) { \
    volatile_access(at, bytes, true, EMER_SIMT_PC);       \
  }

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
EMER_SIMT_HOOKS(1)
EMER_SIMT_HOOKS(2)
EMER_SIMT_HOOKS(4)
EMER_SIMT_HOOKS(8)
EMER_SIMT_HOOKS(16)
void __tsan_read_range(void* at, unsigned long bytes) {
  on_range(at, bytes, false, EMER_SIMT_PC);
}
void __tsan_write_range(void* at, unsigned long bytes) {
  on_range(at, bytes, true, EMER_SIMT_PC);
}

// Explicit calls in device code come here by name (include/simt_memory_calls.h), clang's also as __tsan_….
void* emer_simt_memcpy(void* to, const void* from, std::size_t bytes) {
  on_range(from, bytes, false, EMER_SIMT_PC);
  on_range(to, bytes, true, EMER_SIMT_PC);
  return std::memcpy(to, from, bytes);
}
void* emer_simt_memmove(void* to, const void* from, std::size_t bytes) {
  on_range(from, bytes, false, EMER_SIMT_PC);
  on_range(to, bytes, true, EMER_SIMT_PC);
  return std::memmove(to, from, bytes);
}
void* emer_simt_memset(void* to, int value, std::size_t bytes) {
  on_range(to, bytes, true, EMER_SIMT_PC);
  return std::memset(to, value, bytes);
}
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  return emer_simt_memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
  return emer_simt_memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes) {
  return emer_simt_memset(to, value, bytes);
}
}
// NOLINTEND
