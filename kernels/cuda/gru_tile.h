// kernels/cuda/gru_tile.h - one block's tile of a recurrent product, with its weights in shared memory. Only .cu files
// include this.
//
// A tile has kRows rows and kUnits hidden units. product<kGates, kColumns> multiplies A [kRows, inner], rows of `lda`
// elements in global memory, with weights [inner][kColumns] in shared memory, of which columns g * kUnits + u, g <
// kGates, count, and adds. Every thread holds all gates of kThreadRows x kThreadUnits places: rows row(r), units
// first_unit() + offset(u). A has all kRows rows and `inner` is a multiple of kInner: whoever makes A pads it with zeros. All threads
// must call.
#pragma once

#include <cstdint>

#include "core/cuda/device_code.h"
#include "kernels/cuda/gru_threads.h"

namespace emer::cuda {

// Products and sums in float. Thread (x, y) of [kAcross, kDown] holds rows y * kRowsOfThread .. and units x and
// x + kAcross: a row of units is then read and written side by side.
template <int kUnitsOfTile, int kRowsOfThread>
struct GruFloatTile {
  using Operand = float;
  static constexpr int kUnits = kUnitsOfTile, kAcross = kUnits / 2, kDown = kGruThreads / kAcross,
                       kRows = kDown * kRowsOfThread, kThreadRows = kRowsOfThread, kThreadUnits = 2,
                       kInner = 16;
  static constexpr int kStageRow = kRows + 4;  // still 16 bytes aligned, fewer bank conflicts
  static constexpr int kStage = 2 * kInner * kStageRow;
  static constexpr int kLoads = kRows * kInner / 4 / kGruThreads;  // float4 of A per thread and chunk
  static_assert(kLoads * kGruThreads * 4 == kRows * kInner);

  // For `inner` rows of weights.
  static std::int64_t shared_bytes(std::int64_t inner, int columns) {
    return (inner * columns + kStage) * static_cast<std::int64_t>(sizeof(float));
  }

  __device__ static int row(int r) { return static_cast<int>(threadIdx.x) / kAcross * kRowsOfThread + r; }
  __device__ static int first_unit() { return static_cast<int>(threadIdx.x) % kAcross; }
  __device__ static constexpr int offset(int u) { return u * kAcross; }

  // weights[k][column] <- value(k, column), k < inner.
  template <int kColumns, class Value>
  __device__ static void fill(float* weights, int inner, Value&& value) {
    for (int i = static_cast<int>(threadIdx.x); i < inner * kColumns; i += kGruThreads)
      weights[i] = value(i / kColumns, i % kColumns);
  }
  // Where the columns of a gate, or the rows of a section of `inner`, begin.
  __device__ static const float* gate(const float* weights, int g) { return weights + g * kUnits; }
  template <int kColumns>
  __device__ static const float* section(const float* weights, int inner, int s) {
    return weights + s * inner * kColumns;
  }

  template <int kGates, int kColumns>
  __device__ static void product(const float* a, std::int64_t lda, int inner, const float* weights,
                                 float* stage, float (&sum)[kThreadRows][kThreadUnits][kGates]) {
    float4 next[kLoads];
    load(a, lda, 0, next);
    store(stage, next);
    __syncthreads();
    const int x = static_cast<int>(threadIdx.x) % kAcross, y = static_cast<int>(threadIdx.x) / kAcross;
    for (int first = 0; first < inner; first += kInner) {
      const float* now = stage + first / kInner % 2 * (kInner * kStageRow);
      const bool more = first + kInner < inner;
      if (more) load(a, lda, first + kInner, next);
#pragma unroll 4
      for (int k = 0; k < kInner; ++k) {
        float left[kRowsOfThread], right[kGates][2];
        read_rows(now + k * kStageRow + y * kRowsOfThread, left);
        const float* of_k = weights + (first + k) * kColumns + x;
#pragma unroll
        for (int g = 0; g < kGates; ++g) {
          right[g][0] = of_k[g * kUnits];
          right[g][1] = of_k[g * kUnits + kAcross];
        }
#pragma unroll
        for (int r = 0; r < kThreadRows; ++r)
#pragma unroll
          for (int u = 0; u < kThreadUnits; ++u)
#pragma unroll
            for (int g = 0; g < kGates; ++g) sum[r][u][g] += left[r] * right[g][u];
      }
      // The other half of the stage was last read before the barrier below, one chunk ago.
      if (more) store(stage + (first / kInner + 1) % 2 * (kInner * kStageRow), next);
      __syncthreads();
    }
  }

 private:
  __device__ static void load(const float* a, std::int64_t lda, int first, float4 (&to)[kLoads]) {
    const int t = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kLoads; ++i)
      to[i] = *reinterpret_cast<const float4*>(a + (t / 4 + i * (kGruThreads / 4)) * lda + first + t % 4 * 4);
  }
  __device__ static void store(float* stage, const float4 (&from)[kLoads]) {
    const int t = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      float* to = stage + t % 4 * 4 * kStageRow + t / 4 + i * (kGruThreads / 4);
      to[0] = from[i].x;
      to[kStageRow] = from[i].y;
      to[2 * kStageRow] = from[i].z;
      to[3 * kStageRow] = from[i].w;
    }
  }
  __device__ static void read_rows(const float* from, float (&to)[kRowsOfThread]) {
    if constexpr (kRowsOfThread % 4 == 0) {
#pragma unroll
      for (int r = 0; r < kRowsOfThread; r += 4) {
        const float4 four = *reinterpret_cast<const float4*>(from + r);
        to[r] = four.x;
        to[r + 1] = four.y;
        to[r + 2] = four.z;
        to[r + 3] = four.w;
      }
    } else {
#pragma unroll
      for (int r = 0; r < kRowsOfThread; ++r) to[r] = from[r];
    }
  }
};

}  // namespace emer::cuda
