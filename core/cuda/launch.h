// core/cuda/launch.h - the one place where a kernel is launched: checks, attributes, name. Only CUDA sources
// include this.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/context.h"
#include "core/cuda/context_state.h"

namespace emer::cuda {

struct LaunchShape {
  const char* name = "";         // in errors
  dim3 grid{1, 1, 1};            // blocks; an extent of 0 launches nothing
  dim3 block{1, 1, 1};           // threads
  std::size_t shared_bytes = 0;  // dynamic shared memory; above 48 KiB the limit is raised for the kernel
  unsigned cluster = 1;          // blocks of a cluster along x, sm_90 and later
  bool cooperative = false;      // all blocks live at once
};

inline constexpr int kElementwiseBlock = 256;

// Blocks of `threads` that cover `count` items once; at most `limit`, for kernels whose threads walk in strides.
inline unsigned blocks_for(std::int64_t count, int threads = kElementwiseBlock,
                           std::int64_t limit = 1 << 20) {
  return static_cast<unsigned>(std::min((count + threads - 1) / threads, limit));
}

// Asynchronous on ctx's stream. Throws Error(kDevice) where the launch is refused; with EMER_CUDA_SYNC_CHECKS also
// where the kernel fails, outside graph recording.
template <class... Parameters, class... Arguments>
void launch(Context& ctx, const LaunchShape& shape, void (*kernel)(Parameters...), Arguments&&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  const auto checked = [&](cudaError_t status) {
    if (status != cudaSuccess) [[unlikely]]
      fail_kernel(status, shape.name);
  };
  constexpr std::size_t kSharedWithoutOptIn = 48 * 1024;
  if (shape.shared_bytes > kSharedWithoutOptIn)
    checked(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                 cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shape.shared_bytes)));
  cudaLaunchAttribute attributes[2]{};
  unsigned count = 0;
  if (shape.cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = shape.cluster;
    attributes[count].val.clusterDim.y = 1;
    attributes[count].val.clusterDim.z = 1;
    ++count;
  }
  if (shape.cooperative) {
    attributes[count].id = cudaLaunchAttributeCooperative;
    attributes[count].val.cooperative = 1;
    ++count;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = ctx.cuda_state().stream;
  config.attrs = attributes;
  config.numAttrs = count;
#ifdef EMER_SIMT
  simt::name_next_launch(shape.name);
#endif
  checked(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
#ifdef EMER_CUDA_SYNC_CHECKS
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  checked(cudaStreamIsCapturing(config.stream, &capture));
  if (capture == cudaStreamCaptureStatusNone) checked(cudaStreamSynchronize(config.stream));
#endif
}

}  // namespace emer::cuda
