// cuBLAS on the CPU: tests/simt/include/cublas_v2.h.
#include <cblas.h>
#include <cublas_v2.h>

#include <algorithm>

#include "tests/simt/operand.h"
#include "tests/simt/runtime.h"

using emer::simt::Operand;
using emer::simt::Part;

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
};

namespace {

template <class Real>
constexpr cudaDataType_t kType = sizeof(Real) == 4 ? CUDA_R_32F : CUDA_R_64F;

CBLAS_UPLO cblas(cublasFillMode_t uplo) {
  return uplo == CUBLAS_FILL_MODE_UPPER ? CblasUpper : CblasLower;
}
CBLAS_SIDE cblas(cublasSideMode_t side) {
  return side == CUBLAS_SIDE_LEFT ? CblasLeft : CblasRight;
}
CBLAS_TRANSPOSE cblas(cublasOperation_t op) {
  return op == CUBLAS_OP_N ? CblasNoTrans : CblasTrans;
}
Part part(cublasFillMode_t uplo) {
  return uplo == CUBLAS_FILL_MODE_UPPER ? Part::kUpper : Part::kLower;
}

#define EMER_CBLAS(s, Real)                                                                                  \
  void trsm(CBLAS_SIDE side, CBLAS_UPLO uplo, CBLAS_TRANSPOSE op, CBLAS_DIAG diag, int m, int n, Real alpha, \
            const Real* a, int lda, Real* b, int ldb) {                                                      \
    cblas_##s##trsm(CblasColMajor, side, uplo, op, diag, m, n, alpha, a, lda, b, ldb);                       \
  }                                                                                                          \
  void syrk(CBLAS_UPLO uplo, CBLAS_TRANSPOSE op, int n, int k, Real alpha, const Real* a, int lda,           \
            Real beta, Real* c, int ldc) {                                                                   \
    cblas_##s##syrk(CblasColMajor, uplo, op, n, k, alpha, a, lda, beta, c, ldc);                             \
  }                                                                                                          \
  void symm(CBLAS_SIDE side, CBLAS_UPLO uplo, int m, int n, Real alpha, const Real* a, int lda,              \
            const Real* b, int ldb, Real beta, Real* c, int ldc) {                                           \
    cblas_##s##symm(CblasColMajor, side, uplo, m, n, alpha, a, lda, b, ldb, beta, c, ldc);                   \
  }
EMER_CBLAS(s, float)
EMER_CBLAS(d, double)
#undef EMER_CBLAS

cublasStatus_t check_handle(cublasHandle_t handle) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  // Without its own workspace the library would allocate, which a graph must not.
  const bool allocates = handle->workspace == nullptr && emer::simt::recording(handle->stream);
  return allocates ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}

// Work on the handle's stream, which also uses the workspace.
template <class Work>
cublasStatus_t submit(cublasHandle_t handle, const char* name, Work work) {
  constexpr std::size_t kUsed = 1 << 16;
  const auto then_scribble = [workspace = handle->workspace, bytes = std::min(handle->workspace_bytes, kUsed),
                              work] {
    work();
    emer::simt::scribble(workspace, bytes, "cuBLAS workspace");
  };
  return emer::simt::submit(handle->stream, then_scribble, name) == cudaSuccess
             ? CUBLAS_STATUS_SUCCESS
             : CUBLAS_STATUS_EXECUTION_FAILED;
}

template <class Real>
cublasStatus_t run_trsm(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,
                        cublasOperation_t op, cublasDiagType_t diag, int m, int n, const Real* alpha,
                        const Real* a, int lda, Real* b, int ldb) {
  if (const cublasStatus_t status = check_handle(handle); status != CUBLAS_STATUS_SUCCESS) return status;
  const int order = side == CUBLAS_SIDE_LEFT ? m : n;
  if (m < 0 || n < 0 || lda < std::max(1, order) || ldb < std::max(1, m) || alpha == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  return submit(handle, "cublas trsm", [=, scale = *alpha] {
    const Operand right{b, kType<Real>, m, n, ldb};
    check_read({a, kType<Real>, order, order, lda}, part(uplo), "trsm A");
    check_read(right, Part::kAll, "trsm B");
    check_write(right, Part::kAll, "trsm B");
    trsm(cblas(side), cblas(uplo), cblas(op), diag == CUBLAS_DIAG_UNIT ? CblasUnit : CblasNonUnit, m, n,
         scale, a, lda, b, ldb);
  });
}

template <class Real>
cublasStatus_t run_syrk(cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t op, int n, int k,
                        const Real* alpha, const Real* a, int lda, const Real* beta, Real* c, int ldc) {
  if (const cublasStatus_t status = check_handle(handle); status != CUBLAS_STATUS_SUCCESS) return status;
  const bool plain = op == CUBLAS_OP_N;
  if (n < 0 || k < 0 || lda < std::max(1, plain ? n : k) || ldc < std::max(1, n) || alpha == nullptr ||
      beta == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (n == 0) return CUBLAS_STATUS_SUCCESS;
  return submit(handle, "cublas syrk", [=, scale = *alpha, keep = *beta] {
    const Operand result{c, kType<Real>, n, n, ldc};
    check_read({a, kType<Real>, plain ? n : k, plain ? k : n, lda}, Part::kAll, "syrk A");
    if (keep != 0) check_read(result, part(uplo), "syrk C");
    check_write(result, part(uplo), "syrk C");
    syrk(cblas(uplo), cblas(op), n, k, scale, a, lda, keep, c, ldc);
  });
}

template <class Real>
cublasStatus_t run_symm(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo, int m, int n,
                        const Real* alpha, const Real* a, int lda, const Real* b, int ldb, const Real* beta,
                        Real* c, int ldc) {
  if (const cublasStatus_t status = check_handle(handle); status != CUBLAS_STATUS_SUCCESS) return status;
  const int order = side == CUBLAS_SIDE_LEFT ? m : n;
  if (m < 0 || n < 0 || lda < std::max(1, order) || ldb < std::max(1, m) || ldc < std::max(1, m) ||
      alpha == nullptr || beta == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  return submit(handle, "cublas symm", [=, scale = *alpha, keep = *beta] {
    const Operand result{c, kType<Real>, m, n, ldc};
    check_read({a, kType<Real>, order, order, lda}, part(uplo), "symm A");
    check_read({b, kType<Real>, m, n, ldb}, Part::kAll, "symm B");
    if (keep != 0) check_read(result, Part::kAll, "symm C");
    check_write(result, Part::kAll, "symm C");
    symm(cblas(side), cblas(uplo), m, n, scale, a, lda, b, ldb, keep, c, ldc);
  });
}

}  // namespace

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an invalid value was given";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "the device lacks a feature";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "an access to GPU memory space failed";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the function failed to launch on the GPU";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "an internal operation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the requested functionality is not supported";
  }
  return "unknown status";
}

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion(cublasHandle_t handle, int* version) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (version == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *version = 130000;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = cublasContext{.stream = stream};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  handle->workspace = workspace;
  handle->workspace_bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

#define EMER_SIMT_BLAS(S, Real)                                                                              \
  cublasStatus_t cublas##S##trsm(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,        \
                                 cublasOperation_t op, cublasDiagType_t diag, int m, int n,                  \
                                 const Real* alpha, const Real* a, int lda, Real* b, int ldb) {              \
    return run_trsm(handle, side, uplo, op, diag, m, n, alpha, a, lda, b, ldb);                              \
  }                                                                                                          \
  cublasStatus_t cublas##S##syrk(cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t op, int n,  \
                                 int k, const Real* alpha, const Real* a, int lda, const Real* beta,         \
                                 Real* c, int ldc) {                                                         \
    return run_syrk(handle, uplo, op, n, k, alpha, a, lda, beta, c, ldc);                                    \
  }                                                                                                          \
  cublasStatus_t cublas##S##symm(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo, int m, \
                                 int n, const Real* alpha, const Real* a, int lda, const Real* b, int ldb,   \
                                 const Real* beta, Real* c, int ldc) {                                       \
    return run_symm(handle, side, uplo, m, n, alpha, a, lda, b, ldb, beta, c, ldc);                          \
  }
EMER_SIMT_BLAS(S, float)
EMER_SIMT_BLAS(D, double)
#undef EMER_SIMT_BLAS
