// kernels/cpu/blas.h - OpenBLAS by scalar type. Row-major throughout. CPU twins only.
//
// OpenBLAS runs on all threads from a serial region and on one thread inside an OpenMP region (the OpenMP
// build sees that it is nested), so a twin chooses: one large threaded product, or many products inside
// parallel_for.
#pragma once

#include <cblas.h>

#include <cstdint>

namespace emer::cpu {

enum class Op { kNone, kTranspose };

inline CBLAS_TRANSPOSE cblas_op(Op op) {
  return op == Op::kNone ? CblasNoTrans : CblasTrans;
}

// C[m, n] = alpha * op(A) op(B) + beta * C; lda, ldb, ldc are row strides. beta = 0 overwrites C, NaN or not.
inline void gemm(Op op_a, Op op_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
                 const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                 std::int64_t ldc) {
  if (m == 0 || n == 0) return;
  cblas_sgemm(CblasRowMajor, cblas_op(op_a), cblas_op(op_b), static_cast<int>(m), static_cast<int>(n),
              static_cast<int>(k), alpha, a, static_cast<int>(lda), b, static_cast<int>(ldb), beta, c,
              static_cast<int>(ldc));
}
inline void gemm(Op op_a, Op op_b, std::int64_t m, std::int64_t n, std::int64_t k, double alpha,
                 const double* a, std::int64_t lda, const double* b, std::int64_t ldb, double beta, double* c,
                 std::int64_t ldc) {
  if (m == 0 || n == 0) return;
  cblas_dgemm(CblasRowMajor, cblas_op(op_a), cblas_op(op_b), static_cast<int>(m), static_cast<int>(n),
              static_cast<int>(k), alpha, a, static_cast<int>(lda), b, static_cast<int>(ldb), beta, c,
              static_cast<int>(ldc));
}

}  // namespace emer::cpu
