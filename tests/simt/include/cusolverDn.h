// tests/simt/include/cusolverDn.h - the harness's stand-in for cuSOLVER: what the engine calls of it, with the meaning
// NVIDIA documents (column-major, sizes of workspaces in elements). Answered by tests/simt/cusolver.cpp.
//
// Stricter than the library where its documentation leaves room: syevd and gesvd, which iterate, are refused while a
// graph is recorded; empty matrices are refused; workspaces and overwritten operands are left full of NaN; the free
// signs of eigenvectors and singular vectors are not LAPACK's.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

enum cusolverStatus_t : int {
  CUSOLVER_STATUS_SUCCESS = 0,
  CUSOLVER_STATUS_NOT_INITIALIZED = 1,
  CUSOLVER_STATUS_ALLOC_FAILED = 2,
  CUSOLVER_STATUS_INVALID_VALUE = 3,
  CUSOLVER_STATUS_ARCH_MISMATCH = 4,
  CUSOLVER_STATUS_EXECUTION_FAILED = 6,
  CUSOLVER_STATUS_INTERNAL_ERROR = 7,
  CUSOLVER_STATUS_NOT_SUPPORTED = 9,
  CUSOLVER_STATUS_INVALID_WORKSPACE = 31,
};
enum cusolverEigMode_t : int { CUSOLVER_EIG_MODE_NOVECTOR = 0, CUSOLVER_EIG_MODE_VECTOR = 1 };

struct cusolverDnContext;
using cusolverDnHandle_t = cusolverDnContext*;

cusolverStatus_t cusolverGetVersion(int* version);  // of the library that is stood in for
cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle);
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle);
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream);

#define EMER_SIMT_SOLVER(S, Real)                                                                            \
  cusolverStatus_t cusolverDn##S##potrf_bufferSize(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n,  \
                                                   Real* a, int lda, int* size);                             \
  cusolverStatus_t cusolverDn##S##potrf(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n, Real* a,    \
                                        int lda, Real* work, int size, int* info);                           \
  cusolverStatus_t cusolverDn##S##geqrf_bufferSize(cusolverDnHandle_t handle, int m, int n, Real* a,         \
                                                   int lda, int* size);                                      \
  cusolverStatus_t cusolverDn##S##geqrf(cusolverDnHandle_t handle, int m, int n, Real* a, int lda,           \
                                        Real* tau, Real* work, int size, int* info);                         \
  cusolverStatus_t cusolverDn##S##orgqr_bufferSize(cusolverDnHandle_t handle, int m, int n, int k,           \
                                                   const Real* a, int lda, const Real* tau, int* size);      \
  cusolverStatus_t cusolverDn##S##orgqr(cusolverDnHandle_t handle, int m, int n, int k, Real* a, int lda,    \
                                        const Real* tau, Real* work, int size, int* info);                   \
  cusolverStatus_t cusolverDn##S##ormqr_bufferSize(                                                          \
      cusolverDnHandle_t handle, cublasSideMode_t side, cublasOperation_t op, int m, int n, int k,           \
      const Real* a, int lda, const Real* tau, const Real* c, int ldc, int* size);                           \
  cusolverStatus_t cusolverDn##S##ormqr(cusolverDnHandle_t handle, cublasSideMode_t side,                    \
                                        cublasOperation_t op, int m, int n, int k, const Real* a, int lda,   \
                                        const Real* tau, Real* c, int ldc, Real* work, int size, int* info); \
  cusolverStatus_t cusolverDn##S##syevd_bufferSize(cusolverDnHandle_t handle, cusolverEigMode_t mode,        \
                                                   cublasFillMode_t uplo, int n, const Real* a, int lda,     \
                                                   const Real* w, int* size);                                \
  cusolverStatus_t cusolverDn##S##syevd(cusolverDnHandle_t handle, cusolverEigMode_t mode,                   \
                                        cublasFillMode_t uplo, int n, Real* a, int lda, Real* w, Real* work, \
                                        int size, int* info);                                                \
  cusolverStatus_t cusolverDn##S##gesvd_bufferSize(cusolverDnHandle_t handle, int m, int n, int* size);      \
  cusolverStatus_t cusolverDn##S##gesvd(cusolverDnHandle_t handle, signed char jobu, signed char jobvt,      \
                                        int m, int n, Real* a, int lda, Real* s, Real* u, int ldu, Real* vt, \
                                        int ldvt, Real* work, int size, Real* rwork, int* info);
EMER_SIMT_SOLVER(S, float)
EMER_SIMT_SOLVER(D, double)
#undef EMER_SIMT_SOLVER
