// kernels/cpu/packed_product.h - C += A B for one B that is used many times, packed once.
//
// A recurrence multiplies a few dozen rows by the same weights at every step; a BLAS call packs the weights
// anew each time, which costs a fifth of such a product. Here every row of C is computed by the same sequence
// of operations whatever rows stand beside it, so cutting a batch into chunks does not change a bit of the
// result.
#pragma once

#include <cstdint>

#include "kernels/cpu/blas.h"

namespace emer::cpu {

// Elements that the packed form of a [k, columns] matrix takes.
template <class Real>
std::int64_t packed_size(std::int64_t k, std::int64_t columns);

// packed <- op(B), op(B) being [k, columns] and ldb the row stride of B as stored. Threaded.
template <class Real>
void pack(Op op, std::int64_t k, std::int64_t columns, const Real* b, std::int64_t ldb, Real* packed);

// Elements of scratch that packed_product needs.
template <class Real>
std::int64_t packed_scratch_size(std::int64_t rows, std::int64_t k);

// C[rows, columns] += A[rows, k] B, on the calling thread. scratch: packed_scratch_size(rows, k) elements.
template <class Real>
void packed_product(std::int64_t rows, std::int64_t k, std::int64_t columns, const Real* a, std::int64_t lda,
                    const Real* packed, Real* c, std::int64_t ldc, Real* scratch);

}  // namespace emer::cpu
