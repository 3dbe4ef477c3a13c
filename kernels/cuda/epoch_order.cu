// CUDA twin of kernels/epoch_order.h: the draws in parallel, the swaps one after another, for that is what the
// shuffle is. A draw takes one number of the stream unless it is rejected, which happens with probability below
// count / 2^64 < 2^-33; the draws are written as if none were, and the thread that swaps redoes them if one was.
#include "kernels/epoch_order.h"

#include "core/cuda/launch.h"
#include "core/random.h"

namespace emer::cuda {

namespace {

constexpr int kStaged = 4096;  // permutation entries that fit the block's shared memory

// One number of the stream as RandomStream::below() takes it; false where it is rejected.
__device__ bool draw_below(std::uint64_t seed, std::uint64_t stream, std::uint64_t index, std::uint64_t bound,
                           std::int32_t& value) {
  const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % bound;
  const PhiloxBlock block = philox(seed, stream, index);
  const std::uint64_t draw = std::uint64_t{block.word[0]} << 32 | block.word[1];
  value = static_cast<std::int32_t>(draw % bound);
  return draw < limit;
}

// One thread per swap i = count .. 2, the stream's number count - i.
__global__ void epoch_draws(EpochOrder a, std::int32_t* partner, std::int32_t* permutation,
                            std::int32_t* rejections) {
  const std::int64_t k = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (k >= a.count) return;
  permutation[k] = static_cast<std::int32_t>(k);
  const std::int64_t i = a.count - k;
  if (i < 2) return;
  std::int32_t j = 0;
  if (!draw_below(a.seed, a.stream, static_cast<std::uint64_t>(k), static_cast<std::uint64_t>(i), j))
    atomicAdd(rejections, 1);
  partner[k] = j;
}

// One block: its first thread swaps, in shared memory where the permutation fits.
__global__ void epoch_swaps(EpochOrder a, const std::int32_t* partner, std::int32_t* permutation,
                            const std::int32_t* rejections) {
  __shared__ std::int32_t staged[kStaged];
  const bool fits = a.count <= kStaged;
  std::int32_t* p = fits ? staged : permutation;
  if (fits)
    for (std::int64_t k = threadIdx.x; k < a.count; k += blockDim.x) staged[k] = static_cast<std::int32_t>(k);
  __syncthreads();
  if (threadIdx.x == 0) {
    const bool redraw = *rejections != 0;
    std::uint64_t index = 0;
    for (std::int64_t i = a.count; i > 1; --i) {
      std::int32_t j = 0;
      if (redraw) {
        while (!draw_below(a.seed, a.stream, index++, static_cast<std::uint64_t>(i), j)) {
        }
      } else {
        j = partner[a.count - i];
      }
      const std::int32_t kept = p[i - 1];
      p[i - 1] = p[j];
      p[j] = kept;
    }
  }
  __syncthreads();
  for (std::int64_t k = threadIdx.x; k < a.count; k += blockDim.x) a.order[k] = a.songs[p[k]];
}

}  // namespace

void epoch_order(Context& ctx, const EpochOrder& a) {
  const ArenaScope scope(ctx);
  const auto count = static_cast<std::size_t>(a.count);
  std::int32_t* partner = ctx.scratch<std::int32_t>(count);
  std::int32_t* permutation = ctx.scratch<std::int32_t>(count);
  std::int32_t* rejections = ctx.scratch<std::int32_t>(1);
  fill_zero(ctx, rejections, sizeof(std::int32_t));
  launch(ctx,
         {.name = "epoch_draws",
          .grid = blocks_for(a.count, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         epoch_draws, a, partner, permutation, rejections);
  launch(ctx, {.name = "epoch_swaps", .block = 1024}, epoch_swaps, a, partner, permutation, rejections);
}

}  // namespace emer::cuda
