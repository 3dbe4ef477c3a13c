// kernels/cuda/cluster.h - what blocks of one cluster share on sm_90: barriers, and one copy into the shared memory of
// both. Known from the PTX ISA alone, as kernels/cuda/warpgroup.h. Only .cu files include this.
#pragma once

#include "kernels/cuda/image_copy.h"
#include "kernels/cuda/warpgroup.h"

namespace emer::cuda {

#ifdef EMER_SIMT

inline unsigned cluster_rank() {
  return simt::cluster_rank();
}
inline void cluster_meet() {
  simt::cluster_arrive();
  simt::cluster_wait();
}
inline void barrier_arrive_at(std::uint64_t* barrier, unsigned rank) {
  barrier_arrive(simt::map_shared(barrier, rank));
}
inline void barrier_wait_for_cluster(std::uint64_t* barrier, unsigned phase) {
  barrier_wait(barrier, phase);
}
// The copy that a block makes of its own, and once more from there: what the other block's barrier is told comes last.
inline void copy_pixels_to_both(void* shared, const ImageMap& map, int channel, int j, int i, int image,
                                int right, int down, std::uint64_t* barrier) {
  copy_pixels(shared, map, channel, j, i, image, right, down, barrier);
  const unsigned other = 1 - simt::cluster_rank();
  const auto* from = static_cast<const uint4*>(shared);
  auto* to = static_cast<uint4*>(simt::map_shared(shared, other));
  for (int unit = 0; unit < map.pixels * kSwizzleRow / static_cast<int>(sizeof(uint4)); ++unit)
    to[unit] = from[unit];
  const auto bytes = static_cast<std::uint64_t>(map.pixels * kSwizzleRow);
  warpgroup::update(simt::map_shared(barrier, other), [&](std::uint64_t word) { return word - bytes; });
}

#else

// Of the block in its cluster.
__device__ inline unsigned cluster_rank() {
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// All threads of all blocks of the cluster call; a block without one is a cluster of its own.
__device__ inline void cluster_meet() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" : : : "memory");
}
// barrier_arrive at the same barrier of block `rank` of the cluster.
__device__ inline void barrier_arrive_at(std::uint64_t* barrier, unsigned rank) {
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n"
      "}\n"
      :
      : "r"(warpgroup::address(barrier)), "r"(rank)
      : "memory");
}
// barrier_wait where other blocks arrive too.
__device__ inline void barrier_wait_for_cluster(std::uint64_t* barrier, unsigned phase) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n"
      :
      : "r"(warpgroup::address(barrier)), "r"(phase)
      : "memory");
}
// copy_pixels to the same place in both blocks of a cluster of two, whose barriers there count its bytes.
__device__ inline void copy_pixels_to_both(void* shared, const ImageMap& map, int channel, int j, int i,
                                           int image, int right, int down, std::uint64_t* barrier) {
  constexpr std::uint16_t kBoth = 3;
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8}, %9;"
      :
      : "r"(warpgroup::address(shared)), "l"(&map), "r"(warpgroup::address(barrier)), "r"(channel), "r"(j),
        "r"(i), "r"(image), "h"(static_cast<std::uint16_t>(right)), "h"(static_cast<std::uint16_t>(down)),
        "h"(kBoth)
      : "memory");
}

#endif

}  // namespace emer::cuda
