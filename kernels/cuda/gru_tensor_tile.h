// kernels/cuda/gru_tensor_tile.h - the tile of gru_tile.h on the tensor cores: bfloat16 operands, sums in float. Only .cu
// files include this.
//
// Eight warps, kWarpsDown below one another; each has 32 rows and 16 units of all gates. The order of the inner index
// is free as long as both operands follow it, so a lane takes 8 neighbouring elements of its row, 16 bytes, for two
// products m16n8k16: its registers hold elements 8t .. 8t+3 for the first and 8t+4 .. 8t+7 for the second (t = lane %
// 4). A goes from global memory (the level-2 cache) straight to registers, one chunk of 32 ahead; the weights lie in
// shared memory as the lanes read them, [chunk][block of 8 columns][lane][8 elements].
#pragma once

#include "kernels/cuda/gru_code.h"
#include "kernels/cuda/gru_threads.h"
#include "kernels/cuda/tensor_core.h"

namespace emer::cuda {

// c += a b as multiply_bf16, also in kernels whose blocks live at once: there the harness refuses the shared array
// through which multiply_bf16's twin exchanges fragments, so this one shuffles them.
__device__ inline void gru_multiply(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
#ifdef EMER_SIMT
  const auto pair = [](std::uint32_t low, std::uint32_t high) {
    return low | static_cast<unsigned long long>(high) << 32;
  };
  const int g = static_cast<int>(threadIdx.x % 32) / 4, t = static_cast<int>(threadIdx.x % 4);
  for (int k = 0; k < 4; ++k) {
    const unsigned long long left[2] = {__shfl_sync(kAllLanes, pair(a[0], a[1]), 4 * g + k),
                                        __shfl_sync(kAllLanes, pair(a[2], a[3]), 4 * g + k)};
    for (int column = 0; column < 2; ++column) {
      const unsigned long long right = __shfl_sync(kAllLanes, pair(b[0], b[1]), 4 * (2 * t + column) + k);
      for (int upper_rows = 0; upper_rows < 2; ++upper_rows)
        for (int half = 0; half < 2; ++half) {
          const auto x = static_cast<std::uint32_t>(left[half] >> 32 * upper_rows),
                     y = static_cast<std::uint32_t>(right >> 32 * half);
          float& sum = c[2 * upper_rows + column];
          sum += tensor_core::lower(x) * tensor_core::lower(y);
          sum += tensor_core::upper(x) * tensor_core::upper(y);
        }
    }
  }
#else
  multiply_bf16(c, a, b);
#endif
}

template <int kWarpsDown>
struct GruTensorTile {
  using Operand = Bf16Bits;
  static constexpr int kWarpsAcross = kGruThreads / 32 / kWarpsDown;
  static constexpr int kRows = 32 * kWarpsDown, kUnits = 16 * kWarpsAcross, kThreadRows = 4, kThreadUnits = 4,
                       kInner = 32, kStage = 0;

  static std::int64_t shared_bytes(std::int64_t inner, int columns) {
    return inner * columns * static_cast<std::int64_t>(sizeof(Operand));
  }

  // The places of a thread in the results' fragments: rows 8r + g of the warp's 32, units 8 * (u / 2) + 2t + u % 2 of
  // its 16.
  __device__ static int row(int r) { return warp_down() * 32 + r * 8 + lane() / 4; }
  __device__ static int first_unit() { return warp_across() * 16 + lane() % 4 * 2; }
  __device__ static constexpr int offset(int u) { return u / 2 * 8 + u % 2; }

  template <int kColumns, class Value>
  __device__ static void fill(Operand* weights, int inner, Value&& value) {
    static_assert(kColumns % 8 == 0);
    for (int i = static_cast<int>(threadIdx.x); i < inner * kColumns; i += kGruThreads) {
      const int chunk = i / (kInner * kColumns), block = i / 256 % (kColumns / 8), reader = i / 8 % 32;
      store_operand(weights + i, value(chunk * kInner + reader % 4 * 8 + i % 8, block * 8 + reader / 4));
    }
  }
  __device__ static const Operand* gate(const Operand* weights, int g) {
    return weights + g * (kUnits / 8) * 256;
  }
  template <int kColumns>
  __device__ static const Operand* section(const Operand* weights, int inner, int s) {
    return weights + s * inner * kColumns;
  }

  template <int kGates, int kColumns>
  __device__ static void product(const Operand* a, std::int64_t lda, int inner, const Operand* weights,
                                 Operand*, float (&sum)[kThreadRows][kThreadUnits][kGates]) {
    const Operand* rows = a + (warp_down() * 32 + lane() / 4) * lda + lane() % 4 * 8;
    const Operand* columns = weights + warp_across() * 2 * 256 + lane() * 8;
    float c[kGates][2][2][4] = {};  // gate, 16 rows, 8 units, fragment
    Rows now, next;
    now.load(rows, lda);
    for (int first = 0; first < inner; first += kInner) {
      if (first + kInner < inner) next.load(rows + first + kInner, lda);
#pragma unroll
      for (int g = 0; g < kGates; ++g)
#pragma unroll
        for (int block = 0; block < 2; ++block) {
          const uint4 right =
              *reinterpret_cast<const uint4*>(columns + first * kColumns + (g * (kUnits / 8) + block) * 256);
          const std::uint32_t b[2][2] = {{right.x, right.y}, {right.z, right.w}};
#pragma unroll
          for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int m = 0; m < 2; ++m) gru_multiply(c[g][m][block], now.fragment[m][half], b[half]);
        }
      now = next;
    }
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r)
#pragma unroll
      for (int u = 0; u < kThreadUnits; ++u)
#pragma unroll
        for (int g = 0; g < kGates; ++g) sum[r][u][g] += c[g][r / 2][u / 2][r % 2 * 2 + u % 2];
  }

 private:
  // One lane's part of 32 rows and 32 inner elements: 16 rows, product, register.
  struct Rows {
    std::uint32_t fragment[2][2][4];
    __device__ void load(const Operand* from, std::int64_t lda) {
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const uint4 upper = *reinterpret_cast<const uint4*>(from + m * 16 * lda),
                    lower = *reinterpret_cast<const uint4*>(from + (m * 16 + 8) * lda);
        fragment[m][0][0] = upper.x;
        fragment[m][0][1] = lower.x;
        fragment[m][0][2] = upper.y;
        fragment[m][0][3] = lower.y;
        fragment[m][1][0] = upper.z;
        fragment[m][1][1] = lower.z;
        fragment[m][1][2] = upper.w;
        fragment[m][1][3] = lower.w;
      }
    }
  };
  __device__ static int lane() {
    return static_cast<int>(threadIdx.x % 32);
  }
  __device__ static int warp_down() {
    return static_cast<int>(threadIdx.x) / 32 % kWarpsDown;
  }
  __device__ static int warp_across() {
    return static_cast<int>(threadIdx.x) / 32 / kWarpsDown;
  }
};

}  // namespace emer::cuda
