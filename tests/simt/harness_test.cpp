// Correct kernels run, give what they should in every schedule, and raise no alarm.
#include <cuda_bf16.h>

#include <numeric>

#include "tests/simt/harness_support.h"

namespace emer::simt::test {
namespace {

template <class T>
__device__ T block_sum(T value) {
  __shared__ T of_warp[32];
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  __syncthreads();
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  T total = 0;
  for (unsigned w = 0; w < blockDim.x / 32; ++w) total += of_warp[w];
  return total;
}

// One block per row; thread t takes columns t, t + blockDim, ...
__global__ void row_sums(const float* x, int columns, double* sums) {
  double sum = 0;
  for (int j = static_cast<int>(threadIdx.x); j < columns; j += static_cast<int>(blockDim.x))
    sum += static_cast<double>(x[static_cast<int>(blockIdx.x) * columns + j]);
  sum = block_sum(sum);
  sum = block_sum(sum / static_cast<double>(blockDim.x));  // twice: the shared array is reused
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

TEST(SimtKernels, BlockReduction) {
  const int rows = 7, columns = 301;
  std::vector<float> x(rows * columns);
  std::iota(x.begin(), x.end(), -500.0f);
  in_every_schedule([&] {
    for (const unsigned threads : {32u, 96u, 256u, 1024u}) {
      DeviceVector<float> in(x);
      DeviceVector<double> out(rows);
      run({.grid = rows, .block = threads}, row_sums, in.data(), columns, out.data());
      const auto got = out.read();
      for (int i = 0; i < rows; ++i)  // integers: exact
        EXPECT_EQ(got[static_cast<std::size_t>(i)],
                  std::accumulate(x.begin() + i * columns, x.begin() + (i + 1) * columns, 0.0));
    }
  });
}

// One warp: inclusive sums, and every kind of shuffle and vote.
__global__ void warp_scan(const int* x, int* sums, int* others) {
  const int lane = static_cast<int>(threadIdx.x);
  int value = x[lane];
  for (unsigned d = 1; d < 32; d *= 2) {
    const int before = __shfl_up_sync(0xffffffffu, value, d);
    if (lane >= static_cast<int>(d)) value += before;
  }
  sums[lane] = value;
  int* o = others + 8 * lane;
  o[0] = __shfl_down_sync(0xffffffffu, lane, 3u);
  o[1] = __shfl_sync(0xffffffffu, lane, 5, 8);
  o[2] = __shfl_xor_sync(0xffffffffu, lane, 9);
  o[3] = static_cast<int>(__ballot_sync(0xffffffffu, lane % 3 == 0));
  o[4] = __any_sync(0xffffffffu, lane == 31) + 2 * __any_sync(0xffffffffu, lane > 31);
  o[5] = __all_sync(0xffffffffu, lane < 31) + 2 * __all_sync(0xffffffffu, lane < 32);
  o[6] = __reduce_max_sync(0xffffffffu, -lane) + static_cast<int>(__match_any_sync(0xffffffffu, lane / 16));
  long long wide = (1ll << 40) + lane;
  wide = __shfl_xor_sync(0xffffffffu, wide, 1);
  o[7] = static_cast<int>(wide - (1ll << 40));
}

TEST(SimtKernels, WarpScanAndVotes) {
  std::vector<int> x(32);
  for (int i = 0; i < 32; ++i) x[static_cast<std::size_t>(i)] = i * i - 100;
  in_every_schedule([&] {
    DeviceVector<int> in(x), sums(32), others(256);
    run({.grid = 1, .block = 32}, warp_scan, in.data(), sums.data(), others.data());
    const auto s = sums.read(), o = others.read();
    int total = 0;
    unsigned thirds = 0;
    for (unsigned i = 0; i < 32; ++i) thirds |= i % 3 == 0 ? 1u << i : 0u;
    for (int i = 0; i < 32; ++i) {
      const int* of = o.data() + 8 * i;
      EXPECT_EQ(s[static_cast<std::size_t>(i)], total += x[static_cast<std::size_t>(i)]);
      EXPECT_EQ(of[0], i + 3 < 32 ? i + 3 : i);
      EXPECT_EQ(of[1], i / 8 * 8 + 5);
      EXPECT_EQ(of[2], i ^ 9);
      EXPECT_EQ(of[3], static_cast<int>(thirds));
      EXPECT_EQ(of[4], 1);
      EXPECT_EQ(of[5], 2);
      EXPECT_EQ(of[6], static_cast<int>(i < 16 ? 0x0000ffffu : 0xffff0000u));
      EXPECT_EQ(of[7], i ^ 1);
    }
  });
}

// Half of each warp works on its own: masks, and __syncwarp orders what the half wrote.
__global__ void half_warps(int* out) {
  __shared__ int values[64];
  const int lane = static_cast<int>(threadIdx.x % 32), half = lane / 16;
  const unsigned mask = half == 0 ? 0x0000ffffu : 0xffff0000u;
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncwarp(mask);
  int sum = 0;
  for (int i = 0; i < 16; ++i) sum += values[static_cast<int>(threadIdx.x) / 16 * 16 + i];
  if (half == 1) sum = __shfl_xor_sync(mask, sum, 8);
  out[threadIdx.x] = sum;
}

TEST(SimtKernels, PartsOfWarps) {
  in_every_schedule([] {
    DeviceVector<int> out(64);
    run({.grid = 1, .block = 64}, half_warps, out.data());
    const auto got = out.read();
    for (int i = 0; i < 64; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], 16 * (i / 16 * 16) + 120);
  });
}

// One thread per item.
__global__ void histogram(const unsigned char* x, int count, unsigned* bins, float* sum, unsigned* largest) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= count) return;
  atomicAdd(&bins[x[i]], 1u);
  atomicAdd(sum, static_cast<float>(x[i]));
  atomicMax(largest, static_cast<unsigned>(x[i]));
}

TEST(SimtKernels, HistogramByAtomics) {
  std::vector<unsigned char> x(1000);
  std::vector<unsigned> want(16);
  float total = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<unsigned char>(i * i % 13);
    ++want[x[i]];
    total += static_cast<float>(x[i]);
  }
  in_every_schedule([&] {
    DeviceVector<unsigned char> in(x);
    DeviceVector<unsigned> bins(std::vector<unsigned>(16, 0)), largest(std::vector<unsigned>{0});
    DeviceVector<float> sum(std::vector<float>{0});
    run({.grid = 5, .block = 224}, histogram, in.data(), 1000, bins.data(), sum.data(), largest.data());
    EXPECT_EQ(bins.read(), want);
    EXPECT_EQ(sum.read()[0], total);
    EXPECT_EQ(largest.read()[0], 12u);
  });
}

// 32 x 8 threads per 32 x 32 tile; the padding column keeps banks apart on a GPU.
__global__ void transpose(const float* x, int rows, int columns, float* y) {
  __shared__ float tile[32][33];
  const int column = static_cast<int>(blockIdx.x * 32 + threadIdx.x);
  for (int j = static_cast<int>(threadIdx.y); j < 32; j += 8) {
    const int row = static_cast<int>(blockIdx.y) * 32 + j;
    if (row < rows && column < columns) tile[j][threadIdx.x] = x[row * columns + column];
  }
  __syncthreads();
  const int row = static_cast<int>(blockIdx.y * 32 + threadIdx.x);
  for (int j = static_cast<int>(threadIdx.y); j < 32; j += 8) {
    const int c = static_cast<int>(blockIdx.x) * 32 + j;
    if (row < rows && c < columns) y[c * rows + row] = tile[threadIdx.x][j];
  }
}

TEST(SimtKernels, TransposeThroughPaddedTiles) {
  const int rows = 45, columns = 70;
  std::vector<float> x(rows * columns);
  std::iota(x.begin(), x.end(), 0.0f);
  in_every_schedule([&] {
    DeviceVector<float> in(x), out(x.size());
    run({.grid = dim3(3, 2), .block = dim3(32, 8)}, transpose, in.data(), rows, columns, out.data());
    const auto got = out.read();
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j)
        ASSERT_EQ(got[static_cast<std::size_t>(j * rows + i)], x[static_cast<std::size_t>(i * columns + j)]);
  });
}

// Vectors of four, bfloat16 by single threads side by side, memcpy in device code, a struct by value.
struct Mixed {
  const float4* x;
  __nv_bfloat16* halves;
  int* words;
  int count;
};
__global__ void mixed_widths(Mixed a) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= a.count) return;
  const float4 v = a.x[i / 4];
  const float picked[4] = {v.x, v.y, v.z, v.w};
  a.halves[i] = __float2bfloat16_rn(picked[i % 4]);
  int word;
  std::memcpy(&word, &picked[i % 4], sizeof word);
  std::memcpy(a.words + i, &word, sizeof word);
}

TEST(SimtKernels, AccessesOfAllWidths) {
  std::vector<float4> x(25);
  for (int i = 0; i < 100; ++i) (&x[static_cast<std::size_t>(i / 4)].x)[i % 4] = static_cast<float>(i) / 8;
  in_every_schedule([&] {
    DeviceVector<float4> in(x);
    DeviceVector<__nv_bfloat16> halves(100);
    DeviceVector<int> words(100);
    run({.grid = 4, .block = 32}, mixed_widths, Mixed{in.data(), halves.data(), words.data(), 100});
    const auto h = halves.read();
    const auto w = words.read();
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(__bfloat162float(h[static_cast<std::size_t>(i)]), static_cast<float>(i) / 8);
      EXPECT_EQ(w[static_cast<std::size_t>(i)], __float_as_int(static_cast<float>(i) / 8));
    }
  });
}

// The last block to finish adds up what all have written: a fence before the ticket, nothing after it.
__global__ void last_block_adds(int* parts, unsigned* tickets, int* total) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
    __threadfence();
    last = atomicAdd(tickets, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  int sum = 0;
  for (unsigned b = threadIdx.x; b < gridDim.x; b += blockDim.x) sum += parts[b];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

TEST(SimtKernels, LastBlockSeesWhatTheOthersReleased) {
  in_every_schedule([] {
    DeviceVector<int> parts(200), total(1);
    DeviceVector<unsigned> tickets(std::vector<unsigned>{0});
    run({.grid = 200, .block = 64}, last_block_adds, parts.data(), tickets.data(), total.data());
    EXPECT_EQ(total.read()[0], 200 * 201 / 2);
  });
}

__device__ void grid_sync(unsigned* counter, unsigned generation) {
  __syncthreads();
  if (threadIdx.x == 0) {
    add_release(counter, 1u);
    while (load_acquire(counter) < generation * gridDim.x) {
    }
  }
  __syncthreads();
}

// A ring of blocks: in every round each block reads what its neighbour wrote in the round before, then overwrites
// its own cell, two buffers in turn. One thread per element of the block's part.
__global__ void ring(int* state, int rounds, unsigned* counter) {
  int* own = static_cast<int*>(dynamic_shared());
  const unsigned n = blockDim.x, blocks = gridDim.x, t = threadIdx.x;
  for (int round = 0; round < rounds; ++round) {
    int* from = state + static_cast<unsigned>(round % 2) * n * blocks;
    int* to = state + static_cast<unsigned>((round + 1) % 2) * n * blocks;
    own[t] = from[(blockIdx.x + 1) % blocks * n + t] + from[((blockIdx.x + blocks - 1) % blocks) * n + t];
    __syncthreads();
    to[blockIdx.x * n + t] = own[(t + 1) % n];
    grid_sync(counter, static_cast<unsigned>(round + 1));
  }
}

TEST(SimtKernels, CooperativeGrid) {
  const unsigned n = 40, blocks = 6;
  const int rounds = 5;
  std::vector<int> start(2 * n * blocks, 0);
  std::iota(start.begin(), start.begin() + n * blocks, 1);
  std::vector<int> want(start.begin(), start.begin() + n * blocks);
  for (int r = 0; r < rounds; ++r) {
    std::vector<int> next(want.size());
    for (unsigned b = 0; b < blocks; ++b)
      for (unsigned t = 0; t < n; ++t)
        next[b * n + t] =
            want[(b + 1) % blocks * n + (t + 1) % n] + want[(b + blocks - 1) % blocks * n + (t + 1) % n];
    want = next;
  }
  in_every_schedule([&] {
    DeviceVector<int> state(start);
    DeviceVector<unsigned> counter(std::vector<unsigned>{0});
    run({.grid = blocks, .block = n, .shared = n * sizeof(int), .cooperative = true}, ring, state.data(),
        rounds, counter.data());
    const auto got = state.read();
    EXPECT_EQ(std::vector<int>(got.begin() + n * blocks, got.end()), want);  // after an odd number of rounds
  });
}

// Blocks in groups of two that wait only for each other: readers of other groups do not matter.
__global__ void pairs(int* state, int rounds, unsigned* counters) {
  unsigned* counter = counters + blockIdx.x / 2;
  int* of_pair = state + blockIdx.x / 2 * 2;
  for (int round = 0; round < rounds; ++round) {
    const int other = of_pair[1 - blockIdx.x % 2];
    for (unsigned phase = 1; phase <= 2; ++phase) {
      __syncthreads();
      if (threadIdx.x == 0) {
        add_release(counter, 1u);
        while (load_acquire(counter) < 2 * (2 * static_cast<unsigned>(round) + phase)) {
        }
      }
      __syncthreads();
      if (phase == 1 && threadIdx.x == 0) of_pair[blockIdx.x % 2] = other + 1;
    }
  }
}

TEST(SimtKernels, GroupsOfBlocksThatWaitForEachOther) {
  in_every_schedule([] {
    DeviceVector<int> state(std::vector<int>{0, 10, 20, 30, 40, 50});
    DeviceVector<unsigned> counters(std::vector<unsigned>(3, 0));
    run({.grid = 6, .block = 64, .cooperative = true}, pairs, state.data(), 4, counters.data());
    EXPECT_EQ(state.read(), (std::vector<int>{4, 14, 24, 34, 44, 54}));
  });
}

// Each block of a cluster writes into the next one's shared memory, then all read their own.
__global__ void cluster_exchange(int* out) {
  int* own = static_cast<int*>(dynamic_shared());
  const unsigned rank = cluster_rank(), size = cluster_size();
  own[blockDim.x + threadIdx.x] = -1;
  cluster_arrive();
  cluster_wait();  // all blocks have started
  int* next = map_shared(own, (rank + 1) % size);
  next[threadIdx.x] = static_cast<int>(100 * blockIdx.x + threadIdx.x);
  cluster_arrive();
  cluster_wait();
  out[blockIdx.x * blockDim.x + threadIdx.x] = own[(threadIdx.x + 1) % blockDim.x];
  cluster_arrive();
  cluster_wait();  // nobody leaves while others may look
}

TEST(SimtKernels, ClusterExchange) {
  const unsigned n = 48, blocks = 8, cluster = 4;
  in_every_schedule([&] {
    DeviceVector<int> out(n * blocks);
    run({.grid = blocks, .block = n, .shared = 2 * n * sizeof(int), .cluster = cluster}, cluster_exchange,
        out.data());
    const auto got = out.read();
    for (unsigned b = 0; b < blocks; ++b)
      for (unsigned t = 0; t < n; ++t) {
        const unsigned before = b / cluster * cluster + (b % cluster + cluster - 1) % cluster;
        ASSERT_EQ(got[b * n + t], static_cast<int>(100 * before + (t + 1) % n));
      }
  });
}

// One thread per element of a 3-d grid of 3-d blocks.
__global__ void positions(uint3* out) {
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * threads + thread] =
      uint3{blockIdx.x * 100 + threadIdx.x, blockIdx.y * 100 + threadIdx.y, blockIdx.z * 100 + threadIdx.z};
}

TEST(SimtKernels, ThreeDimensions) {
  const dim3 grid(2, 3, 2), block(4, 2, 3);
  DeviceVector<uint3> out(12 * 24);
  run({.grid = grid, .block = block}, positions, out.data());
  const auto got = out.read();
  std::size_t i = 0;
  for (unsigned bz = 0; bz < grid.z; ++bz)
    for (unsigned by = 0; by < grid.y; ++by)
      for (unsigned bx = 0; bx < grid.x; ++bx)
        for (unsigned z = 0; z < block.z; ++z)
          for (unsigned y = 0; y < block.y; ++y)
            for (unsigned x = 0; x < block.x; ++x, ++i) {
              EXPECT_EQ(got[i].x, 100 * bx + x);
              EXPECT_EQ(got[i].y, 100 * by + y);
              EXPECT_EQ(got[i].z, 100 * bz + z);
            }
}

// Barriers with votes; one thread per vote.
__global__ void votes(int* out) {
  const int t = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(t % 3 == 0);
  const int all = __syncthreads_and(t < 100), not_all = __syncthreads_and(t < 99);
  const int some = __syncthreads_or(t == 99), none = __syncthreads_or(t > 99);
  out[t] = count * 16 + all * 8 + not_all * 4 + some * 2 + none;
}

TEST(SimtKernels, BarriersThatCount) {
  in_every_schedule([] {
    DeviceVector<int> out(100);
    run({.grid = 1, .block = 100}, votes, out.data());
    EXPECT_EQ(out.read(), std::vector<int>(100, 34 * 16 + 8 + 2));
  });
}

// A lock taken by every thread in turn: the loop yields, and the lock orders what it protects.
__global__ void locked_count(unsigned* lock, int* count) {
  while (atomicCAS(lock, 0u, 1u) != 0u) {
  }
  __threadfence();
  ++*count;
  __threadfence();
  atomicExch(lock, 0u);
}

TEST(SimtKernels, LockOrdersWhatItProtects) {
  in_every_schedule([] {
    DeviceVector<unsigned> lock(std::vector<unsigned>{0});
    DeviceVector<int> count(std::vector<int>{0});
    run({.grid = 4, .block = 64, .cooperative = true}, locked_count, lock.data(), count.data());
    EXPECT_EQ(count.read()[0], 256);
  });
}

TEST(SimtKernels, RunWithoutChecksToo) {
  set_checks(false);
  DeviceVector<int> parts(20), total(1);
  DeviceVector<unsigned> tickets(std::vector<unsigned>{0});
  run({.grid = 20, .block = 64}, last_block_adds, parts.data(), tickets.data(), total.data());
  set_checks(true);
  std::vector<int> got(1);
  ok(cudaMemcpy(got.data(), total.data(), sizeof(int), cudaMemcpyDefault));
  EXPECT_EQ(got[0], 210);
}

}  // namespace
}  // namespace emer::simt::test
