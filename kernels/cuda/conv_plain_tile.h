// kernels/cuda/conv_plain_tile.h - products without tensor cores: a tile of 128 rows and 64 columns, summed by 128
// threads with 8 x 8 sums each, 16 deep at a time, two stages in shared memory. Only .cu files include this.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace emer::cuda {

struct PlainTile {
  static constexpr int kRows = 128, kColumns = 64, kDepth = 16, kThreads = 128;
  static constexpr int kRowFours = kRows / 4, kColumnFours = kColumns / 4, kDepthFours = kDepth / 4;

  // [depth][row or column]. Neighbours along the depth are written in one go by a thread; cell() spreads them so that
  // the 32 lanes of such a write meet 32 banks.
  struct Stage {
    float rows[kDepth][kRows];
    float columns[kDepth][kColumns];
  };
  static __device__ int cell(int k, int at) { return at ^ (8 * (k / 4)); }

  // A thread's sums: rows 4 ty .. + 3 and 64 + 4 ty .. + 3, columns 4 tx .. + 3 and 32 + 4 tx .. + 3.
  static __device__ int row(int i) {
    return 4 * (static_cast<int>(threadIdx.x) / 8) + i / 4 * (kRows / 2) + i % 4;
  }
  static __device__ int column(int j) {
    return 4 * (static_cast<int>(threadIdx.x) % 8) + j / 4 * (kColumns / 2) + j % 4;
  }
};

__device__ inline void spread_four(float (&to)[8], int at, float4 four) {
  to[at] = four.x;
  to[at + 1] = four.y;
  to[at + 2] = four.z;
  to[at + 3] = four.w;
}

__device__ inline void multiply_plain(const PlainTile::Stage& stage, float (&sums)[8][8]) {
  const int row = PlainTile::row(0), column = PlainTile::column(0);
#pragma unroll
  for (int k = 0; k < PlainTile::kDepth; ++k) {
    float a[8], b[8];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      spread_four(a, 4 * half,
                  *reinterpret_cast<const float4*>(
                      &stage.rows[k][PlainTile::cell(k, row + half * (PlainTile::kRows / 2))]));
      spread_four(b, 4 * half,
                  *reinterpret_cast<const float4*>(
                      &stage.columns[k][PlainTile::cell(k, column + half * (PlainTile::kColumns / 2))]));
    }
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
      for (int j = 0; j < 8; ++j) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
  }
}

}  // namespace emer::cuda
