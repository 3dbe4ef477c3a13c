// Warps of one block that hand a buffer to and fro by releases alone, without __syncthreads.
#include "tests/simt/harness_support.h"

namespace emer::simt::test {
namespace {

// Warp 0 fills the buffer, all other warps read all of it and the first `speaking` of them say so, `rounds` times; warp 0
// waits for these before it fills again. With `synchronise`, a warp's lanes meet before one of them speaks for all.
__global__ void hand_over(int* sums, int rounds, unsigned speaking, bool synchronise) {
  auto* buffer = static_cast<int*>(dynamic_shared());
  auto* filled = reinterpret_cast<unsigned*>(buffer + 32);
  auto* given_back = filled + 1;
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (threadIdx.x == 0) *filled = *given_back = 0;
  __syncthreads();
  int sum = 0;
  for (unsigned round = 0; round < static_cast<unsigned>(rounds); ++round) {
    if (warp == 0) {
      if (lane != 0) continue;
      while (load_acquire(given_back) < round * speaking) {
      }
      for (int i = 0; i < 32; ++i) buffer[i] = static_cast<int>(round) + i;
      store_release(filled, round + 1);
    } else {
      while (load_acquire(filled) <= round) {
      }
      for (int i = 0; i < 32; ++i) sum += buffer[i];
      if (synchronise) __syncwarp();
      if (lane == 0 && warp <= speaking) add_acquire_release(given_back, 1u);
    }
  }
  sums[threadIdx.x] = sum;
}

constexpr Shape kShape{.grid = 1, .block = 160, .shared = 256};

TEST(SimtPipelines, ABufferGivenBackByEveryWarpMayBeFilledAgain) {
  in_every_schedule([] {
    DeviceVector<int> sums(160);
    EXPECT_EQ(fault_of([&] { run(kShape, hand_over, sums.data(), 3, 4u, true); }), "");
    const std::vector<int> got = sums.read();
    for (int thread = 0; thread < 160; ++thread)
      EXPECT_EQ(got[static_cast<std::size_t>(thread)], thread < 32 ? 0 : 3 * 496 + 3 * 32) << thread;
  });
}

TEST(SimtPipelines, OneWarpThatSaysNothingIsARace) {
  in_every_schedule([] {
    DeviceVector<int> sums(160);
    EXPECT_FAULT("race", run(kShape, hand_over, sums.data(), 2, 3u, true));
  });
}

TEST(SimtPipelines, OneLaneDoesNotSpeakForItsWarp) {
  in_every_schedule([] {
    DeviceVector<int> sums(160);
    EXPECT_FAULT("race", run(kShape, hand_over, sums.data(), 2, 4u, false));
  });
}

}  // namespace
}  // namespace emer::simt::test
