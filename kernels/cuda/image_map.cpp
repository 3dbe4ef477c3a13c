#include "kernels/cuda/image_map.h"

#include "core/check.h"
#include "core/cuda/context_state.h"
#include "kernels/cuda/tensor_map.h"

namespace emer::cuda {

namespace {
constexpr int kCorner = -1;  // see the header: a border of 1 below, 1 - (3 - 1) above
}

#ifdef EMER_SIMT

ImageMap make_image_map(const void* base, int images, int height, int width, int channels, int pixels) {
  EMER_CHECK(channels % 8 == 0 && reinterpret_cast<std::uintptr_t>(base) % 16 == 0 && pixels <= 256,
             "image map: {} channels at {}, {} pixels a copy", channels, base, pixels);
  return {.base = static_cast<const std::uint16_t*>(base),
          .images = images,
          .height = height,
          .width = width,
          .channels = channels,
          .lower = kCorner,
          .upper = kCorner,
          .pixels = pixels};
}

#else

namespace {

using Encode = decltype(&cuTensorMapEncodeIm2col);

// From the driver that is loaded: linking against libcuda would keep the program from starting without one.
Encode find_encode() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  constexpr unsigned kSince = 12000;
  EMER_CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeIm2col", &found, kSince,
                                                   cudaEnableDefault, &result));
  if (result != cudaDriverEntryPointSuccess || found == nullptr)
    fail(ErrorKind::kDevice,
         "this driver has no cuTensorMapEncodeIm2col; update it, or use another kernel for convolutions");
  return reinterpret_cast<Encode>(found);
}

}  // namespace

ImageMap make_image_map(const void* base, int images, int height, int width, int channels, int pixels) {
  static const Encode encode = find_encode();
  ImageMap map;
  const auto extent = [](int count) { return static_cast<cuuint64_t>(count); };
  const cuuint64_t extents[] = {extent(channels), extent(width), extent(height), extent(images)};
  const cuuint64_t row = 2 * extent(channels), line = row * extent(width);
  const cuuint64_t strides[] = {row, line, line * extent(height)};  // bytes, of the outer three
  const int corner[] = {kCorner, kCorner};
  const cuuint32_t steps[] = {1, 1, 1, 1};
  const CUresult status = encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<void*>(base), extents,
                                 strides, corner, corner, kTensorMapColumns, static_cast<cuuint32_t>(pixels),
                                 steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    fail(ErrorKind::kDevice, "cuTensorMapEncodeIm2col: CUDA driver error {} for [{}, {}, {}, {}]",
         static_cast<int>(status), images, height, width, channels);
  return map;
}

#endif

}  // namespace emer::cuda
