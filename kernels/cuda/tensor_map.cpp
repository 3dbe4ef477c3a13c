#include "kernels/cuda/tensor_map.h"

#include "core/check.h"
#include "core/cuda/context_state.h"

namespace emer::cuda {

#ifdef EMER_SIMT

TensorMap make_tensor_map(const void* base, std::int64_t matrices, std::int64_t rows, std::int64_t columns,
                          std::int64_t ld, int box_rows) {
  EMER_CHECK(ld % 8 == 0 && reinterpret_cast<std::uintptr_t>(base) % 16 == 0 && box_rows <= 256,
             "tensor map: row of {} elements at {}, {} rows a copy", ld, base, box_rows);
  return {.base = static_cast<const std::uint16_t*>(base),
          .extent = {columns, rows, matrices},
          .stride = {1, ld, rows * ld},
          .box_rows = box_rows};
}

#else

namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// From the driver that is loaded: linking against libcuda would keep the program from starting without one.
Encode find_encode() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  constexpr unsigned kSince = 12000;
  EMER_CUDA_CHECK(
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, kSince, cudaEnableDefault, &result));
  if (result != cudaDriverEntryPointSuccess || found == nullptr)
    fail(ErrorKind::kDevice,
         "this driver has no cuTensorMapEncodeTiled; update it, or use loss.kl.kernel: strips");
  return reinterpret_cast<Encode>(found);
}

}  // namespace

TensorMap make_tensor_map(const void* base, std::int64_t matrices, std::int64_t rows, std::int64_t columns,
                          std::int64_t ld, int box_rows) {
  static const Encode encode = find_encode();
  TensorMap map;
  const auto extent = [](std::int64_t count) { return static_cast<cuuint64_t>(count); };
  const cuuint64_t extents[] = {extent(columns), extent(rows), extent(matrices)};
  const cuuint64_t strides[] = {extent(2 * ld), extent(2 * ld * rows)};  // bytes, of the outer two
  const cuuint32_t box[] = {kTensorMapColumns, static_cast<cuuint32_t>(box_rows), 1}, steps[] = {1, 1, 1};
  const CUresult status =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<void*>(base), extents, strides, box, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    fail(ErrorKind::kDevice,
         "cuTensorMapEncodeTiled: CUDA driver error {} for [{}, {}, {}], row of {} elements",
         static_cast<int>(status), matrices, rows, columns, ld);
  return map;
}

#endif

}  // namespace emer::cuda
