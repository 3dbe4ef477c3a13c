// kernels/cuda/warpgroup.h - what sm_90a adds for products: the copy engine (TMA), barriers that count bytes
// (mbarrier), and products of four warps with operands in shared memory (wgmma). Only .cu files include this.
//
// After the PTX ISA. Operands in shared memory are rows of 128 bytes in the 128-byte swizzle: the 16-byte unit u of row
// r lies at unit u ^ (r % 8), which TMA writes and wgmma reads; matrices begin at multiples of 1024 bytes. Warp w of
// the four has rows 16 w .. 16 w + 15 of an m64n256 result: with g = lane / 4 and t = lane % 4,
//   d[4 n + 2 h + e]  row 16 w + g + 8 h, column 8 n + 2 t + e
// and a register fragment of the left operand is laid out as in kernels/cuda/tensor_core.h.
//
// On the harness (EMER_SIMT) the same functions do what the ISA says, descriptors and swizzle included; operands are
// read when the products are waited for, so that giving a buffer back too early is found.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/cuda/device_code.h"
#include "kernels/cuda/tensor_map.h"

namespace emer::cuda {

// Kernels are compiled for every architecture; where these instructions are not, what is behind this is left out.
#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
inline constexpr bool kWarpgroupCode = false;
#else
inline constexpr bool kWarpgroupCode = true;
#endif

inline constexpr int kWarpgroup = 128;   // threads
inline constexpr int kSwizzleRow = 128;  // bytes
inline constexpr int kSwizzleAtom = 8 * kSwizzleRow;
inline constexpr int kProductDepth = 16;

#ifdef EMER_SIMT

namespace warpgroup {
inline std::uint32_t offset_of(const void* shared) {
  return static_cast<std::uint32_t>(static_cast<const unsigned char*>(shared) -
                                    static_cast<const unsigned char*>(simt::dynamic_shared()));
}
inline unsigned char* swizzled(std::uint32_t offset) {
  return static_cast<unsigned char*>(simt::dynamic_shared()) + (offset ^ ((offset >> 7 & 7u) << 4));
}
inline std::uint32_t address(const void* shared) {
  return offset_of(shared);
}
// A barrier's word: bits 0-23 bytes to come, 24-39 arrivals to come, 40-55 arrivals of a phase, 63 the phase.
inline constexpr std::uint64_t kArrival = std::uint64_t{1} << 24, kExpected = std::uint64_t{1} << 40,
                               kPhase = std::uint64_t{1} << 63;
template <class Change>
void update(std::uint64_t* barrier, Change change) {
  auto* word = reinterpret_cast<unsigned long long*>(barrier);
  for (;;) {
    const unsigned long long old = simt::load_acquire(word);
    std::uint64_t now = change(std::uint64_t{old});
    if (now % kExpected == 0) now = (now ^ kPhase) + now / kExpected % 0x10000 * kArrival;
    if (simt::detail::rmw(word, simt::Rmw::kCompareExchange, static_cast<unsigned long long>(now), old,
                          simt::Order::kAcquireRelease) == old)
      return;
  }
}
}  // namespace warpgroup

inline void barrier_init(std::uint64_t* barrier, unsigned arrivals) {
  *barrier = arrivals * (warpgroup::kExpected + warpgroup::kArrival);
}
inline void barriers_are_made() {}
inline void barrier_arrive(std::uint64_t* barrier) {
  warpgroup::update(barrier, [](std::uint64_t word) { return word - warpgroup::kArrival; });
}
inline void barrier_arrive_expecting(std::uint64_t* barrier, unsigned bytes) {
  warpgroup::update(barrier, [&](std::uint64_t word) { return word - warpgroup::kArrival + bytes; });
}
inline void barrier_wait(std::uint64_t* barrier, unsigned phase) {
  const auto* word = reinterpret_cast<const unsigned long long*>(barrier);
  while ((simt::load_acquire(word) / warpgroup::kPhase) == phase) {
  }
}
inline void copy_box(void* shared, const TensorMap& map, int column, int row, int matrix,
                     std::uint64_t* barrier) {
  const std::uint32_t base = warpgroup::offset_of(shared);
  if (base % kSwizzleAtom != 0) __trap();
  for (int r = 0; r < static_cast<int>(map.box_rows); ++r)
    for (int c = 0; c < kTensorMapColumns; c += 8) {
      uint4 unit = make_uint4(0, 0, 0, 0);
      auto* elements = reinterpret_cast<std::uint16_t*>(&unit);
      const std::int64_t at_row = row + r;
      for (int e = 0; e < 8; ++e)
        if (at_row < map.extent[1] && column + c + e < map.extent[0])
          elements[e] = map.base[matrix * map.stride[2] + at_row * map.stride[1] + column + c + e];
      *reinterpret_cast<uint4*>(
          warpgroup::swizzled(base + static_cast<std::uint32_t>(r * kSwizzleRow + 2 * c))) = unit;
    }
  const auto bytes = static_cast<std::uint64_t>(map.box_rows * kSwizzleRow);
  warpgroup::update(barrier, [&](std::uint64_t word) { return word - bytes; });
}
template <int kRegisters>
void give_registers_back() {}
template <int kRegisters>
void take_registers() {}

inline std::uint64_t operand_place(const void* shared, unsigned leading_bytes, unsigned stride_bytes) {
  const std::uint32_t offset = warpgroup::offset_of(shared);
  return (offset >> 4) | std::uint64_t{leading_bytes >> 4} << 16 | std::uint64_t{stride_bytes >> 4} << 32 |
         std::uint64_t{1} << 62;
}

// Of one thread: products in flight, in groups as commit() closes them.
class WarpgroupProducts {
 public:
  void begin(float (&)[128]) {}
  void multiply(float (&d)[128], std::uint64_t left, std::uint64_t right, bool accumulate) {
    Product& p = add(d, right, accumulate);
    p.left = left;
    p.left_in_registers = p.left_by_columns = false;
    probe(left);
  }
  void multiply_columns(float (&d)[128], std::uint64_t left, std::uint64_t right, bool accumulate) {
    multiply(d, left, right, accumulate);
    products_[count_ - 1].left_by_columns = products_[count_ - 1].right_by_columns = true;
  }
  void multiply_transposed(float (&d)[128], const std::uint32_t (&left)[4], std::uint64_t right,
                           bool accumulate) {
    Product& p = add(d, right, accumulate);
    p.left_in_registers = p.right_by_columns = true;
    const int lane = static_cast<int>(threadIdx.x % 32);
    for (int r = 0; r < 4; ++r)
      for (int k = 0; k < 4; ++k) p.fragment[r][k] = __shfl_sync(kAllLanes, left[r], lane / 4 * 4 + k);
  }
  void commit() { ++group_; }
  template <int kPending>
  void wait(float (&)[128]) {
    int kept = 0;
    for (int i = 0; i < count_; ++i)
      if (products_[i].group + kPending >= group_)
        products_[kept++] = products_[i];
      else
        run(products_[i]);
    count_ = kept;
  }

 private:
  struct Product {
    float* d;
    std::uint64_t left, right;
    std::uint32_t fragment[4][4];  // of registers, of the lanes of the row
    int group;
    bool accumulate, left_in_registers, left_by_columns, right_by_columns;
  };
  Product& add(float (&d)[128], std::uint64_t right, bool accumulate) {
    if (count_ == kMost) __trap();
    Product& p = products_[count_++];
    p.d = d;
    p.right = right;
    p.group = group_;
    p.accumulate = accumulate;
    p.right_by_columns = false;
    probe(right);
    return p;
  }
  static std::uint32_t start(std::uint64_t place) { return static_cast<std::uint32_t>(place & 0x3fff) << 4; }
  static std::uint32_t leading(std::uint64_t place) {
    return static_cast<std::uint32_t>(place >> 16 & 0x3fff) << 4;
  }
  static std::uint32_t stride(std::uint64_t place) {
    return static_cast<std::uint32_t>(place >> 32 & 0x3fff) << 4;
  }
  static float value(std::uint32_t bits) { return __uint_as_float(bits << 16); }
  // Lanes of a warp read the same: for the harness each checks its share of the addresses.
  static uint4 read16(std::uint32_t offset, bool seen) {
    const void* at = warpgroup::swizzled(offset);
    return seen ? *static_cast<const uint4*>(at) : unseen<uint4>(at);
  }
  static std::uint32_t read4(std::uint32_t offset, bool seen) {
    const void* at = warpgroup::swizzled(offset);
    return seen ? *static_cast<const std::uint32_t*>(at) : unseen<std::uint32_t>(at);
  }
  template <class T>
  __attribute__((no_sanitize("thread"), noinline)) static T unseen(const void* at) {
    return *static_cast<const T*>(at);
  }
  // A read at the time of issue: the operand must be there by then.
  static void probe(std::uint64_t place) {
    static_cast<void>(*reinterpret_cast<const volatile std::uint16_t*>(warpgroup::swizzled(start(place))));
  }
  // 16 consecutive elements of row `row` of an operand stored by rows.
  static void load_row(std::uint64_t place, int row, bool seen, float (&values)[kProductDepth]) {
    const std::uint32_t at = start(place) + static_cast<std::uint32_t>(row / 8) * stride(place) +
                             static_cast<std::uint32_t>(row % 8) * kSwizzleRow;
    for (unsigned unit = 0; unit < 2; ++unit) {
      const uint4 eight = read16(at + 16 * unit, seen);
      const std::uint32_t pairs[] = {eight.x, eight.y, eight.z, eight.w};
      for (unsigned pair = 0; pair < 4; ++pair) {
        values[8 * unit + 2 * pair] = value(pairs[pair]);
        values[8 * unit + 2 * pair + 1] = value(pairs[pair] >> 16);
      }
    }
  }
  // Where elements k and `column`, of 64 side by side, of an operand stored by columns are.
  static std::uint32_t column_place(std::uint64_t place, int k, int column) {
    return start(place) + static_cast<std::uint32_t>(column / 64) * leading(place) +
           static_cast<std::uint32_t>(k / 8) * stride(place) +
           static_cast<std::uint32_t>(k % 8 * kSwizzleRow + column % 64 * 2);
  }
  static void run(const Product& p) {
    const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, t = lane % 4;
    const int warp = static_cast<int>(threadIdx.x % kWarpgroup) / 32;
    float left[2][kProductDepth];
    for (int half = 0; half < 2; ++half)
      if (p.left_in_registers)
        for (int k = 0; k < kProductDepth; ++k)
          left[half][k] = value(p.fragment[half + 2 * (k / 8)][k % 8 / 2] >> 16 * (k % 2));
      else if (p.left_by_columns)
        for (int k = 0; k < kProductDepth; ++k) {
          const int row = 16 * warp + 8 * half + g;
          const std::uint32_t pair = read4(column_place(p.left, k, row / 2 * 2), true);
          left[half][k] = value(row % 2 == 0 ? pair : pair >> 16);
        }
      else
        load_row(p.left, 16 * warp + 8 * half + g, true, left[half]);
    for (int n = 0; n < 32; ++n) {
      float right[2][kProductDepth];
      for (int e = 0; e < 2 && !p.right_by_columns; ++e)
        load_row(p.right, 8 * n + 2 * t + e, n % 8 == g, right[e]);
      for (int k = 0; k < kProductDepth && p.right_by_columns; ++k) {
        const std::uint32_t pair = read4(column_place(p.right, k, 8 * n + 2 * t), n % 8 == g);
        right[0][k] = value(pair);
        right[1][k] = value(pair >> 16);
      }
      for (int half = 0; half < 2; ++half)
        for (int e = 0; e < 2; ++e) {
          float& d = p.d[4 * n + 2 * half + e];
          float sum = p.accumulate ? d : 0.0f;
          for (int k = 0; k < kProductDepth; ++k) sum += left[half][k] * right[e][k];
          d = sum;
        }
    }
  }
  static constexpr int kMost = 12;
  Product products_[kMost];
  int count_ = 0, group_ = 0;
};

#else

namespace warpgroup {
__device__ inline std::uint32_t address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}
}  // namespace warpgroup

// A barrier in shared memory, 8 bytes: a phase ends when `arrivals` threads have arrived and the bytes that they
// announced are there. One thread makes all barriers, calls barriers_are_made, then the block synchronises.
__device__ inline void barrier_init(std::uint64_t* barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;"
               :
               : "r"(warpgroup::address(barrier)), "r"(arrivals)
               : "memory");
}
__device__ inline void barriers_are_made() {
  asm volatile("fence.mbarrier_init.release.cluster;" : : : "memory");
}
__device__ inline void barrier_arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" : : "r"(warpgroup::address(barrier)) : "memory");
}
__device__ inline void barrier_arrive_expecting(std::uint64_t* barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               :
               : "r"(warpgroup::address(barrier)), "r"(bytes)
               : "memory");
}
// Until the phase of this parity has ended; phases count from 0, and the one before them has ended.
__device__ inline void barrier_wait(std::uint64_t* barrier, unsigned phase) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n"
      :
      : "r"(warpgroup::address(barrier)), "r"(phase)
      : "memory");
}
// Starts the copy of one box of `map` from (matrix, row, column) to shared memory, 1024-byte aligned; its bytes count
// for the barrier. One thread calls.
__device__ inline void copy_box(void* shared, const TensorMap& map, int column, int row, int matrix,
                                std::uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
      "%5}], "
      "[%2];"
      :
      : "r"(warpgroup::address(shared)), "l"(&map), "r"(warpgroup::address(barrier)), "r"(column), "r"(row),
        "r"(matrix)
      : "memory");
}
// All warps of a warpgroup call: registers per thread from now on. More come only when others gave theirs back.
template <int kRegisters>
__device__ inline void give_registers_back() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" : : "n"(kRegisters));
}
template <int kRegisters>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" : : "n"(kRegisters));
}

// Where wgmma finds an operand. Stored by rows (16 elements of the inner dimension side by side): stride_bytes from
// eight rows to the next eight, leading_bytes unused. Stored by columns (64 of the outer dimension side by side):
// leading_bytes from 64 columns to the next 64, stride_bytes from eight of the inner dimension to the next eight.
__device__ inline std::uint64_t operand_place(const void* shared, unsigned leading_bytes,
                                              unsigned stride_bytes) {
  return (warpgroup::address(shared) & 0x3ffffu) >> 4 | std::uint64_t{leading_bytes >> 4} << 16 |
         std::uint64_t{stride_bytes >> 4} << 32 | std::uint64_t{1} << 62;  // 1: 128-byte swizzle
}

// The 128 sums of a thread, as operands of an asm statement.
#define EMER_WGMMA_SUMS                                                                          \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                       \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "             \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "             \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "             \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define EMER_WGMMA_8(d, i)                                                                    \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define EMER_WGMMA_64(d, i)                                                                     \
  EMER_WGMMA_8(d, i), EMER_WGMMA_8(d, i + 8), EMER_WGMMA_8(d, i + 16), EMER_WGMMA_8(d, i + 24), \
      EMER_WGMMA_8(d, i + 32), EMER_WGMMA_8(d, i + 40), EMER_WGMMA_8(d, i + 48), EMER_WGMMA_8(d, i + 56)

// Products in flight, in groups as commit() closes them. All threads of the warpgroup call, in one order.
class WarpgroupProducts {
 public:
  // Before the first product that reads or writes registers which other instructions have written.
  __device__ void begin(float (&d)[128]) {
    keep(d);
    asm volatile("wgmma.fence.sync.aligned;" : : : "memory");
  }
  // d (+)= left right', [64, 16] and [256, 16], both stored by rows.
  __device__ void multiply(float (&d)[128], std::uint64_t left, std::uint64_t right, bool accumulate) {
    multiply_shared<0>(d, left, right, accumulate);
  }
  // d (+)= left' right, [16, 64] and [16, 256], both stored by columns.
  __device__ void multiply_columns(float (&d)[128], std::uint64_t left, std::uint64_t right,
                                   bool accumulate) {
    multiply_shared<1>(d, left, right, accumulate);
  }
  // d (+)= left right, [64, 16] in registers and [16, 256] stored by columns.
  __device__ void multiply_transposed(float (&d)[128], const std::uint32_t (&left)[4], std::uint64_t right,
                                      bool accumulate) {
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "setp.ne.b32 p, %133, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" EMER_WGMMA_SUMS
        "}, {%128, %129, %130, %131}, %132, p, 1, 1, 1;\n"
        "}\n"
        : EMER_WGMMA_64(d, 0), EMER_WGMMA_64(d, 64)
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right),
          "r"(static_cast<int>(accumulate)));
  }
  __device__ void commit() { asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory"); }
  // Until at most kPending of the committed groups are in flight; the others' results may then be read.
  template <int kPending>
  __device__ void wait(float (&d)[128]) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(kPending) : "memory");
    keep(d);
  }

 private:
  template <int kByColumns>
  __device__ static void multiply_shared(float (&d)[128], std::uint64_t left, std::uint64_t right,
                                         bool accumulate) {
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "setp.ne.b32 p, %130, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" EMER_WGMMA_SUMS
        "}, %128, %129, p, 1, 1, %131, %131;\n"
        "}\n"
        : EMER_WGMMA_64(d, 0), EMER_WGMMA_64(d, 64)
        : "l"(left), "l"(right), "r"(static_cast<int>(accumulate)), "n"(kByColumns));
  }
  // Keeps the compiler from moving reads and writes of d across this place.
  __device__ static void keep(float (&d)[128]) {
#pragma unroll
    for (int i = 0; i < 128; ++i) asm volatile("" : "+f"(d[i]) : : "memory");
  }
};

#undef EMER_WGMMA_SUMS
#undef EMER_WGMMA_8
#undef EMER_WGMMA_64

#endif

// The block's dynamic shared memory from its first multiple of 1024 bytes on: ask for kSwizzleAtom bytes more.
template <class T>
__device__ inline T& swizzled_shared() {
  auto* base = dynamic_shared<unsigned char>();
  return *reinterpret_cast<T*>(base + (0u - warpgroup::address(base)) % kSwizzleAtom);
}

}  // namespace emer::cuda
