// kernels/cpu/column_sums.h - column sums of a row-major matrix, in a fixed order.
#pragma once

#include <cstdint>

namespace emer::cpu {

// sums[j] += sum_i g[i * stride + j], j < columns. Eight rows are added pairwise before they meet the running
// sum, so the error grows with rows / 8, and the sums' memory is passed over an eighth as often.
template <class Real>
void add_column_sums(const Real* g, std::int64_t rows, std::int64_t columns, std::int64_t stride,
                     Real* sums) {
  std::int64_t i = 0;
  for (; i + 8 <= rows; i += 8) {
    const Real* r = g + i * stride;
#pragma omp simd
    for (std::int64_t j = 0; j < columns; ++j)
      sums[j] += ((r[j] + r[stride + j]) + (r[2 * stride + j] + r[3 * stride + j])) +
                 ((r[4 * stride + j] + r[5 * stride + j]) + (r[6 * stride + j] + r[7 * stride + j]));
  }
  for (; i < rows; ++i) {
    const Real* r = g + i * stride;
#pragma omp simd
    for (std::int64_t j = 0; j < columns; ++j) sums[j] += r[j];
  }
}

}  // namespace emer::cpu
