// Planted faults: each is found, in every schedule, and named.
#include <cuda_bf16.h>

#include "tests/simt/harness_support.h"

namespace emer::simt::test {
namespace {

// One block; each thread reads what its neighbour wrote. The barrier between the two is missing when asked.
__global__ void neighbour(int* out, bool barrier) {
  __shared__ int values[64];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (barrier) __syncthreads();
  out[threadIdx.x] = values[(threadIdx.x + 1) % 64];
}

TEST(SimtFaults, MissingBarrier) {
  in_every_schedule([] {
    DeviceVector<int> out(64);
    EXPECT_EQ(fault_of([&] { run({.grid = 1, .block = 64}, neighbour, out.data(), true); }), "");
    const std::string said = fault_of([&] { run({.grid = 1, .block = 64}, neighbour, out.data(), false); });
    // Which of the two it is depends on who comes first.
    EXPECT_TRUE(said.find("race") != std::string::npos || said.find("has not written") != std::string::npos)
        << said;
    EXPECT_NE(said.find("harness_faults_test.cpp:"), std::string::npos) << said;
  });
}

// Reads, then a write without a barrier between: the race that no wrong value shows.
__global__ void read_then_write(int* values) {
  const int next = values[(threadIdx.x + 1) % blockDim.x];
  values[threadIdx.x] = next;
}

TEST(SimtFaults, MissingBarrierBetweenReadAndWrite) {
  in_every_schedule([] {
    for (const unsigned threads : {2u, 32u, 64u}) {
      DeviceVector<int> values(std::vector<int>(64, 1));
      EXPECT_FAULT("race", run({.grid = 1, .block = threads}, read_then_write, values.data()));
    }
  });
}

// Shuffles do not order memory; __syncwarp does.
__global__ void across_lanes(int* values, int* out, bool sync) {
  values[threadIdx.x] = 1;
  const int lane = __shfl_xor_sync(0xffffffffu, static_cast<int>(threadIdx.x), 1);
  if (sync) __syncwarp();
  out[threadIdx.x] = values[lane];
}

TEST(SimtFaults, ShuffleIsNoBarrier) {
  in_every_schedule([] {
    DeviceVector<int> values(32), out(32);
    EXPECT_EQ(fault_of([&] { run({.grid = 1, .block = 32}, across_lanes, values.data(), out.data(), true); }),
              "");
    EXPECT_FAULT("race", run({.grid = 1, .block = 32}, across_lanes, values.data(), out.data(), false));
  });
}

// A warp's barrier does not order other warps.
__global__ void across_warps(int* values, int* out) {
  values[threadIdx.x] = 1;
  __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 32u];
}

TEST(SimtFaults, WarpBarrierIsNoBlockBarrier) {
  in_every_schedule([] {
    DeviceVector<int> values(std::vector<int>(64, 0)), out(64);
    EXPECT_FAULT("race", run({.grid = 1, .block = 64}, across_warps, values.data(), out.data()));
  });
}

// Each block adds to one cell, without an atomic.
__global__ void all_blocks_add(int* total) {
  if (threadIdx.x == 0) *total += 1;
}
__global__ void one_writes_all_read(int* cell, int* out) {
  if (blockIdx.x == 3 && threadIdx.x == 0) *cell = 1;
  if (blockIdx.x != 3 && threadIdx.x == 0) out[blockIdx.x] = *cell;
}
__global__ void mixed_with_atomics(int* cell) {
  if (threadIdx.x == 0 && blockIdx.x == 0) *cell = 0;
  if (threadIdx.x == 0 && blockIdx.x != 0) atomicAdd(cell, 1);
}

TEST(SimtFaults, RaceBetweenBlocks) {
  in_every_schedule([] {
    DeviceVector<int> cell(std::vector<int>{0}), out(8);
    EXPECT_FAULT("race", run({.grid = 2, .block = 32}, all_blocks_add, cell.data()));
    EXPECT_FAULT("race", run({.grid = 8, .block = 32}, one_writes_all_read, cell.data(), out.data()));
    EXPECT_FAULT("race", run({.grid = 2, .block = 32}, mixed_with_atomics, cell.data()));
    EXPECT_EQ(fault_of([&] { run({.grid = 1, .block = 32}, all_blocks_add, cell.data()); }), "");
  });
}

// The ticket without the fence: other blocks' parts may not be there yet.
__global__ void last_block_without_fence(int* parts, unsigned* tickets, int* total) {
  if (threadIdx.x != 0) return;
  parts[blockIdx.x] = 1;
  if (atomicAdd(tickets, 1u) != gridDim.x - 1) return;
  int sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += parts[b];
  *total = sum;
}

TEST(SimtFaults, TicketWithoutFence) {
  in_every_schedule([] {
    DeviceVector<int> parts(8), total(1);
    DeviceVector<unsigned> tickets(std::vector<unsigned>{0});
    EXPECT_FAULT("race", run({.grid = 8, .block = 32}, last_block_without_fence, parts.data(), tickets.data(),
                             total.data()));
  });
}

// The grid's barrier, but the block's own barrier before the release is missing: thread 1's write is not covered.
__global__ void release_without_barrier(int* values, unsigned* counter, int* out) {
  values[blockIdx.x * blockDim.x + threadIdx.x] = 1;
  if (threadIdx.x == 0) {
    add_release(counter, 1u);
    while (load_acquire(counter) < gridDim.x) {
    }
  }
  __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] =
      values[(blockIdx.x + 1) % gridDim.x * blockDim.x + threadIdx.x];
}

TEST(SimtFaults, ReleaseDoesNotCoverOtherThreads) {
  in_every_schedule([] {
    DeviceVector<int> values(std::vector<int>(128, 0)), out(128);
    DeviceVector<unsigned> counter(std::vector<unsigned>{0});
    EXPECT_FAULT("race", run({.grid = 4, .block = 32, .cooperative = true}, release_without_barrier,
                             values.data(), counter.data(), out.data()));
  });
}

// Neighbouring threads store 16 bits into one word; with `overlap`, two into the same 16 bits of it.
__global__ void halves(__nv_bfloat16* x, bool overlap) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  x[overlap ? i / 2 : i] = __float2bfloat16_rn(1.0f);
}

TEST(SimtFaults, BytesOfOneWordAreTheirOwn) {
  in_every_schedule([] {
    DeviceVector<__nv_bfloat16> x(66);
    EXPECT_EQ(fault_of([&] { run({.grid = 2, .block = 33}, halves, x.data(), false); }), "");
    EXPECT_FAULT("race", run({.grid = 2, .block = 33}, halves, x.data(), true));
  });
}

// One thread per element, `extra` elements too far.
__global__ void copy_elements(const float* x, float* y, unsigned count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) y[i] = x[i];
}
__global__ void copy_vectors(const float4* x, float4* y) {
  y[threadIdx.x] = x[threadIdx.x];
}
__global__ void copy_bytes(const unsigned char* x, unsigned char* y, unsigned count) {
  if (threadIdx.x < count) y[threadIdx.x] = x[threadIdx.x];
}

TEST(SimtFaults, OneElementPastTheEnd) {
  in_every_schedule([] {
    DeviceVector<float> x(std::vector<float>(33, 1.0f)), shorter(std::vector<float>(32, 1.0f)), y(34);
    EXPECT_EQ(fault_of([&] { run({.grid = 1, .block = 64}, copy_elements, x.data(), y.data(), 33u); }), "");
    EXPECT_FAULT("0 bytes past the end",
                 run({.grid = 1, .block = 64}, copy_elements, x.data(), y.data(), 34u));
    EXPECT_FAULT("write of 4 bytes",
                 run({.grid = 1, .block = 64}, copy_elements, x.data(), shorter.data(), 33u));
    EXPECT_FAULT("bytes before",
                 run({.grid = 1, .block = 1}, copy_elements, shorter.data() - 1, y.data(), 1u));
    DeviceVector<unsigned char> a(std::vector<unsigned char>(7, 1)), b(7);
    EXPECT_EQ(fault_of([&] { run({.grid = 1, .block = 32}, copy_bytes, a.data(), b.data(), 7u); }), "");
    EXPECT_FAULT("out of bounds", run({.grid = 1, .block = 32}, copy_bytes, a.data(), b.data(), 8u));
  });
}

TEST(SimtFaults, MisalignedVector) {
#if defined(__clang__) && __clang_major__ < 15
  GTEST_SKIP() << "clang before 15 copies structures unseen";
#endif
  DeviceVector<float> x(std::vector<float>(64, 1.0f)), y(64);
  auto* const whole = reinterpret_cast<float4*>(y.data());
  EXPECT_EQ(fault_of([&] {
              run({.grid = 1, .block = 4}, copy_vectors, reinterpret_cast<const float4*>(x.data() + 4),
                  whole);
            }),
            "");
  EXPECT_FAULT("misaligned", run({.grid = 1, .block = 4}, copy_vectors,
                                 reinterpret_cast<const float4*>(x.data() + 1), whole));
}

TEST(SimtFaults, UninitialisedDeviceMemory) {
  in_every_schedule([] {
    DeviceVector<float> x(32), y(32);
    EXPECT_FAULT("uninitialised", run({.grid = 1, .block = 32}, copy_elements, x.data(), y.data(), 32u));
    ok(cudaMemset(x.data(), 0, 31 * sizeof(float)));
    EXPECT_FAULT("uninitialised", run({.grid = 1, .block = 32}, copy_elements, x.data(), y.data(), 32u));
    EXPECT_EQ(fault_of([&] { run({.grid = 1, .block = 32}, copy_elements, x.data(), y.data(), 31u); }), "");
    EXPECT_FAULT("to the host", y.read());
  });
}

// Thread 0 of each block writes the shared cell when told to; all read it after a barrier.
__global__ void shared_cell(int* out, unsigned writers, bool dynamic) {
  __shared__ int fixed;
  int* cell = dynamic ? static_cast<int*>(dynamic_shared()) : &fixed;
  if (threadIdx.x == 0 && blockIdx.x < writers) *cell = 7;
  __syncthreads();
  if (threadIdx.x == 1) out[blockIdx.x] = *cell;
}

TEST(SimtFaults, SharedMemoryDoesNotOutliveItsBlock) {
  for (const bool dynamic : {false, true}) {
    DeviceVector<int> out(2);
    const Shape shape{.grid = 2, .block = 32, .shared = sizeof(int)};
    EXPECT_EQ(fault_of([&] { run(shape, shared_cell, out.data(), 2u, dynamic); }), "");
    const std::string said = fault_of([&] { run(shape, shared_cell, out.data(), 1u, dynamic); });
    EXPECT_TRUE(said.find("has not written") != std::string::npos ||
                said.find("uninitialised") != std::string::npos)
        << said;
    EXPECT_NE(said.find("block (1,0,0) thread (1,0,0)"), std::string::npos) << said;
  }
  DeviceVector<int> out(2);
  EXPECT_FAULT("dynamic shared", run({.grid = 2, .block = 32}, shared_cell, out.data(), 2u, true));
  EXPECT_FAULT("blocks live at once",
               run({.grid = 2, .block = 32, .cooperative = true}, shared_cell, out.data(), 2u, false));
}

// The barrier stands in a branch that half of the block takes.
__global__ void barrier_in_branch(int kind) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else if (kind == 1) {
    __syncthreads();
  } else if (kind == 2) {
    __syncwarp();
    __syncthreads_or(1);
  }
}
__global__ void half_a_warp_shuffles(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 1);
  __syncthreads();
}
__global__ void lanes_disagree(int* out) {
  if (threadIdx.x < 16) {
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 1);
  } else {
    out[threadIdx.x] = static_cast<int>(__ballot_sync(0xffffffffu, 1));
  }
}
__global__ void reads_absent_lane(int* out) {
  out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 20);
}

TEST(SimtFaults, Divergence) {
  in_every_schedule([] {
    for (const int kind : {0, 1, 2})
      EXPECT_FAULT("barrier divergence", run({.grid = 1, .block = 64}, barrier_in_branch, kind));
    DeviceVector<int> out(32);
    EXPECT_FAULT("deadlock", run({.grid = 1, .block = 32}, half_a_warp_shuffles, out.data()));
    EXPECT_FAULT("warp divergence", run({.grid = 1, .block = 32}, lanes_disagree, out.data()));
    EXPECT_FAULT("takes no part", run({.grid = 1, .block = 16}, reads_absent_lane, out.data()));
  });
}

// Waits for a flag that only a later block would set.
__global__ void waits_for_ever(unsigned* flag) {
  while (load_acquire(flag) == 0) {
  }
}
__global__ void waits_on_volatile(volatile unsigned* flag) {
  while (*flag == 0) {
  }
}

TEST(SimtFaults, Deadlock) {
  DeviceVector<unsigned> flag(std::vector<unsigned>{0});
  EXPECT_FAULT("deadlock", run({.grid = 2, .block = 32}, waits_for_ever, flag.data()));
  EXPECT_FAULT("spinning",
               run({.grid = 2, .block = 32, .cooperative = true}, waits_on_volatile, flag.data()));
}

__global__ void read_one(const int* x, int* y) {
  *y = *x;
}
__global__ void write_one(int* y) {
  *y = 1;
}
int g_host_variable = 3;

TEST(SimtFaults, AddressesThatAreNotTheDevices) {
  DeviceVector<int> y(1);
  const int local = 1;
  const auto heap = std::make_unique<int>(1);
  const Shape one{.grid = 1, .block = 1};
  EXPECT_FAULT("host memory", run(one, read_one, &local, y.data()));
  EXPECT_FAULT("host memory", run(one, read_one, heap.get(), y.data()));
  EXPECT_FAULT("bad address", run(one, write_one, heap.get()));
  EXPECT_FAULT("null pointer", run(one, read_one, nullptr, y.data()));
  EXPECT_FAULT("has not written", run(one, read_one, &g_host_variable, y.data()));
  static const int kTable[4] = {1, 2, 3, 4};
  EXPECT_EQ(fault_of([&] { run(one, read_one, &kTable[2], y.data()); }), "");
  EXPECT_EQ(y.read()[0], 3);
  EXPECT_FAULT("read-only", run(one, write_one, const_cast<int*>(&kTable[1])));
}

TEST(SimtFaults, FreedMemory) {
  int* x = nullptr;
  ok(cudaMalloc(&x, 64));
  ok(cudaMemset(x, 0, 64));
  DeviceVector<int> y(1);
  EXPECT_EQ(fault_of([&] { run({.grid = 1, .block = 1}, read_one, x, y.data()); }), "");
  ok(cudaFree(x));
  EXPECT_EQ(cudaFree(x), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  DeviceVector<int> another(16);
  EXPECT_FAULT("freed allocation", run({.grid = 1, .block = 1}, read_one, x, y.data()));
  EXPECT_FAULT("freed allocation", cudaMemset(x, 0, 64));
}

// Thread 0 shows the others an address on its stack.
__global__ void shares_its_stack(int** where, int* out) {
  int own = static_cast<int>(threadIdx.x);
  if (threadIdx.x == 0) *where = &own;
  __syncthreads();
  out[threadIdx.x] = **where + own;
}

TEST(SimtFaults, StackOfAnotherThread) {
  in_every_schedule([] {
    DeviceVector<int*> where(1);
    DeviceVector<int> out(32);
    EXPECT_FAULT("stack of another thread",
                 run({.grid = 1, .block = 32}, shares_its_stack, where.data(), out.data()));
  });
}

// A block of the cluster looks into its neighbour's shared memory before that one has written it, or after it left.
__global__ void early_or_late(int* out, bool wait_first, bool wait_last) {
  int* own = static_cast<int*>(dynamic_shared());
  own[threadIdx.x] = 1;
  if (wait_first) {
    cluster_arrive();
    cluster_wait();
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = map_shared(own, 1 - cluster_rank())[threadIdx.x];
  if (wait_last) {
    cluster_arrive();
    cluster_wait();
  }
}

TEST(SimtFaults, ClusterWithoutBarriers) {
  in_every_schedule([] {
    DeviceVector<int> out(64);
    const Shape shape{.grid = 2, .block = 32, .shared = 128, .cluster = 2};
    EXPECT_EQ(fault_of([&] { run(shape, early_or_late, out.data(), true, true); }), "");
    EXPECT_NE(fault_of([&] { run(shape, early_or_late, out.data(), false, true); }), "");
    EXPECT_FAULT("out of bounds", run(shape, early_or_late, out.data(), true, false));
  });
}

__global__ void copies_too_much(const char* x, char* y, unsigned bytes) {
  std::memcpy(y, x, bytes);
}
__global__ void traps() {
  __trap();
}
__global__ void throws() {
  throw 1;
}

TEST(SimtFaults, MemcpyAndTrap) {
  DeviceVector<char> x(std::vector<char>(40, 1)), y(48);
  EXPECT_EQ(fault_of([&] { run({.grid = 1, .block = 1}, copies_too_much, x.data(), y.data(), 40u); }), "");
  EXPECT_FAULT("out of bounds", run({.grid = 1, .block = 1}, copies_too_much, x.data(), y.data(), 41u));
  EXPECT_FAULT("__trap", run({.grid = 1, .block = 1}, traps));
  set_checks(false);  // with them, already the exception object is host memory
  EXPECT_FAULT("an exception left the kernel", run({.grid = 1, .block = 1}, throws));
  set_checks(true);
}

TEST(SimtFaults, MessageNamesKernelBlockThreadAndLine) {
  DeviceVector<float> x(std::vector<float>(100, 1.0f)), y(99);
  name_next_launch("the copy");
  const std::string said =
      fault_of([&] { run({.grid = 4, .block = 32}, copy_elements, x.data(), y.data(), 100u); });
  EXPECT_NE(said.find("kernel the copy, block (3,0,0) thread (3,0,0)"), std::string::npos) << said;
  EXPECT_NE(said.find("write of 4 bytes at 0 bytes past the end of an allocation of 396 bytes"),
            std::string::npos)
      << said;
  EXPECT_EQ(said.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace emer::simt::test
