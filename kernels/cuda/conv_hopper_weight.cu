// Gradient of a 3x3 convolution's weights by wgmma and TMA, sm_90a: what conv_mma_weight.cu does. Pixels are the inner
// index, so that both operands are stored by columns; x under each tap comes by TMA's im2col mode.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/conv_parts.h"
#include "kernels/cuda/conv_ranges.h"
#include "kernels/cuda/conv_tensor.h"
#include "kernels/cuda/image_copy.h"
#include "kernels/cuda/warpgroup.h"

namespace emer::cuda {

namespace {

constexpr int kConsumers = 2;  // warpgroups, 64 output channels each; one more brings the operands
constexpr int kRows = 64 * kConsumers;
constexpr int kThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kConsumerWarps = kConsumers * kWarpgroup / 32;
constexpr int kDepth = 64;  // pixels of a stage
constexpr int kStages = 4;
constexpr int kBox = kDepth * kTensorMapColumns;  // elements
constexpr int kBoxes = 4;                         // of 64 columns (r, s, c) each, of a tile
constexpr int kColumns = kBoxes * kTensorMapColumns;
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;

struct Shared {
  std::uint16_t dz[kStages][kConsumers][kBox];
  std::uint16_t x[kStages][kBoxes][kBox];
  std::uint64_t full[kStages], empty[kStages];
};
constexpr std::size_t kSharedBytes = sizeof(Shared) + kSwizzleAtom;  // to begin at a multiple of 1024

struct Job {
  int height, width, in, out;
  float* parts;  // [ranges, out, 9 * in]
  std::int64_t pixels, range;
};

__device__ int steps_of(const Job& job) {
  const std::int64_t begin = blockIdx.z * job.range;
  const std::int64_t count = job.pixels - begin < job.range ? job.pixels - begin : job.range;
  return static_cast<int>((count + kDepth - 1) / kDepth);
}

// What lies behind the last pixel, output channel or column arrives as zeros.
__device__ void produce(const Job& job, const TensorMap& dz, const ImageMap& x, Shared& shared) {
  const int chunks = job.in / kTensorMapColumns, first_box = static_cast<int>(blockIdx.x) * kBoxes;
  for (int step = 0; step < steps_of(job); ++step) {
    const int stage = step % kStages;
    barrier_wait(&shared.empty[stage], static_cast<unsigned>(step / kStages % 2) ^ 1u);
    barrier_arrive_expecting(&shared.full[stage], sizeof shared.dz[0] + sizeof shared.x[0]);
    const std::int64_t pixel = blockIdx.z * job.range + std::int64_t{step} * kDepth, line = pixel / job.width;
    const int j = static_cast<int>(pixel % job.width) - 1, i = static_cast<int>(line % job.height) - 1,
              image = static_cast<int>(line / job.height);
    for (int group = 0; group < kConsumers; ++group)
      copy_box(shared.dz[stage][group], dz, static_cast<int>(blockIdx.y) * kRows + group * kTensorMapColumns,
               static_cast<int>(pixel), 0, &shared.full[stage]);
    for (int box = 0; box < kBoxes; ++box) {
      const int number = first_box + box;
      const bool exists = number < 9 * chunks;
      const int tap = exists ? number / chunks : 0;
      const int channel = exists ? number % chunks * kTensorMapColumns : job.in;
      copy_pixels(shared.x[stage][box], x, channel, j, i, image, tap % 3, tap / 3, &shared.full[stage]);
    }
  }
}

__device__ void consume(const Job& job, Shared& shared) {
  const int consumer = static_cast<int>(threadIdx.x) - kWarpgroup, lane = consumer % 32, t = lane % 4;
  const int group = consumer / kWarpgroup, steps = steps_of(job);
  float d[128];
  WarpgroupProducts products;
  const auto release = [&](int number) {
    __syncwarp();
    if (lane == 0) barrier_arrive(&shared.empty[number % kStages]);
  };
  for (int step = 0; step < steps; ++step) {
    const int stage = step % kStages;
    barrier_wait(&shared.full[stage], static_cast<unsigned>(step / kStages % 2));
    products.begin(d);
#pragma unroll
    for (int k = 0; k < kDepth; k += kProductDepth)
      products.multiply_columns(d,
                                operand_place(shared.dz[stage][group] + k * kTensorMapColumns,
                                              kBox * sizeof(std::uint16_t), kSwizzleAtom),
                                operand_place(shared.x[stage][0] + k * kTensorMapColumns,
                                              kBox * sizeof(std::uint16_t), kSwizzleAtom),
                                step > 0 || k > 0);
    products.commit();
    products.wait<1>(d);
    if (step > 0) release(step - 1);
  }
  products.wait<0>(d);

  const int row = static_cast<int>(blockIdx.y) * kRows + consumer / 32 * 16 + lane / 4;
  float* part = job.parts + std::int64_t{blockIdx.z} * job.out * 9 * job.in;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (row + 8 * half >= job.out) continue;
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      const int column = static_cast<int>(blockIdx.x) * kColumns + 8 * n + 2 * t;
      if (column < 9 * job.in)
        *reinterpret_cast<float2*>(part + std::int64_t{row + 8 * half} * 9 * job.in + column) =
            make_float2(d[4 * n + 2 * half], d[4 * n + 2 * half + 1]);
    }
  }
}

// One block per 256 columns (r, s, c) (blockIdx.x), 128 output channels (.y) and range of pixels (.z). Three warpgroups:
// one thread of the first brings operands, the others have 64 output channels each.
__global__ void __launch_bounds__(kThreads, 1)
    conv_weight_part_hopper(Job job, const __grid_constant__ TensorMap dz,
                            const __grid_constant__ ImageMap x) {
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
    if (threadIdx.x < kWarpgroup) {
      give_registers_back<kProducerRegisters>();
      if (threadIdx.x == 0) produce(job, dz, x, shared);
    } else {
      take_registers<kConsumerRegisters>();
      consume(job, shared);
    }
  }
}

}  // namespace

void conv_hopper_weight_gradient(Context& ctx, const ConvShape& shape, const Bf16Bits* x, const Bf16Bits* dz,
                                 float* d_weight) {
  const ArenaScope scope(ctx);
  const ConvRanges ranges = conv_ranges(shape, kRows, kColumns, kDepth);
  const std::int64_t weights = std::int64_t{9} * shape.out * shape.in;
  auto* parts = ctx.scratch<float>(static_cast<std::size_t>(ranges.count * weights));
  launch(ctx,
         {.name = "conv_weight_part_hopper",
          .grid = {blocks_for(9 * shape.in, kColumns), blocks_for(shape.out, kRows),
                   static_cast<unsigned>(ranges.count)},
          .block = kThreads,
          .shared_bytes = kSharedBytes},
         conv_weight_part_hopper,
         Job{.height = shape.height,
             .width = shape.width,
             .in = shape.in,
             .out = shape.out,
             .parts = parts,
             .pixels = ranges.pixels,
             .range = ranges.length},
         make_tensor_map(dz, 1, ranges.pixels, shape.out, shape.out, kDepth),
         make_image_map(x, shape.n, shape.height, shape.width, shape.in, kDepth));
  conv_add_parts(
      ctx, {.parts = ranges.count, .columns = weights, .weight = d_weight, .weight_count = weights}, parts);
}

}  // namespace emer::cuda
