// core/cuda/device_code.h - what kernels share: shared memory, sums in a fixed order, ordered loads and stores.
// Only .cu files include this.
#pragma once

#include <cuda_runtime.h>

namespace emer::cuda {

// The block's dynamic shared memory, 128-byte aligned.
template <class T>
__device__ inline T* dynamic_shared() {
#ifdef EMER_SIMT
  return static_cast<T*>(simt::dynamic_shared());
#else
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  return reinterpret_cast<T*>(shared_bytes);
#endif
}

inline constexpr unsigned kAllLanes = 0xffffffffu;

// Sum over the 32 lanes, in every lane; all lanes must call. A fixed tree: the same bits every time.
template <class T>
__device__ inline T warp_sum(T value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

// Largest of the 32 lanes, in every lane; NaN where a lane has NaN.
template <class T>
__device__ inline T warp_max(T value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, value, offset);
    value = other > value || other != other ? other : value;
  }
  return value;
}

// Sum over the block, in every thread; all kThreads threads (a multiple of 32) must call.
template <int kThreads, class T>
__device__ inline T block_sum(T value) {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  __shared__ T of_warp[kThreads / 32];
  value = warp_sum(value);
  __syncthreads();  // an earlier call's readers are done
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  T total = 0;
  for (int warp = 0; warp < kThreads / 32; ++warp) total += of_warp[warp];
  return total;
}

// Largest over the block, in every thread; NaN where a thread has NaN. As block_sum.
template <int kThreads, class T>
__device__ inline T block_max(T value) {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  __shared__ T of_warp[kThreads / 32];
  value = warp_max(value);
  __syncthreads();
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  T largest = of_warp[0];
  for (int warp = 1; warp < kThreads / 32; ++warp) {
    const T other = of_warp[warp];
    largest = other > largest || other != other ? other : largest;
  }
  return largest;
}

// For blocks that wait for each other: what was written before a release is seen after the acquire that reads it.
__device__ inline unsigned load_acquire(const unsigned* address) {
#ifdef EMER_SIMT
  return simt::load_acquire(address);
#else
  unsigned value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
  return value;
#endif
}
__device__ inline void store_release(unsigned* address, unsigned value) {
#ifdef EMER_SIMT
  simt::store_release(address, value);
#else
  asm volatile("st.release.gpu.global.u32 [%0], %1;" : : "l"(address), "r"(value) : "memory");
#endif
}
// *address += value, with release order; the old value.
__device__ inline unsigned add_release(unsigned* address, unsigned value) {
#ifdef EMER_SIMT
  return simt::add_release(address, value);
#else
  unsigned old;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], %2;"
               : "=r"(old)
               : "l"(address), "r"(value)
               : "memory");
  return old;
#endif
}

}  // namespace emer::cuda
