// Implicit product of a 3x3 convolution by wgmma, the pixels under each tap by TMA's im2col mode, sm_90a.
//
// Channels of the result are the rows of the product and pixels its columns: a thread then holds runs of an image's line
// and, of the widths that divide 256 pixels into pairs of lines, whole windows of the pool.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/cluster.h"
#include "kernels/cuda/conv_mma_code.h"
#include "kernels/cuda/image_copy.h"
#include "kernels/cuda/warpgroup.h"

namespace emer::cuda {

namespace {

constexpr int kPixels = 256;
constexpr int kConsumers = 2;  // warpgroups, 64 channels each; one more brings the operands
constexpr int kChannels = 64 * kConsumers;
constexpr int kThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kConsumerThreads = kConsumers * kWarpgroup;
constexpr int kConsumerWarps = kConsumerThreads / 32;
constexpr int kDepth = kTensorMapColumns;  // channels of a stage, under one tap
constexpr int kStages = 4;
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;
constexpr int kRows = 32;  // pixels or windows that are turned at a time, from channels to rows of y
constexpr int kResultLd = kChannels + 4;  // the lanes of a store meet in no bank
constexpr int kPlaceLd = kChannels + 16;

struct Shared {
  std::uint16_t pixels[kStages][kPixels * kDepth];
  std::uint16_t weights[kStages][kChannels * kDepth];
  alignas(16) float results[kRows][kResultLd];
  alignas(16) std::uint8_t places[kRows][kPlaceLd];
  std::uint64_t full[kStages], empty[kStages], together;
};
constexpr std::size_t kSharedBytes = sizeof(Shared) + kSwizzleAtom;  // to begin at a multiple of 1024

struct Job {
  ConvProduct product;
  int channel_tiles, total;  // tiles of the same pixels; tiles altogether
  int chunks;                // of kDepth channels
};

// In a cluster of two each block brings half of the pixels, to both.
template <int kCluster>
__device__ void produce(const Job& job, const ImageMap& images, const TensorMap& weights, Shared& shared) {
  const ConvProduct& p = job.product;
  const int own_pixels = kCluster == 2 ? static_cast<int>(cluster_rank()) * (kPixels / 2) : 0;
  unsigned stage_number = 0;
  for (int index = static_cast<int>(blockIdx.x); index < job.total; index += static_cast<int>(gridDim.x)) {
    const std::int64_t pixel = std::int64_t{index / job.channel_tiles} * kPixels + own_pixels;
    const std::int64_t line = pixel / p.width;
    const int channel = index % job.channel_tiles * kChannels;
    const int j = static_cast<int>(pixel % p.width) - 1, i = static_cast<int>(line % p.height) - 1,
              image = static_cast<int>(line / p.height);
    for (int tap = 0; tap < 9; ++tap)
      for (int chunk = 0; chunk < job.chunks; ++chunk, ++stage_number) {
        const unsigned stage = stage_number % kStages;
        barrier_wait_for_cluster(&shared.empty[stage], (stage_number / kStages % 2) ^ 1u);
        barrier_arrive_expecting(&shared.full[stage], sizeof shared.pixels[0] + sizeof shared.weights[0]);
        std::uint16_t* to = shared.pixels[stage] + own_pixels * kDepth;
        if constexpr (kCluster == 2)
          copy_pixels_to_both(to, images, chunk * kDepth, j, i, image, tap % 3, tap / 3, &shared.full[stage]);
        else
          copy_pixels(to, images, chunk * kDepth, j, i, image, tap % 3, tap / 3, &shared.full[stage]);
        copy_box(shared.weights[stage], weights, tap * p.depth + chunk * kDepth, channel, 0,
                 &shared.full[stage]);
      }
  }
}

// The warpgroup's 64 channels x 256 pixels of one tile.
template <int kCluster>
__device__ void multiply(const Job& job, Shared& shared, int group, unsigned& stage_number, float (&d)[128]) {
  WarpgroupProducts products;
  const auto release = [&](unsigned number) {
    __syncwarp();
    const unsigned lane = threadIdx.x % 32;
    // In a cluster both producers wait for the consumers of both: their copies go to both.
    if constexpr (kCluster == 1) {
      if (lane == 0) barrier_arrive(&shared.empty[number % kStages]);
    } else {
      if (lane < kCluster) barrier_arrive_at(&shared.empty[number % kStages], lane);
    }
  };
  for (int step = 0; step < 9 * job.chunks; ++step, ++stage_number) {
    const unsigned stage = stage_number % kStages;
    barrier_wait(&shared.full[stage], stage_number / kStages % 2);
    products.begin(d);
#pragma unroll
    for (int k = 0; k < kDepth; k += kProductDepth)
      products.multiply(d, operand_place(shared.weights[stage] + group * 64 * kDepth + k, 0, kSwizzleAtom),
                        operand_place(shared.pixels[stage] + k, 0, kSwizzleAtom), step > 0 || k > 0);
    products.commit();
    products.wait<1>(d);
    if (step > 0) release(stage_number - 1);
  }
  products.wait<0>(d);
  release(stage_number - 1);
}

// 32 rows of the result from shared memory; consumer `consumer` has eight channels of every sixteenth row.
template <class Result>
__device__ void store_results(const Shared& shared, Result* result, std::int64_t first_row,
                              std::int64_t all_rows, int channel0, int columns, int consumer) {
  constexpr int kVectors = kChannels / 8;
  const int column = consumer % kVectors * 8;
  if (channel0 + column >= columns) return;
  for (int row = consumer / kVectors; row < kRows; row += kConsumerThreads / kVectors) {
    if (first_row + row >= all_rows) break;
    const float* from = &shared.results[row][column];
    Result* to = result + (first_row + row) * columns + channel0 + column;
    const float4 low = reinterpret_cast<const float4*>(from)[0],
                 high = reinterpret_cast<const float4*>(from)[1];
    if constexpr (std::is_same_v<Result, float>) {
      reinterpret_cast<float4*>(to)[0] = low;
      reinterpret_cast<float4*>(to)[1] = high;
    } else {
      *reinterpret_cast<uint4*>(to) = make_uint4(conv_pair(low.x, low.y), conv_pair(low.z, low.w),
                                                 conv_pair(high.x, high.y), conv_pair(high.z, high.w));
    }
  }
}
[[maybe_unused]] __device__ void store_places(const Shared& shared, std::uint8_t* argmax,
                                              std::int64_t first_row, std::int64_t all_rows, int channel0,
                                              int columns, int consumer) {
  constexpr int kVectors = kChannels / 8;
  const int column = consumer % kVectors * 8;
  if (channel0 + column >= columns) return;
  for (int row = consumer / kVectors; row < kRows; row += kConsumerThreads / kVectors) {
    if (first_row + row >= all_rows) break;
    *reinterpret_cast<uint2*>(argmax + (first_row + row) * columns + channel0 + column) =
        *reinterpret_cast<const uint2*>(&shared.places[row][column]);
  }
}

// What the consumers' threads know of their place in a tile.
struct Consumer {
  int number, channel, t;  // channel and channel + 8; pixels 8 n + 2 t and the next
};

// Every pixel is a row of the result.
template <class Result, class Meet>
__device__ void finish(const ConvProduct& p, Shared& shared, const Consumer& own, std::int64_t tile,
                       int channel0, const float (&d)[128], const Meet& meet) {
  const std::int64_t all_rows = std::int64_t{p.n} * p.height * p.width;
#pragma unroll
  for (int part = 0; part < kPixels / kRows; ++part) {
#pragma unroll
    for (int n = 0; n < kRows / 8; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int e = 0; e < 2; ++e)
          shared.results[8 * n + 2 * own.t + e][own.channel + 8 * half] =
              d[4 * (part * (kRows / 8) + n) + 2 * half + e];
    meet();
    store_results(shared, static_cast<Result*>(p.result), tile * kPixels + part * kRows, all_rows, channel0,
                  p.columns, own.number);
    meet();
  }
}

// Lines of kWidth pixels: window 4 m + t of the tile is in columns n and n + kWidth / 8 of one thread.
template <class Result, int kWidth, class Meet>
__device__ void finish_pooled(const ConvProduct& p, Shared& shared, const Consumer& own, std::int64_t tile,
                              int channel0, const float (&d)[128], const Meet& meet) {
  constexpr int kOfLine = kWidth / 8;
  const std::int64_t all_rows = std::int64_t{p.n} * p.height * p.width / 4;
#pragma unroll
  for (int part = 0; part < kPixels / 4 / kRows; ++part) {
#pragma unroll
    for (int row = 0; row < kRows / 4; ++row) {
      const int m = part * (kRows / 4) + row, n = m / kOfLine * (2 * kOfLine) + m % kOfLine;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int upper = 4 * n + 2 * half, lower = upper + 4 * kOfLine;
        int place;
        const float largest = conv_pooled({d[upper], d[upper + 1], d[lower], d[lower + 1]}, place);
        shared.results[4 * row + own.t][own.channel + 8 * half] = largest;
        shared.places[4 * row + own.t][own.channel + 8 * half] = static_cast<std::uint8_t>(place);
      }
    }
    meet();
    const std::int64_t first_row = tile * (kPixels / 4) + part * kRows;
    store_results(shared, static_cast<Result*>(p.result), first_row, all_rows, channel0, p.columns,
                  own.number);
    if (p.argmax != nullptr)
      store_places(shared, p.argmax, first_row, all_rows, channel0, p.columns, own.number);
    meet();
  }
}

template <class Result, int kCluster>
__device__ void consume(const Job& job, Shared& shared) {
  const ConvProduct& p = job.product;
  const int number = static_cast<int>(threadIdx.x) - kWarpgroup, lane = number % 32;
  const Consumer own{number, number / 32 * 16 + lane / 4, lane % 4};
  unsigned stage_number = 0, meetings = 0;
  const auto meet = [&] {  // all consumers
    barrier_arrive(&shared.together);
    barrier_wait(&shared.together, meetings++ % 2);
  };
  for (int index = static_cast<int>(blockIdx.x); index < job.total; index += static_cast<int>(gridDim.x)) {
    const std::int64_t tile = index / job.channel_tiles;
    const int channel0 = index % job.channel_tiles * kChannels;
    float d[128];
    multiply<kCluster>(job, shared, number / kWarpgroup, stage_number, d);
    if (p.bias != nullptr) {
      float bias[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int channel = channel0 + own.channel + 8 * half;
        bias[half] = channel < p.columns ? p.bias[channel] : 0.0f;
      }
#pragma unroll
      for (int k = 0; k < 128; ++k) d[k] = conv_relu(d[k] + bias[k / 2 % 2]);
    }
    if (!p.pool)
      finish<Result>(p, shared, own, tile, channel0, d, meet);
    else if (p.width == 8)
      finish_pooled<Result, 8>(p, shared, own, tile, channel0, d, meet);
    else if (p.width == 16)
      finish_pooled<Result, 16>(p, shared, own, tile, channel0, d, meet);
    else if (p.width == 32)
      finish_pooled<Result, 32>(p, shared, own, tile, channel0, d, meet);
    else
      finish_pooled<Result, 64>(p, shared, own, tile, channel0, d, meet);
  }
}

// As many blocks as multiprocessors, each with every so many tiles of 256 pixels and 128 channels; blocks 2k and 2k + 1
// of a cluster have the same pixels. Three warpgroups: one thread of the first brings operands, the others have 64
// channels each.
template <class Result, int kCluster>
__global__ void __launch_bounds__(kThreads, 1)
    conv_product_hopper(Job job, const __grid_constant__ ImageMap images,
                        const __grid_constant__ TensorMap weights) {
  if constexpr (!kWarpgroupCode) {
    __trap();
  } else {
    Shared& shared = swizzled_shared<Shared>();
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < kStages; ++stage) {
        barrier_init(&shared.full[stage], 1);
        barrier_init(&shared.empty[stage], kConsumerWarps * kCluster);
      }
      barrier_init(&shared.together, kConsumerThreads);
      barriers_are_made();
    }
    __syncthreads();
    if constexpr (kCluster != 1) cluster_meet();  // no copy or arrival from outside before that
    if (threadIdx.x < kWarpgroup) {
      give_registers_back<kProducerRegisters>();
      if (threadIdx.x == 0) produce<kCluster>(job, images, weights, shared);
    } else {
      take_registers<kConsumerRegisters>();
      consume<Result, kCluster>(job, shared);
      // Nor behind this block's end: the other one's consumers arrive at barriers here up to theirs. Threads that have
      // returned are not waited for.
      if constexpr (kCluster != 1) cluster_meet();
    }
  }
}

template <class Result, int kCluster>
void launch_product(Context& ctx, const Job& job) {
  const ConvProduct& p = job.product;
  const int most = std::max(ctx.cuda_state().multiprocessors / kCluster, 1) * kCluster;
  launch(ctx,
         {.name = "conv_product_hopper",
          .grid = {static_cast<unsigned>(std::min(job.total, most))},
          .block = kThreads,
          .shared_bytes = kSharedBytes,
          .cluster = kCluster},
         conv_product_hopper<Result, kCluster>, job,
         make_image_map(p.source, p.n, p.height, p.width, p.depth, kPixels / kCluster),
         make_tensor_map(p.weight, 1, p.columns, 9 * p.depth, 9 * p.depth, kChannels));
}

}  // namespace

template <class Result>
void conv_hopper_product(Context& ctx, const ConvProduct& p) {
  const std::int64_t pixels = std::int64_t{p.n} * p.height * p.width;
  Job job{.product = p,
          .channel_tiles = (p.columns + kChannels - 1) / kChannels,
          .total = 0,
          .chunks = p.depth / kDepth};
  job.total = static_cast<int>((pixels + kPixels - 1) / kPixels) * job.channel_tiles;
  if (job.channel_tiles % 2 == 0)
    launch_product<Result, 2>(ctx, job);
  else
    launch_product<Result, 1>(ctx, job);
}

template void conv_hopper_product<Bf16Bits>(Context&, const ConvProduct&);
template void conv_hopper_product<float>(Context&, const ConvProduct&);

}  // namespace emer::cuda
