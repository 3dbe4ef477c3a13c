// CUDA twins of kernels/sum_squares.h and kernels/sum_squares_all.h.
#include "kernels/sum_squares.h"

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/sum_squares_all.h"

namespace emer::cuda {

namespace {

constexpr int kBlock = 256;
constexpr int kTotalBlock = 1024;

__device__ double square(float x) {
  return static_cast<double>(x) * static_cast<double>(x);
}

// Squares of x[count], count <= kChunk, summed over the block, in every thread. All kBlock threads must call.
template <int kChunk>
__device__ double chunk_sum(const float* x, int count) {
  double sum = 0.0;
  if (count == kChunk && reinterpret_cast<std::uintptr_t>(x) % sizeof(float4) == 0) {
    float4 group[kChunk / (4 * kBlock)];
#pragma unroll
    for (int k = 0; k < kChunk / (4 * kBlock); ++k)
      group[k] = reinterpret_cast<const float4*>(x)[k * kBlock + threadIdx.x];
#pragma unroll
    for (const float4& g : group) sum += (square(g.x) + square(g.y)) + (square(g.z) + square(g.w));
  } else {
    for (int i = threadIdx.x; i < count; i += kBlock) sum += square(x[i]);
  }
  return block_sum<kBlock>(sum);
}

// One block per chunk of kSumSquaresChunk elements.
__global__ void square_chunks(const float* x, std::int64_t count, double* partial) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kSumSquaresChunk;
  const std::int64_t left = count - first;
  const double sum = chunk_sum<kSumSquaresChunk>(
      x + first, left < kSumSquaresChunk ? static_cast<int>(left) : kSumSquaresChunk);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block per chunk of the list.
__global__ void square_list(const AdamChunk<float>* chunks, double* partial) {
  const AdamChunk<float>& chunk = chunks[blockIdx.x];
  const double sum = chunk_sum<kAdamChunk>(chunk.gradient, chunk.count);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block; thread t adds partial sums t, t + kTotalBlock, ...
__global__ void add_partial_sums(const double* partial, std::int64_t count, bool overwrite, double* total) {
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < count; i += kTotalBlock) sum += partial[i];
  sum = block_sum<kTotalBlock>(sum);
  if (threadIdx.x == 0) *total = overwrite ? sum : *total + sum;
}

}  // namespace

template <class Real>
void sum_squares(Context& ctx, const SumSquares<Real>& a) {
  if (a.count == 0) return;
  const ArenaScope scope(ctx);
  const std::int64_t chunks = (a.count + kSumSquaresChunk - 1) / kSumSquaresChunk;
  double* partial = ctx.scratch<double>(static_cast<std::size_t>(chunks));
  launch(ctx, {.name = "sum_squares", .grid = blocks_for(chunks, 1, INT32_MAX), .block = kBlock},
         square_chunks, a.x, a.count, partial);
  launch(ctx, {.name = "sum_squares_total", .block = kTotalBlock}, add_partial_sums, partial, chunks, false,
         a.total);
}

template <class Real>
void sum_squares_all(Context& ctx, const SumSquaresAll<Real>& a) {
  const ArenaScope scope(ctx);
  double* partial = ctx.scratch<double>(static_cast<std::size_t>(a.list.chunk_count));
  launch(ctx,
         {.name = "sum_squares_all", .grid = blocks_for(a.list.chunk_count, 1, INT32_MAX), .block = kBlock},
         square_list, a.list.chunks, partial);
  launch(ctx, {.name = "sum_squares_total", .block = kTotalBlock}, add_partial_sums, partial,
         a.list.chunk_count, true, a.total);
}

template void sum_squares(Context&, const SumSquares<float>&);
template void sum_squares_all(Context&, const SumSquaresAll<float>&);

}  // namespace emer::cuda
