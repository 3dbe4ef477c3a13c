// kernels/cuda/tensor_core.h - the tensor cores of sm_80 and later, and how operands reach them: copies from global to
// shared memory behind the program's back, 8 x 8 matrices from shared memory to registers, products of a warp.
// Only .cu files include this.
//
// Fragments and addresses are those of the PTX ISA (ldmatrix, mma.m16n8k16, cp.async). With g = lane / 4 and
// t = lane % 4, of an m16n8k16 product (a row-major, b column-major):
//   a[0] rows g, columns 2t, 2t+1    a[1] rows g + 8    a[2] columns + 8    a[3] both
//   b[0] rows 2t, 2t+1, column g     b[1] rows + 8
//   c[0], c[1] row g, columns 2t, 2t+1                  c[2], c[3] row g + 8
// The lower half of a register holds the lower index. Of an m16n8k8 product of TF32, one element a register:
//   a[0] row g, column t             a[1] row g + 8         a[2] column + 4      a[3] both
//   b[0] row t, column g             b[1] row + 4           c as above
// so that load_matrices, which moves four bytes to a lane, serves rows of 16 bytes of either. On the harness (EMER_SIMT) the same functions do what the ISA
// says: a copy arrives when it is waited for, never before.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/cuda/device_code.h"

namespace emer::cuda {

#ifdef EMER_SIMT

namespace tensor_core {
inline float lower(std::uint32_t pair) {
  return __uint_as_float(pair << 16);
}
inline float upper(std::uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000u);
}
}  // namespace tensor_core

// Of one thread: copies in flight, in groups as commit() closes them.
class AsyncCopies {
 public:
  void copy16(void* shared, const void* global, bool valid) { add(shared, global, 16, valid); }
  void copy4(void* shared, const void* global, bool valid) { add(shared, global, 4, valid); }
  void commit() { ++group_; }
  // Waits until at most kPending of the committed groups are in flight.
  template <int kPending>
  void wait() {
    int kept = 0;
    for (int i = 0; i < count_; ++i) {
      if (copies_[i].group + kPending >= group_) {
        copies_[kept++] = copies_[i];
        continue;
      }
      const Copy& c = copies_[i];
      for (int word = 0; word < c.bytes / 4; ++word)
        static_cast<std::uint32_t*>(c.to)[word] =
            c.valid ? static_cast<const std::uint32_t*>(c.from)[word] : 0u;
    }
    count_ = kept;
  }

 private:
  struct Copy {
    void* to;
    const void* from;
    int bytes, group;
    bool valid;
  };
  void add(void* to, const void* from, int bytes, bool valid) {
    if (count_ == kMost) __trap();
    // From now on the place holds nothing that may be read: a NaN, and a write for the race check.
    for (int word = 0; word < bytes / 4; ++word) static_cast<std::uint32_t*>(to)[word] = 0xffffffffu;
    copies_[count_++] = {to, from, bytes, group_, valid};
  }
  static constexpr int kMost = 96;
  Copy copies_[kMost];
  int count_ = 0, group_ = 0;
};

namespace tensor_core {
template <bool kTransposed>
void load_matrices(std::uint32_t (&registers)[4], const void* row) {
  const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, t = lane % 4;
  const auto own = reinterpret_cast<std::uintptr_t>(row);
  for (int matrix = 0; matrix < 4; ++matrix) {
    const int first = kTransposed ? 2 * t : g, second = kTransposed ? 2 * t + 1 : g;
    const auto* low = reinterpret_cast<const std::uint16_t*>(__shfl_sync(kAllLanes, own, 8 * matrix + first));
    const auto* high =
        reinterpret_cast<const std::uint16_t*>(__shfl_sync(kAllLanes, own, 8 * matrix + second));
    registers[matrix] =
        low[kTransposed ? g : 2 * t] | static_cast<std::uint32_t>(high[kTransposed ? g : 2 * t + 1]) << 16;
  }
}
}  // namespace tensor_core

inline void load_matrices(std::uint32_t (&registers)[4], const void* row) {
  tensor_core::load_matrices<false>(registers, row);
}
inline void load_matrices_transposed(std::uint32_t (&registers)[4], const void* row) {
  tensor_core::load_matrices<true>(registers, row);
}

// The exchange of registers is the instruction's own: not for the harness to check.
__attribute__((no_sanitize("thread"))) inline void multiply_bf16(float (&c)[4], const std::uint32_t (&a)[4],
                                                                 const std::uint32_t (&b)[2]) {
  static std::uint32_t exchange[32][32][6];
  const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, t = lane % 4;
  auto& warp = exchange[threadIdx.x / 32];
  for (int r = 0; r < 4; ++r) warp[lane][r] = a[r];
  for (int r = 0; r < 2; ++r) warp[lane][4 + r] = b[r];
  __syncwarp();
  for (int half = 0; half < 2; ++half)
    for (int k = 0; k < 8; ++k) {  // pairs of the inner index
      const std::uint32_t left = warp[4 * g + k % 4][half + 2 * (k / 4)];
      for (int column = 0; column < 2; ++column) {
        const std::uint32_t right = warp[4 * (2 * t + column) + k % 4][4 + k / 4];
        float& sum = c[2 * half + column];
        sum += tensor_core::lower(left) * tensor_core::lower(right);
        sum += tensor_core::upper(left) * tensor_core::upper(right);
      }
    }
  __syncwarp();
}

// To 10 mantissa bits, ties away from 0.
inline std::uint32_t round_tf32(std::uint32_t bits) {
  return (bits & 0x7fffffffu) > 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}
__attribute__((no_sanitize("thread"))) inline void multiply_tf32(float (&c)[4], const std::uint32_t (&a)[4],
                                                                 const std::uint32_t (&b)[2]) {
  static std::uint32_t exchange[32][32][6];
  const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, t = lane % 4;
  auto& warp = exchange[threadIdx.x / 32];
  for (int r = 0; r < 4; ++r) warp[lane][r] = a[r];
  for (int r = 0; r < 2; ++r) warp[lane][4 + r] = b[r];
  __syncwarp();
  const auto value = [](std::uint32_t bits) { return __uint_as_float(bits & 0xffffe000u); };
  for (int half = 0; half < 2; ++half)
    for (int k = 0; k < 8; ++k) {
      const float left = value(warp[4 * g + k % 4][half + 2 * (k / 4)]);
      for (int column = 0; column < 2; ++column)
        c[2 * half + column] += left * value(warp[4 * (2 * t + column) + k % 4][4 + k / 4]);
    }
  __syncwarp();
}

#else

__device__ inline std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

// Of one thread: copies in flight, in groups as commit() closes them.
class AsyncCopies {
 public:
  // 16 or 4 bytes, zeros where not valid; both addresses are multiples of that.
  __device__ void copy16(void* shared, const void* global, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(shared)), "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
  }
  __device__ void copy4(void* shared, const void* global, bool valid) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                 :
                 : "r"(shared_address(shared)), "l"(global), "r"(valid ? 4 : 0)
                 : "memory");
  }
  __device__ void commit() { asm volatile("cp.async.commit_group;" : : : "memory"); }
  // Waits until at most kPending of the committed groups are in flight.
  template <int kPending>
  __device__ void wait() {
    asm volatile("cp.async.wait_group %0;" : : "n"(kPending) : "memory");
  }
};

// Four 8 x 8 matrices of 16-bit elements from shared memory: lane l gives the address of row l % 8 of matrix l / 8, 16
// bytes, and receives elements 2t, 2t+1 of row g of each.
__device__ inline void load_matrices(std::uint32_t (&registers)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row))
               : "memory");
}
// The same, each matrix transposed: elements g of rows 2t, 2t+1.
__device__ inline void load_matrices_transposed(std::uint32_t (&registers)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row))
               : "memory");
}

// c += a b, a [16, 16], b [16, 8] of bfloat16, c [16, 8] of float.
__device__ inline void multiply_bf16(float (&c)[4], const std::uint32_t (&a)[4],
                                     const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// A float to TF32: 10 mantissa bits, ties away from 0.
__device__ inline std::uint32_t round_tf32(std::uint32_t bits) {
  std::uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}
// c += a b, a [16, 8], b [8, 8] of TF32 (whose lower 13 bits the product ignores), c [16, 8] of float.
__device__ inline void multiply_tf32(float (&c)[4], const std::uint32_t (&a)[4],
                                     const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif

}  // namespace emer::cuda
