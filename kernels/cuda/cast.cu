#include "kernels/cuda/cast.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

constexpr int kGroup = 8;  // bfloat16 of one 16-byte store

__device__ std::uint32_t pack(float low, float high) {
  const std::uint32_t lower = __bfloat16_as_ushort(__float2bfloat16_rn(low));
  return lower | static_cast<std::uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(high))) << 16;
}

// One thread per group of 8 columns of a row, groups of a row side by side; blockIdx.y is the matrix.
template <bool kAligned>
__global__ void rows_to_bf16(std::int64_t rows, std::int64_t columns, const float* from,
                             RowsLayout from_layout, std::uint16_t* to, RowsLayout to_layout) {
  from += blockIdx.y * from_layout.stride;
  to += blockIdx.y * to_layout.stride;
  const std::int64_t groups = (columns + kGroup - 1) / kGroup, step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < rows * groups; i += step) {
    const std::int64_t row = i / groups, first = i % groups * kGroup;
    const float* source = from + row * from_layout.ld + first;
    std::uint16_t* target = to + row * to_layout.ld + first;
    if (kAligned && first + kGroup <= columns) {
      const float4 a = reinterpret_cast<const float4*>(source)[0],
                   b = reinterpret_cast<const float4*>(source)[1];
      *reinterpret_cast<uint4*>(target) =
          make_uint4(pack(a.x, a.y), pack(a.z, a.w), pack(b.x, b.y), pack(b.z, b.w));
    } else {
      const std::int64_t count = columns - first < kGroup ? columns - first : kGroup;
      for (std::int64_t k = 0; k < count; ++k)
        target[k] = __bfloat16_as_ushort(__float2bfloat16_rn(source[k]));
    }
  }
}

__device__ void convert(float from, double& to) {
  to = static_cast<double>(from);
}
__device__ void convert(double from, float& to) {
  to = __double2float_rn(from);
}
__device__ void convert(std::uint16_t from, float& to) {
  to = __uint_as_float(static_cast<std::uint32_t>(from) << 16);
}

// One thread per element.
template <class From, class To>
__global__ void elements(std::int64_t count, const From* from, To* to) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    convert(from[i], to[i]);
}

template <class From, class To>
void launch_elements(Context& ctx, const char* name, std::int64_t count, const From* from, To* to) {
  launch(ctx, {.name = name, .grid = {blocks_for(count)}, .block = kElementwiseBlock}, elements<From, To>,
         count, from, to);
}

bool divisible(const void* pointer, std::int64_t ld_bytes, std::int64_t stride_bytes) {
  return (reinterpret_cast<std::uintptr_t>(pointer) | static_cast<std::uintptr_t>(ld_bytes) |
          static_cast<std::uintptr_t>(stride_bytes)) %
             16 ==
         0;
}

}  // namespace

void cast_to_bf16(Context& ctx, int batch, std::int64_t rows, std::int64_t columns, const float* from,
                  RowsLayout from_layout, std::uint16_t* to, RowsLayout to_layout) {
  const bool aligned = divisible(from, from_layout.ld * 4, from_layout.stride * 4) &&
                       divisible(to, to_layout.ld * 2, to_layout.stride * 2);
  const std::int64_t groups = rows * ((columns + kGroup - 1) / kGroup);
  launch(ctx,
         {.name = "cast_to_bf16",
          .grid = {blocks_for(groups), static_cast<unsigned>(batch)},
          .block = kElementwiseBlock},
         aligned ? rows_to_bf16<true> : rows_to_bf16<false>, rows, columns, from, from_layout, to, to_layout);
}

void cast_to_bf16(Context& ctx, std::int64_t count, const float* from, std::uint16_t* to) {
  cast_to_bf16(ctx, 1, 1, count, from, {}, to, {});
}

void cast_to_double(Context& ctx, std::int64_t count, const float* from, double* to) {
  launch_elements(ctx, "cast_to_double", count, from, to);
}

void cast_to_float(Context& ctx, std::int64_t count, const double* from, float* to) {
  launch_elements(ctx, "cast_to_float", count, from, to);
}

void cast_to_float(Context& ctx, std::int64_t count, const std::uint16_t* from, float* to) {
  launch_elements(ctx, "cast_to_float", count, from, to);
}

}  // namespace emer::cuda
