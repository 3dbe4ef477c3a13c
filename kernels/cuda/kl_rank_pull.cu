// Pull tiles: U C and U' R of a strip from the mask's bits, on the tensor cores of sm_80 and later. U is never stored:
// its elements, 0 and 1, are made of bits in registers.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/kl_rank_device.h"
#include "kernels/cuda/kl_rank_pull.h"
#include "kernels/cuda/tensor_core.h"

namespace emer::cuda {

namespace {

constexpr int kWarps = 4;  // 2 x 2, each with 64 rows and 64 columns of the tile
constexpr int kThreads = 32 * kWarps;
constexpr int kTile = kKlMaskTile;
constexpr int kDepth = 32;  // samples of a stage: one word of the mask
constexpr int kStages = 4;
constexpr int kVector = 8;  // bfloat16 of a 16-byte copy
constexpr int kRowVectors = kTile / kVector;
constexpr int kOperandCells = kDepth * kTile;

struct Stages {
  std::uint16_t operand[kStages][kOperandCells];
  std::uint32_t words[kStages][kTile];  // of the tile's rows
};

// Where 16 bytes number `vector` of sample k of a stage are kept: eight samples that are read at once lie in eight
// different banks.
__device__ int stage_cell(int k, int vector) {
  return k * kTile + (vector ^ (k & 7)) * kVector;
}

// Two bits as two bfloat16, 0 or 1.
__device__ std::uint32_t expand(std::uint32_t bits) {
  return ((bits & 1u) | (bits & 2u) << 15) * 0x3f80u;
}

// One block per 128 dimensions (blockIdx.x) of 128 samples (.y) and direction (.z); a warp has a quarter.
__global__ void __launch_bounds__(kThreads, 2) kl_pull_tile(KlRankPlan p, KlPull pull) {
  Stages& stages = *dynamic_shared<Stages>();
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int warp_row = warp / 2 * 64, warp_column = warp % 2 * 64;
  const std::int64_t slot = blockIdx.z, line = slot * pull.lists + blockIdx.y, ld = p.operand_ld;
  const std::int64_t row0 = std::int64_t{blockIdx.y} * kTile, column0 = std::int64_t{blockIdx.x} * kTile;
  const std::int64_t width = 2 * p.d;
  const std::uint32_t* bits = pull.bits + (line * kTile + threadIdx.x) * pull.bits_ld;
  const std::uint16_t* operand = pull.operand + (slot * pull.samples + pull.first_row) * ld;
  const int* list = pull.list + line * pull.list_ld;
  const int steps = pull.list_length[line] * kKlTileWords;

  float sums[4][8][4] = {};
  AsyncCopies copies;
  const auto start = [&](int step) {
    if (step < steps) {
      const int stage = step % kStages;
      const std::int64_t word = std::int64_t{list[step / kKlTileWords]} * kKlTileWords + step % kKlTileWords;
      copies.copy4(&stages.words[stage][threadIdx.x], bits + word, true);
      const int vector = static_cast<int>(threadIdx.x) % kRowVectors;
      const std::int64_t x = column0 + vector * kVector;
      for (int pass = 0; pass < kDepth / (kThreads / kRowVectors); ++pass) {
        const int k = pass * (kThreads / kRowVectors) + static_cast<int>(threadIdx.x) / kRowVectors;
        const std::int64_t sample = word * kDepth + k;
        const bool valid = sample < pull.operand_rows && x < ld;
        copies.copy16(&stages.operand[stage][stage_cell(k, vector)], operand + (valid ? sample * ld + x : 0),
                      valid);
      }
    }
    copies.commit();
  };
  for (int step = 0; step < kStages - 1; ++step) start(step);
  for (int step = 0; step < steps; ++step) {
    copies.wait<kStages - 2>();
    __syncthreads();  // stage `step` is there for all, and all are done with the one that is filled next
    start(step + kStages - 1);
    const std::uint16_t* stage = stages.operand[step % kStages];
    const std::uint32_t* words = stages.words[step % kStages] + warp_row + lane / 4;
    std::uint32_t rows[4][2];
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      rows[m][0] = words[16 * m] >> (2 * (lane % 4));
      rows[m][1] = words[16 * m + 8] >> (2 * (lane % 4));
    }
#pragma unroll
    for (int half = 0; half < kDepth / 16; ++half) {
      std::uint32_t b[4][4];
#pragma unroll
      for (int n = 0; n < 4; ++n)
        load_matrices_transposed(b[n], stage + stage_cell(16 * half + lane % 8 + lane / 8 % 2 * 8,
                                                          (warp_column + 16 * n) / kVector + lane / 16));
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        const std::uint32_t a[4] = {expand(rows[m][0] >> (16 * half)), expand(rows[m][1] >> (16 * half)),
                                    expand(rows[m][0] >> (16 * half + 8)),
                                    expand(rows[m][1] >> (16 * half + 8))};
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          multiply_bf16(sums[m][2 * n], a, {b[n][0], b[n][1]});
          multiply_bf16(sums[m][2 * n + 1], a, {b[n][2], b[n][3]});
        }
      }
    }
  }

  float* out = pull.out + slot * pull.out_stride;
#pragma unroll
  for (int m = 0; m < 4; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t row = row0 + warp_row + 16 * m + 8 * half + lane / 4;
      if (row >= pull.out_rows) continue;
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        const std::int64_t x = column0 + warp_column + 8 * n + 2 * (lane % 4);
        if (x >= width) continue;
        auto* to = reinterpret_cast<float2*>(out + row * width + x);
        const float2 before = pull.accumulate ? *to : make_float2(0.0f, 0.0f);
        *to = make_float2(before.x + sums[m][n][2 * half], before.y + sums[m][n][2 * half + 1]);
      }
    }
}

void launch_pull(Context& ctx, const char* name, const KlRankPlan& p, const KlPull& pull) {
  launch(
      ctx,
      {.name = name,
       .grid = {blocks_for(2 * p.d, kTile), blocks_for(pull.out_rows, kTile), static_cast<unsigned>(p.slots)},
       .block = kThreads,
       .shared_bytes = sizeof(Stages)},
      kl_pull_tile, p, pull);
}

}  // namespace

void kl_rank_pull_tiles(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  launch_pull(ctx, "kl_pull_tile of rows", p, kl_row_pull(p, strip));
  launch_pull(ctx, "kl_pull_tile of columns", p, kl_column_pull(p, strip));
}

}  // namespace emer::cuda
