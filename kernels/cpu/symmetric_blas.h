// kernels/cpu/symmetric_blas.h - products with symmetric and triangular matrices by scalar type, row-major,
// without row gaps. Companion of blas.h. CPU twins only.
#pragma once

#include <cblas.h>

namespace emer::cpu {

// Upper triangle of C[m, m] = alpha * A'A + beta * C, A[k, m]; the lower triangle is left alone.
inline void syrk(int m, int k, float alpha, const float* a, float beta, float* c) {
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, m, k, alpha, a, m, beta, c, m);
}
inline void syrk(int m, int k, double alpha, const double* a, double beta, double* c) {
  cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, m, k, alpha, a, m, beta, c, m);
}

// C[n, m] = alpha * B E + beta * C, B[n, m], E[m, m] symmetric by its upper triangle.
inline void symm(int n, int m, float alpha, const float* b, const float* e, float beta, float* c) {
  cblas_ssymm(CblasRowMajor, CblasRight, CblasUpper, n, m, alpha, e, m, b, m, beta, c, m);
}
inline void symm(int n, int m, double alpha, const double* b, const double* e, double beta, double* c) {
  cblas_dsymm(CblasRowMajor, CblasRight, CblasUpper, n, m, alpha, e, m, b, m, beta, c, m);
}

// B[n, m] <- B L^-1, or B L^-T where `transposed`; L[m, m] lower triangular.
inline void solve_right_lower(bool transposed, int n, int m, const double* lower, double* b) {
  cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, transposed ? CblasTrans : CblasNoTrans, CblasNonUnit, n,
              m, 1.0, lower, m, b, m);
}

}  // namespace emer::cpu
