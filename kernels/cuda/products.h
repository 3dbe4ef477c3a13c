// kernels/cuda/products.h - row-major products of arrays without row gaps, short to write. CUDA twins only.
#pragma once

#include <type_traits>

#include "kernels/cuda/matmul.h"

namespace emer::cuda {

inline constexpr bool kPlain = false, kTransposed = true;

// Of the CCA's float products: a covariance does not survive operands of 8 bits, so that kBf16 means kTf32 here.
inline Precision covariance_precision(const Context& ctx) {
  return ctx.precision() == Precision::kFp32 ? Precision::kFp32 : Precision::kTf32;
}

// C[m, n] = alpha * op(A)[m, k] op(B)[k, n] + beta * C.
template <class Real>
void product(Context& ctx, bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
             double alpha, const Real* a, const Real* b, double beta, Real* c) {
  constexpr MatmulType type = std::is_same_v<Real, float> ? MatmulType::kFloat : MatmulType::kDouble;
  matmul(ctx, {.transpose_a = transpose_a,
               .transpose_b = transpose_b,
               .m = m,
               .n = n,
               .k = k,
               .alpha = alpha,
               .a = a,
               .lda = transpose_a ? m : k,
               .b = b,
               .ldb = transpose_b ? k : n,
               .beta = beta,
               .c = c,
               .ldc = n,
               .input = type,
               .output = type,
               .precision = covariance_precision(ctx)});
}

}  // namespace emer::cuda
