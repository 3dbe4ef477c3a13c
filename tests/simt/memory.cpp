#include "tests/simt/memory.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <new>
#include <vector>

#include "tests/simt/runtime.h"

namespace emer::simt {

Shadow g_heap;

namespace {

constexpr std::size_t kAlignment =
    256;  // as cudaMalloc; a red zone of at least as much follows each allocation
constexpr std::size_t kPage = 4096;
constexpr std::size_t kFillLimit = std::size_t{64} << 20;

struct Allocation {
  std::size_t bytes;
  MemoryKind kind;
  bool live;
};

struct Heap {
  std::map<std::uintptr_t, Allocation> allocations;  // the dead stay, for messages
  std::uintptr_t next = 0;
  std::size_t limit = std::size_t{16} << 30;
  std::size_t in_use = 0;
  std::size_t peak = 0;
};
Heap& heap() {
  static Heap instance;
  return instance;
}

void* map_zeroes(std::size_t bytes) {
  void* memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return memory;
}

void forget_pages(void* at, std::size_t bytes) {
  const auto begin = (reinterpret_cast<std::uintptr_t>(at) + kPage - 1) / kPage * kPage;
  const auto end = (reinterpret_cast<std::uintptr_t>(at) + bytes) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

// Calls at(state of 4 bytes, mask of the bytes concerned) over a range of the heap.
template <class Edge, class Whole>
void over_states(std::uintptr_t at, std::size_t bytes, Edge&& edge, Whole&& whole) {
  std::size_t offset = at - g_heap.base;
  const std::size_t end = offset + bytes;
  while (offset < end && offset % 4 != 0) {
    edge(g_heap.state[offset / 4], static_cast<std::uint8_t>(1u << (offset % 4)));
    ++offset;
  }
  if (offset + 4 <= end) {
    whole(g_heap.state + offset / 4, (end - offset) / 4);
    offset += (end - offset) / 4 * 4;
  }
  for (; offset < end; ++offset)
    edge(g_heap.state[offset / 4], static_cast<std::uint8_t>(1u << (offset % 4)));
}

}  // namespace

Shadow map_shadow(std::uintptr_t base, std::size_t size) {
  Shadow shadow;
  shadow.base = base;
  shadow.size = size;
  shadow.state = static_cast<std::uint8_t*>(map_zeroes(size / 4 + 16));
  shadow.cells = static_cast<Cell*>(map_zeroes((size / 4 + 16) * sizeof(Cell)));
  shadow.bytes = static_cast<Cell*>(map_zeroes((size + 16) * sizeof(Cell)));
  return shadow;
}

void reserve_heap() {
  if (g_heap.base != 0) return;
  const auto base = reinterpret_cast<std::uintptr_t>(map_zeroes(kHeapBytes));
  g_heap = map_shadow(base, kHeapBytes);
  heap().next = base + kWindowBytes;
}

void set_addressable(std::uintptr_t at, std::size_t bytes, bool addressable, bool initialised) {
  const auto fill = static_cast<std::uint8_t>((addressable ? 0xf0 : 0) | (initialised ? 0x0f : 0));
  over_states(
      at, bytes,
      [&](std::uint8_t& state, std::uint8_t bit) {
        const auto both = static_cast<std::uint8_t>(bit | (bit << 4));
        state = static_cast<std::uint8_t>((state & ~both) | (fill & both));
      },
      [&](std::uint8_t* states, std::size_t count) { std::memset(states, fill, count); });
}

void set_initialised(std::uintptr_t at, std::size_t bytes) {
  over_states(
      at, bytes,
      [](std::uint8_t& state, std::uint8_t bit) { state = static_cast<std::uint8_t>(state | bit); },
      [](std::uint8_t* states, std::size_t count) { std::memset(states, 0xff, count); });
}

void copy_initialised(std::uintptr_t to, std::uintptr_t from, std::size_t bytes) {
  const auto copy_byte = [&](std::size_t i) {
    const std::size_t source = from + i - g_heap.base, target = to + i - g_heap.base;
    const unsigned bit = (g_heap.state[source / 4] >> (source % 4)) & 1u;
    std::uint8_t& state = g_heap.state[target / 4];
    state = static_cast<std::uint8_t>((state & ~(1u << (target % 4))) | (bit << (target % 4)));
  };
  if ((to - from) % 4 != 0) {
    for (std::size_t i = 0; i < bytes; ++i) copy_byte(i);
    return;
  }
  std::size_t i = 0;
  for (; i < bytes && (from + i - g_heap.base) % 4 != 0; ++i) copy_byte(i);
  const std::size_t whole = (bytes - i) / 4;
  std::memmove(g_heap.state + (to + i - g_heap.base) / 4, g_heap.state + (from + i - g_heap.base) / 4, whole);
  for (i += whole * 4; i < bytes; ++i) copy_byte(i);
}

bool all_addressable(std::uintptr_t at, std::size_t bytes) {
  bool all = true;
  over_states(
      at, bytes, [&](const std::uint8_t& state, std::uint8_t bit) { all = all && (state >> 4 & bit) != 0; },
      [&](const std::uint8_t* states, std::size_t count) {
        all = all && std::all_of(states, states + count, [](std::uint8_t s) { return (s & 0xf0) == 0xf0; });
      });
  return all;
}

std::size_t first_uninitialised(std::uintptr_t at, std::size_t bytes) {
  std::size_t offset = at - g_heap.base;
  const std::size_t start = offset, end = offset + bytes;
  while (offset < end) {
    const std::uint8_t state = g_heap.state[offset / 4];
    if (offset % 4 == 0 && offset + 4 <= end && (state & 0xf) == 0xf) {
      offset += 4;
      continue;
    }
    if ((state >> (offset % 4) & 1) == 0) return offset - start;
    ++offset;
  }
  return bytes;
}

void* heap_allocate(std::size_t bytes, MemoryKind kind) {
  reserve_heap();
  Heap& h = heap();
  if (kind == MemoryKind::kDevice && bytes > h.limit - std::min(h.limit, h.in_use)) return nullptr;
  const std::size_t room = (bytes + kAlignment - 1) / kAlignment * kAlignment + kAlignment;
  if (room < bytes || h.next + room > g_heap.base + kHeapBytes) return nullptr;
  const std::uintptr_t at = h.next;
  h.next += room;
  h.allocations[at] = {bytes, kind, true};
  set_addressable(at, bytes, true, kind == MemoryKind::kPinned);
  // Bytes that are a NaN as float, double and bfloat16 alike, for runs without checks.
  if (bytes <= kFillLimit) std::memset(reinterpret_cast<void*>(at), 0xff, bytes);
  if (kind == MemoryKind::kDevice) {
    h.in_use += bytes;
    h.peak = std::max(h.peak, h.in_use);
  }
  return reinterpret_cast<void*>(at);
}

bool heap_free(void* pointer, MemoryKind kind) {
  Heap& h = heap();
  const auto at = reinterpret_cast<std::uintptr_t>(pointer);
  const auto found = h.allocations.find(at);
  if (found == h.allocations.end() || !found->second.live || found->second.kind != kind) return false;
  const std::size_t bytes = found->second.bytes;
  found->second.live = false;
  set_addressable(at, bytes, false, false);
  const std::size_t offset = at - g_heap.base;
  forget_pages(pointer, bytes);
  forget_pages(g_heap.cells + offset / 4, bytes / 4 * sizeof(Cell));
  forget_pages(g_heap.bytes + offset, bytes * sizeof(Cell));
  if (kind == MemoryKind::kDevice) h.in_use -= bytes;
  return true;
}

void mark_all_initialised() {
  for (const auto& [at, allocation] : heap().allocations)
    if (allocation.live) set_initialised(at, allocation.bytes);
}

void heap_free_all() {
  for (const auto& [at, allocation] : heap().allocations)
    if (allocation.live) heap_free(reinterpret_cast<void*>(at), allocation.kind);
}

bool in_heap(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) - g_heap.base < g_heap.size;
}

PointerKind kind_of(const void* pointer) {
  const auto at = reinterpret_cast<std::uintptr_t>(pointer);
  auto next = heap().allocations.upper_bound(at);
  if (next == heap().allocations.begin()) return PointerKind::kUnknown;
  const auto& [start, allocation] = *--next;
  if (!allocation.live || at >= start + std::max<std::size_t>(allocation.bytes, 1))
    return PointerKind::kUnknown;
  return allocation.kind == MemoryKind::kDevice ? PointerKind::kDevice : PointerKind::kPinned;
}

std::string describe_address(std::uintptr_t at) {
  if (at == 0) return "the null pointer";
  if (at - g_heap.base >= g_heap.size) {
    switch (image_kind(at)) {
      case ImageKind::kReadOnly:
        return "read-only data of the program";
      case ImageKind::kWritable:
        return "static shared memory (or a variable of the host program)";
      case ImageKind::kNone:
        return at < kPage ? "the null pointer, nearly" : "host memory, or a stack of another thread";
    }
  }
  if (at - g_heap.base < kWindowBytes) {
    const std::size_t offset = (at - g_heap.base) % kWindowStride;
    return "byte " + std::to_string(offset) + " of a block's dynamic shared memory";
  }
  auto next = heap().allocations.upper_bound(at);
  if (next == heap().allocations.begin()) return "device memory that was never allocated";
  const auto& [start, allocation] = *std::prev(next);
  const std::string size = std::to_string(allocation.bytes) + " bytes";
  if (at < start + allocation.bytes)
    return "byte " + std::to_string(at - start) + " of " +
           (allocation.live ? "an allocation of " : "a freed allocation of ") + size;
  if (next != heap().allocations.end() && next->first - at < at - (start + allocation.bytes))
    return std::to_string(next->first - at) + " bytes before an allocation of " +
           std::to_string(next->second.bytes) + " bytes";
  return std::to_string(at - (start + allocation.bytes)) + " bytes past the end of an allocation of " + size;
}

void set_heap_limit(std::size_t bytes) {
  heap().limit = bytes;
}
std::size_t heap_limit() {
  return heap().limit;
}
std::size_t heap_in_use() {
  return heap().in_use;
}
std::size_t heap_peak() {
  return heap().peak;
}
void reset_heap_peak() {
  heap().peak = heap().in_use;
}

// ---- the program's image --------------------------------------------------------------------------------------

namespace {

struct Range {
  std::uintptr_t begin, end;
  bool contains(std::uintptr_t at) const { return at >= begin && at < end; }
};
struct Image {
  std::vector<Range> read_only;  // of every loaded object
  std::vector<Shadow> writable;  // of the program itself
};

int add_object(dl_phdr_info* object, std::size_t, void* data) {
  Image& image = *static_cast<Image*>(data);
  const bool program = object->dlpi_name == nullptr || object->dlpi_name[0] == '\0';
  Range constant_after_start{0, 0};
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& header = object->dlpi_phdr[i];
    const std::uintptr_t begin = object->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_GNU_RELRO) constant_after_start = {begin, begin + header.p_memsz};
    if (header.p_type == PT_LOAD && (header.p_flags & PF_W) == 0)
      image.read_only.push_back({begin, begin + header.p_memsz});
  }
  if (constant_after_start.begin != 0) image.read_only.push_back(constant_after_start);
  for (int i = 0; program && i < object->dlpi_phnum; ++i) {
    const auto& header = object->dlpi_phdr[i];
    if (header.p_type != PT_LOAD || (header.p_flags & PF_W) == 0) continue;
    std::uintptr_t begin = (object->dlpi_addr + header.p_vaddr) / 16 * 16;
    if (constant_after_start.contains(begin)) begin = constant_after_start.end;
    const std::uintptr_t end = object->dlpi_addr + header.p_vaddr + header.p_memsz;
    if (begin >= end) continue;
    image.writable.push_back(map_shadow(begin, (end - begin + 15) / 16 * 16));
  }
  return 0;
}

Image& image() {
  static Image instance = [] {
    Image found;
    dl_iterate_phdr(add_object, &found);
    return found;
  }();
  return instance;
}

}  // namespace

ImageKind image_kind(std::uintptr_t at) {
  for (const Range& range : image().read_only)
    if (range.contains(at)) return ImageKind::kReadOnly;
  return static_shadow(at) != nullptr ? ImageKind::kWritable : ImageKind::kNone;
}

Shadow* static_shadow(std::uintptr_t at) {
  for (Shadow& shadow : image().writable)
    if (at - shadow.base < shadow.size) return &shadow;
  return nullptr;
}

}  // namespace emer::simt
