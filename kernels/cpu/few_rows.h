// kernels/cpu/few_rows.h - Y = X W^T for few rows of X and a W that no cache holds, as of a dense layer behind a short
// batch.
//
// A BLAS call packs W anew each time: for some dozen rows that takes longer than the product. Here W passes once, as it
// lies. Every row of Y is computed by the same sequence of operations whatever rows stand beside it.
#pragma once

#include <cstdint>

namespace emer::cpu {

// Whether few_rows_product is the faster way: measured against OpenBLAS 0.3.21 with 4096 to 12,288 values a row.
inline bool takes_few_rows(std::int64_t n, std::int64_t in, std::int64_t out) {
  return n <= 48 && in >= 256 && in * out >= std::int64_t{1} << 20;
}

// y[n, out], overwritten, = x[n, in] weight[out, in]^T, n up to 48.
template <class Real>
void few_rows_product(std::int64_t n, std::int64_t in, std::int64_t out, const Real* x, const Real* weight,
                      Real* y);

}  // namespace emer::cpu
