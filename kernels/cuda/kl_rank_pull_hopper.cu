// Pull tiles by wgmma and TMA, sm_90a: what kl_rank_pull.cu does. The mask's bits become the left operand in registers.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/kl_rank_device.h"
#include "kernels/cuda/kl_rank_pull.h"
#include "kernels/cuda/warpgroup.h"

namespace emer::cuda {

namespace {

constexpr int kRows = kKlMaskTile;
constexpr int kColumns = 256;  // dimensions
constexpr int kConsumers = 2;  // warpgroups, 64 rows each; one more brings the operands
constexpr int kThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kConsumerWarps = kConsumers * kWarpgroup / 32;
constexpr int kDepth = 64;  // samples of a stage
constexpr int kHalves = kKlMaskTile / kDepth;
constexpr int kStages = 6;
constexpr int kBox = kDepth * kTensorMapColumns;  // elements
constexpr int kBoxes = kColumns / kTensorMapColumns;
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;

struct Shared {
  std::uint16_t operand[kStages][kBoxes][kBox];
  std::uint64_t full[kStages], empty[kStages];
};
constexpr std::size_t kSharedBytes = sizeof(Shared) + kSwizzleAtom;  // to begin at a multiple of 1024

// Two bits as two bfloat16, 0 or 1.
__device__ std::uint32_t expand(std::uint32_t bits) {
  return ((bits & 1u) | (bits & 2u) << 15) * 0x3f80u;
}

__device__ void produce(const KlPull& pull, const TensorMap& operand, const int* list, int length,
                        Shared& shared) {
  const int column = static_cast<int>(blockIdx.x) * kColumns;
  for (int step = 0; step < kHalves * length; ++step) {
    const int stage = step % kStages;
    barrier_wait(&shared.empty[stage], static_cast<unsigned>(step / kStages % 2) ^ 1u);
    barrier_arrive_expecting(&shared.full[stage], sizeof shared.operand[0]);
    const int sample =
        static_cast<int>(pull.first_row) + list[step / kHalves] * kKlMaskTile + step % kHalves * kDepth;
    for (int box = 0; box < kBoxes; ++box)
      copy_box(shared.operand[stage][box], operand, column + box * kTensorMapColumns, sample,
               static_cast<int>(blockIdx.z), &shared.full[stage]);
  }
}

__device__ void consume(const KlRankPlan& p, const KlPull& pull, const int* list, int length,
                        Shared& shared) {
  const int consumer = static_cast<int>(threadIdx.x) - kWarpgroup, lane = consumer % 32, t = lane % 4;
  const std::int64_t row = std::int64_t{blockIdx.y} * kRows + consumer / 32 * 16 + lane / 4;
  const std::uint32_t* bits = pull.bits + (blockIdx.z * pull.lists * kRows + row) * pull.bits_ld;
  float d[128];
  WarpgroupProducts products;
  int step = 0;
  const auto release = [&](int number) {
    __syncwarp();
    if (lane == 0) barrier_arrive(&shared.empty[number % kStages]);
  };
  for (int place = 0; place < length; ++place) {
    const std::uint32_t* words = bits + std::int64_t{list[place]} * kKlTileWords;
    const uint4 upper = *reinterpret_cast<const uint4*>(words);
    const uint4 lower = *reinterpret_cast<const uint4*>(words + 8 * pull.bits_ld);
    const std::uint32_t rows[2][kKlTileWords] = {{upper.x, upper.y, upper.z, upper.w},
                                                 {lower.x, lower.y, lower.z, lower.w}};
    // Both halves of a tile have registers of their own: a half's are written while the other's are in use.
    std::uint32_t left[kHalves][kDepth / kProductDepth][4];
#pragma unroll
    for (int half = 0; half < kHalves; ++half, ++step) {
#pragma unroll
      for (int k = 0; k < kDepth / kProductDepth; ++k)
#pragma unroll
        for (int part = 0; part < 4; ++part)
          left[half][k][part] =
              expand(rows[part % 2][2 * half + k / 2] >> (16 * (k % 2) + 8 * (part / 2) + 2 * t));
      const int stage = step % kStages;
      barrier_wait(&shared.full[stage], static_cast<unsigned>(step / kStages % 2));
      products.begin(d);
#pragma unroll
      for (int k = 0; k < kDepth / kProductDepth; ++k)
        products.multiply_transposed(
            d, left[half][k],
            operand_place(shared.operand[stage][0] + k * kProductDepth * kTensorMapColumns,
                          kBox * sizeof(std::uint16_t), kSwizzleAtom),
            step > 0 || k > 0);
      products.commit();
      products.wait<1>(d);
      if (step > 0) release(step - 1);
    }
  }
  products.wait<0>(d);
  const bool any = length > 0;  // else d was never written

  float* out = pull.out + blockIdx.z * pull.out_stride;
  const std::int64_t width = 2 * p.d;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (row + 8 * half >= pull.out_rows) continue;
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      const std::int64_t x = std::int64_t{blockIdx.x} * kColumns + 8 * n + 2 * t;
      if (x >= width) continue;
      auto* to = reinterpret_cast<float2*>(out + (row + 8 * half) * width + x);
      const float2 before = pull.accumulate ? *to : make_float2(0.0f, 0.0f);
      *to = make_float2(before.x + (any ? d[4 * n + 2 * half] : 0.0f),
                        before.y + (any ? d[4 * n + 2 * half + 1] : 0.0f));
    }
  }
}

// One block per 256 dimensions (blockIdx.x) of 128 samples (.y) and direction (.z). Three warpgroups: one thread of the
// first brings operands, the others have 64 samples each.
__global__ void __launch_bounds__(kThreads, 1)
    kl_pull_hopper(KlRankPlan p, KlPull pull, const __grid_constant__ TensorMap operand) {
  if constexpr (!kWarpgroupCode) {
    __trap();
  } else {
    Shared& shared = swizzled_shared<Shared>();
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < kStages; ++stage) {
        barrier_init(&shared.full[stage], 1);
        barrier_init(&shared.empty[stage], kConsumerWarps);
      }
      barriers_are_made();
    }
    __syncthreads();
    const std::int64_t line = blockIdx.z * pull.lists + blockIdx.y;
    const int* list = pull.list + line * pull.list_ld;
    const int length = pull.list_length[line];
    if (threadIdx.x < kWarpgroup) {
      give_registers_back<kProducerRegisters>();
      if (threadIdx.x == 0) produce(pull, operand, list, length, shared);
    } else {
      take_registers<kConsumerRegisters>();
      consume(p, pull, list, length, shared);
    }
  }
}

void launch_pull(Context& ctx, const char* name, const KlRankPlan& p, const KlPull& pull) {
  launch(ctx,
         {.name = name,
          .grid = {blocks_for(2 * p.d, kColumns), blocks_for(pull.out_rows, kRows),
                   static_cast<unsigned>(p.slots)},
          .block = kThreads,
          .shared_bytes = kSharedBytes},
         kl_pull_hopper, p, pull,
         make_tensor_map(pull.operand, p.slots, pull.samples, 2 * p.d, p.operand_ld, kDepth));
}

}  // namespace

void kl_rank_pull_hopper(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  launch_pull(ctx, "kl_pull_hopper of rows", p, kl_row_pull(p, strip));
  launch_pull(ctx, "kl_pull_hopper of columns", p, kl_column_pull(p, strip));
}

}  // namespace emer::cuda
