// tests/simt/memory.h - device memory: one reserved range of addresses, and the shadow of every byte in it.
//
// The range is [shared windows | allocations]. Addresses of freed allocations are not used again, so a dangling
// pointer always points at dead memory. Everything is mapped without reserve and committed as it is touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace emer::simt {

using Stamp = std::uint64_t;

// One access, for the race check. `when` is the stamp at that time: stamps count synchronisations of the whole
// process, so an access of an earlier launch has a smaller stamp than the launch's start.
struct Access {
  Stamp when = 0;
  std::uint32_t block = 0;
  std::uint16_t thread = 0;
  std::uint16_t flags = 0;
};
inline constexpr std::uint16_t kAtomic = 1;
inline constexpr std::uint16_t kSplit = 2;             // write.flags: the bytes have cells of their own
inline constexpr std::uint16_t kWarpReaders = 0x8000;  // read.thread: several lanes of warp (thread & 0x7fff)
inline constexpr std::uint16_t kBlockReaders = 0xffff;    // read.thread: several threads of the block
inline constexpr std::uint32_t kManyBlocks = 0xffffffff;  // read.block: threads of several blocks
inline constexpr std::uint32_t kReaderSet =
    0xfffffffe;  // read.block: the blocks in reader set `thread | flags>>1<<16`

// Last write, and reads since, of 4 bytes (or, split, of one).
struct Cell {
  Access write;
  Access read;
};

// Shadow of a range of addresses. State of 4 bytes: bits 4-7 addressable, bits 0-3 initialised.
struct Shadow {
  std::uintptr_t base = 0;
  std::size_t size = 0;
  std::uint8_t* state = nullptr;  // [size / 4]
  Cell* cells = nullptr;          // [size / 4]
  Cell* bytes = nullptr;          // [size]
};
Shadow map_shadow(std::uintptr_t base, std::size_t size);

inline constexpr std::size_t kWindowStride =
    256 * 1024;  // dynamic shared memory of one live block, and a red zone
inline constexpr std::size_t kWindows = 8192;
inline constexpr std::size_t kWindowBytes = kWindowStride * kWindows;
inline constexpr std::size_t kHeapBytes = std::size_t{1} << 38;

extern Shadow g_heap;  // windows and allocations
void reserve_heap();   // once; throws std::bad_alloc

// Marks [at, at + bytes) of the heap in the state plane.
void set_addressable(std::uintptr_t at, std::size_t bytes, bool addressable, bool initialised);
void set_initialised(std::uintptr_t at, std::size_t bytes);
void copy_initialised(std::uintptr_t to, std::uintptr_t from, std::size_t bytes);
bool all_addressable(std::uintptr_t at, std::size_t bytes);
// First byte of the range that nothing has written, or `bytes`.
std::size_t first_uninitialised(std::uintptr_t at, std::size_t bytes);

enum class MemoryKind { kDevice, kPinned };
void* heap_allocate(std::size_t bytes, MemoryKind kind);  // nullptr: beyond the device's memory
bool heap_free(void* pointer, MemoryKind kind);  // false: not the start of a live allocation of this kind
void heap_free_all();
void mark_all_initialised();  // live allocations
bool in_heap(const void* pointer);
// "4 bytes past the end of an allocation of 128 bytes", for messages.
std::string describe_address(std::uintptr_t at);
enum class PointerKind { kUnknown, kDevice, kPinned };
PointerKind kind_of(const void* pointer);  // of live allocations

void set_heap_limit(std::size_t bytes);
std::size_t heap_limit();
std::size_t heap_in_use();  // device memory, in bytes asked for
std::size_t heap_peak();
void reset_heap_peak();

// The program's own image: read-only data may be read by device code; writable data is static shared memory.
enum class ImageKind { kNone, kReadOnly, kWritable };
ImageKind image_kind(std::uintptr_t at);
Shadow* static_shadow(std::uintptr_t at);  // of the writable segment that holds `at`, or nullptr

}  // namespace emer::simt
