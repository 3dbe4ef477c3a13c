// tests/simt/operand.h - a matrix that an emulated library reads or writes in device memory. For the emulated
// libraries only.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "library_types.h"

namespace emer::simt {

enum class Part { kAll, kUpper, kLower };  // triangles hold the diagonal

// `batch` matrices, `stride` elements apart; `ld` elements from one column to the next, or one row where row_major.
struct Operand {
  const void* data;
  cudaDataType_t type;
  std::int64_t rows, columns, ld;
  bool row_major = false;
  int batch = 1;
  std::int64_t stride = 0;

  std::int64_t lines() const { return row_major ? rows : columns; }        // contiguous runs of one matrix
  std::int64_t line_length() const { return row_major ? columns : rows; }  // elements of a run
  std::int64_t index(int matrix, std::int64_t i, std::int64_t j) const {
    return matrix * stride + (row_major ? i * ld + j : j * ld + i);
  }
};

std::size_t element_size(cudaDataType_t type);

// Every element of the part is device memory that was written (read) or may be written (write); what lies between the
// columns is not looked at. Triangles are of column-major operands.
void check_read(const Operand& operand, Part part, const char* what);
void check_write(const Operand& operand, Part part, const char* what);

// True where an element of one is an element of the other.
bool overlap(const Operand& one, const Operand& other);

// The workspace of a library, which says what is left in it: NaN.
void scribble(void* workspace, std::size_t bytes, const char* what);

bool recording(cudaStream_t stream);

// Rounded to nearest, ties to even.
std::uint16_t bf16_from(float value);
float tf32_from(float value);  // 10 mantissa bits

}  // namespace emer::simt
