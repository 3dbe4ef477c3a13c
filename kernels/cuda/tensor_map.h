// kernels/cuda/tensor_map.h - what the copy engine of sm_90 (TMA) must know of an array in global memory. Made on the
// host, passed to kernels by value as `const __grid_constant__ TensorMap`. CUDA twins only.
#pragma once

#ifdef EMER_SIMT
#include <cstdint>
#else
#include <cuda.h>
#endif

#include <cstdint>

namespace emer::cuda {

#ifdef EMER_SIMT
struct alignas(64) TensorMap {
  const std::uint16_t* base;
  std::int64_t extent[3], stride[3];  // elements
  std::int64_t box_rows;
};
#else
using TensorMap = CUtensorMap;
#endif

// An array of 16-bit elements [matrices, rows, columns], `ld` elements from one row to the next (a multiple of 8; the
// base a multiple of 16 bytes), rows * ld from one matrix to the next. One copy takes 64 columns of box_rows rows, 128
// bytes a row, swizzled: kernels/cuda/warpgroup.h. What lies outside the array arrives as zeros.
inline constexpr int kTensorMapColumns = 64;
TensorMap make_tensor_map(const void* base, std::int64_t matrices, std::int64_t rows, std::int64_t columns,
                          std::int64_t ld, int box_rows);

}  // namespace emer::cuda
