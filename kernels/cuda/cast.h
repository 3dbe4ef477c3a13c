// kernels/cuda/cast.h - elements from one type to another on the device. CUDA twins only; this header needs no
// CUDA header, so that a bfloat16 is its 16 bits here.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer::cuda {

// Rows of `columns` elements, `batch` matrices of `rows` rows; ld and stride in elements.
struct RowsLayout {
  std::int64_t ld = 0, stride = 0;
};

// to <- from rounded to nearest, ties to even; NaN stays NaN. What lies between the rows of `to` is left alone.
void cast_to_bf16(Context& ctx, int batch, std::int64_t rows, std::int64_t columns, const float* from,
                  RowsLayout from_layout, std::uint16_t* to, RowsLayout to_layout);
// Without gaps: [count] elements.
void cast_to_bf16(Context& ctx, std::int64_t count, const float* from, std::uint16_t* to);
void cast_to_double(Context& ctx, std::int64_t count, const float* from, double* to);
void cast_to_float(Context& ctx, std::int64_t count, const double* from, float* to);  // rounds to nearest
void cast_to_float(Context& ctx, std::int64_t count, const std::uint16_t* from, float* to);

}  // namespace emer::cuda
