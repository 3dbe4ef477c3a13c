// cuSOLVER on the CPU: tests/simt/include/cusolverDn.h.
#include <cusolverDn.h>
#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/simt/operand.h"
#include "tests/simt/runtime.h"

using emer::simt::Operand;
using emer::simt::Part;

struct cusolverDnContext {
  cudaStream_t stream = nullptr;
};

namespace {

using Index = std::int64_t;

template <class Real>
constexpr cudaDataType_t kType = sizeof(Real) == 4 ? CUDA_R_32F : CUDA_R_64F;

// LAPACK by scalar type, with a workspace of its own.
#define EMER_LAPACK(prefix, Real)                                                                         \
  int potrf(char uplo, int n, Real* a, int lda) {                                                         \
    return LAPACKE_##prefix##potrf_work(LAPACK_COL_MAJOR, uplo, n, a, lda);                               \
  }                                                                                                       \
  int geqrf(int m, int n, Real* a, int lda, Real* tau, std::vector<Real>& work) {                         \
    return LAPACKE_##prefix##geqrf_work(LAPACK_COL_MAJOR, m, n, a, lda, tau, work.data(),                 \
                                        static_cast<int>(work.size()));                                   \
  }                                                                                                       \
  int orgqr(int m, int n, int k, Real* a, int lda, const Real* tau, std::vector<Real>& work) {            \
    return LAPACKE_##prefix##orgqr_work(LAPACK_COL_MAJOR, m, n, k, a, lda, tau, work.data(),              \
                                        static_cast<int>(work.size()));                                   \
  }                                                                                                       \
  int ormqr(char side, char op, int m, int n, int k, const Real* a, int lda, const Real* tau, Real* c,    \
            int ldc, std::vector<Real>& work) {                                                           \
    return LAPACKE_##prefix##ormqr_work(LAPACK_COL_MAJOR, side, op, m, n, k, a, lda, tau, c, ldc,         \
                                        work.data(), static_cast<int>(work.size()));                      \
  }                                                                                                       \
  int syevd(char job, char uplo, int n, Real* a, int lda, Real* w, std::vector<Real>& work,               \
            std::vector<lapack_int>& integers) {                                                          \
    return LAPACKE_##prefix##syevd_work(LAPACK_COL_MAJOR, job, uplo, n, a, lda, w, work.data(),           \
                                        static_cast<int>(work.size()), integers.data(),                   \
                                        static_cast<int>(integers.size()));                               \
  }                                                                                                       \
  int gesvd(char jobu, char jobvt, int m, int n, Real* a, int lda, Real* s, Real* u, int ldu, Real* vt,   \
            int ldvt, std::vector<Real>& work) {                                                          \
    return LAPACKE_##prefix##gesvd_work(LAPACK_COL_MAJOR, jobu, jobvt, m, n, a, lda, s, u, ldu, vt, ldvt, \
                                        work.data(), static_cast<int>(work.size()));                      \
  }
EMER_LAPACK(s, float)
EMER_LAPACK(d, double)
#undef EMER_LAPACK

// What the routines ask for, in elements; of no meaning beyond being needed.
int work_size(int m, int n) {
  return 3 + 2 * std::max(m, n);
}

bool fits(int rows, int columns, int ld) {
  return rows >= 1 && columns >= 1 && ld >= rows;
}

Part part(cublasFillMode_t uplo) {
  return uplo == CUBLAS_FILL_MODE_UPPER ? Part::kUpper : Part::kLower;
}
char letter(cublasFillMode_t uplo) {
  return uplo == CUBLAS_FILL_MODE_UPPER ? 'U' : 'L';
}

template <class Real>
void read_write(const Real* a, int rows, int columns, int ld, Part which, const char* what) {
  const Operand x{a, kType<Real>, rows, columns, ld};
  check_read(x, which, what);
  check_write(x, which, what);
}
template <class Real>
void write(const Real* a, int rows, int columns, int ld, const char* what) {
  check_write({a, kType<Real>, rows, columns, ld}, Part::kAll, what);
}
template <class Real>
void read(const Real* a, int rows, int columns, int ld, const char* what) {
  check_read({a, kType<Real>, rows, columns, ld}, Part::kAll, what);
}

// Each element (i, j) of the part <- value(i, j).
template <class Real, class Value>
void fill(Real* a, int rows, int columns, int ld, const Value& value) {
  for (int j = 0; j < columns; ++j)
    for (int i = 0; i < rows; ++i) a[Index{j} * ld + i] = value(i, j);
}
template <class Real>
void fill_nan(Real* a, int rows, int columns, int ld) {
  fill(a, rows, columns, ld, [](int, int) { return std::numeric_limits<Real>::quiet_NaN(); });
}

template <class Real>
bool all_finite(const Real* a, int rows, int columns, int ld, Part which) {
  for (int j = 0; j < columns; ++j)
    for (int i = 0; i < rows; ++i) {
      const bool inside = which == Part::kAll || (which == Part::kUpper ? i <= j : i >= j);
      if (inside && !std::isfinite(a[Index{j} * ld + i])) return false;
    }
  return true;
}

cusolverStatus_t report_size(cusolverDnHandle_t handle, bool valid, int needed, int* size) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (!valid || size == nullptr) return CUSOLVER_STATUS_INVALID_VALUE;
  *size = needed;
  return CUSOLVER_STATUS_SUCCESS;
}

// Work that returns LAPACK's info, run on the handle's stream; leaves the workspace scribbled and *info set.
template <class Real, class Work>
cusolverStatus_t submit(cusolverDnHandle_t handle, const char* name, bool valid, int needed, Real* workspace,
                        int size, int* info, Work work) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (!valid || workspace == nullptr || size < needed || info == nullptr)
    return CUSOLVER_STATUS_INVALID_VALUE;
  const auto all = [=] {
    emer::simt::scribble(workspace, static_cast<std::size_t>(size) * sizeof(Real), "cuSOLVER workspace");
    emer::simt::check_write(info, sizeof(int), "cuSOLVER info");
    *info = work();
  };
  return emer::simt::submit(handle->stream, all, name) == cudaSuccess ? CUSOLVER_STATUS_SUCCESS
                                                                      : CUSOLVER_STATUS_EXECUTION_FAILED;
}

template <class Real>
cusolverStatus_t run_potrf(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n, Real* a, int lda,
                           Real* work, int size, int* info) {
  return submit(handle, "cusolverDn potrf", fits(n, n, lda), work_size(n, n), work, size, info, [=] {
    read_write(a, n, n, lda, part(uplo), "potrf A");
    return potrf(letter(uplo), n, a, lda);
  });
}

template <class Real>
cusolverStatus_t run_geqrf(cusolverDnHandle_t handle, int m, int n, Real* a, int lda, Real* tau, Real* work,
                           int size, int* info) {
  return submit(handle, "cusolverDn geqrf", fits(m, n, lda), work_size(m, n), work, size, info, [=] {
    read_write(a, m, n, lda, Part::kAll, "geqrf A");
    write(tau, std::min(m, n), 1, m, "geqrf tau");
    std::vector<Real> own(static_cast<std::size_t>(64 * n));
    return geqrf(m, n, a, lda, tau, own);
  });
}

template <class Real>
cusolverStatus_t run_orgqr(cusolverDnHandle_t handle, int m, int n, int k, Real* a, int lda, const Real* tau,
                           Real* work, int size, int* info) {
  const bool valid = fits(m, n, lda) && m >= n && n >= k && k >= 1;
  return submit(handle, "cusolverDn orgqr", valid, work_size(m, n), work, size, info, [=] {
    read(a, m, k, lda, "orgqr A");
    read(tau, k, 1, k, "orgqr tau");
    write(a, m, n, lda, "orgqr A");
    std::vector<Real> own(static_cast<std::size_t>(64 * n));
    return orgqr(m, n, k, a, lda, tau, own);
  });
}

template <class Real>
cusolverStatus_t run_ormqr(cusolverDnHandle_t handle, cublasSideMode_t side, cublasOperation_t op, int m,
                           int n, int k, const Real* a, int lda, const Real* tau, Real* c, int ldc,
                           Real* work, int size, int* info) {
  const int order = side == CUBLAS_SIDE_LEFT ? m : n;
  const bool valid = fits(m, n, ldc) && fits(order, k, lda) && order >= k;
  return submit(handle, "cusolverDn ormqr", valid, work_size(m, n), work, size, info, [=] {
    read(a, order, k, lda, "ormqr A");
    read(tau, k, 1, k, "ormqr tau");
    read_write(c, m, n, ldc, Part::kAll, "ormqr C");
    std::vector<Real> own(static_cast<std::size_t>(64 * (m + n) + 65 * 64));
    return ormqr(side == CUBLAS_SIDE_LEFT ? 'L' : 'R', op == CUBLAS_OP_N ? 'N' : 'T', m, n, k, a, lda, tau, c,
                 ldc, own);
  });
}

template <class Real>
cusolverStatus_t run_syevd(cusolverDnHandle_t handle, cusolverEigMode_t mode, cublasFillMode_t uplo, int n,
                           Real* a, int lda, Real* w, Real* work, int size, int* info) {
  if (handle != nullptr && emer::simt::recording(handle->stream)) return CUSOLVER_STATUS_NOT_SUPPORTED;
  return submit(handle, "cusolverDn syevd", fits(n, n, lda), work_size(n, n), work, size, info, [=] {
    check_read({a, kType<Real>, n, n, lda}, part(uplo), "syevd A");
    write(a, n, n, lda, "syevd A");
    write(w, n, 1, n, "syevd W");
    const bool finite = all_finite(a, n, n, lda, part(uplo)), vectors = mode == CUSOLVER_EIG_MODE_VECTOR;
    if (!finite) {
      fill_nan(w, n, 1, n);
      fill_nan(a, n, n, lda);
      return 0;
    }
    std::vector<Real> own(static_cast<std::size_t>(1 + 6 * n + 2 * n * n));
    std::vector<lapack_int> integers(static_cast<std::size_t>(3 + 5 * n));
    const int result = syevd(vectors ? 'V' : 'N', letter(uplo), n, a, lda, w, own, integers);
    if (vectors)
      fill(a, n, n, lda, [&](int i, int j) { return (j % 2 == 0 ? -1 : 1) * a[Index{j} * lda + i]; });
    else
      fill_nan(a, n, n, lda);
    return result;
  });
}

template <class Real>
cusolverStatus_t run_gesvd(cusolverDnHandle_t handle, signed char jobu, signed char jobvt, int m, int n,
                           Real* a, int lda, Real* s, Real* u, int ldu, Real* vt, int ldvt, Real* work,
                           int size, Real* rwork, int* info) {
  if (handle != nullptr && emer::simt::recording(handle->stream)) return CUSOLVER_STATUS_NOT_SUPPORTED;
  const int left = jobu == 'A' ? m : jobu == 'S' ? n : 0, right = jobvt == 'A' || jobvt == 'S' ? n : 0;
  const bool jobs = (left > 0 || jobu == 'N') && (right > 0 || jobvt == 'N');
  const bool valid =
      jobs && fits(m, n, lda) && m >= n && (left == 0 || ldu >= m) && (right == 0 || ldvt >= n);
  return submit(handle, "cusolverDn gesvd", valid, work_size(m, n), work, size, info, [=] {
    read_write(a, m, n, lda, Part::kAll, "gesvd A");
    write(s, n, 1, n, "gesvd S");
    if (left > 0) write(u, m, left, ldu, "gesvd U");
    if (right > 0) write(vt, right, n, ldvt, "gesvd VT");
    if (rwork != nullptr && n > 1) write(rwork, n - 1, 1, n, "gesvd rwork");
    int result = 0;
    if (all_finite(a, m, n, lda, Part::kAll)) {
      std::vector<Real> own(static_cast<std::size_t>(64 * (m + n) + 5 * m));
      result =
          gesvd(static_cast<char>(jobu), static_cast<char>(jobvt), m, n, a, lda, s, u, ldu, vt, ldvt, own);
      for (int j = 0; j < n; j += 2) {  // both vectors of a pair change sign
        if (left > 0) fill(u + Index{j} * ldu, m, 1, ldu, [&](int i, int) { return -u[Index{j} * ldu + i]; });
        if (right > 0) fill(vt + j, 1, n, ldvt, [&](int, int k) { return -vt[Index{k} * ldvt + j]; });
      }
    } else {
      fill_nan(s, n, 1, n);
      if (left > 0) fill_nan(u, m, left, ldu);
      if (right > 0) fill_nan(vt, right, n, ldvt);
    }
    fill_nan(a, m, n, lda);
    if (rwork != nullptr) fill_nan(rwork, n - 1, 1, n);
    return result;
  });
}

}  // namespace

cusolverStatus_t cusolverGetVersion(int* version) {
  if (version == nullptr) return CUSOLVER_STATUS_INVALID_VALUE;
  *version = 12000;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  if (handle == nullptr) return CUSOLVER_STATUS_INVALID_VALUE;
  *handle = new cusolverDnContext;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
  delete handle;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  handle->stream = stream;
  return CUSOLVER_STATUS_SUCCESS;
}

#define EMER_SIMT_SOLVER(S, Real)                                                                            \
  cusolverStatus_t cusolverDn##S##potrf_bufferSize(cusolverDnHandle_t handle, cublasFillMode_t, int n,       \
                                                   Real*, int lda, int* size) {                              \
    return report_size(handle, fits(n, n, lda), work_size(n, n), size);                                      \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##potrf(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n, Real* a,    \
                                        int lda, Real* work, int size, int* info) {                          \
    return run_potrf(handle, uplo, n, a, lda, work, size, info);                                             \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##geqrf_bufferSize(cusolverDnHandle_t handle, int m, int n, Real*, int lda,  \
                                                   int* size) {                                              \
    return report_size(handle, fits(m, n, lda), work_size(m, n), size);                                      \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##geqrf(cusolverDnHandle_t handle, int m, int n, Real* a, int lda,           \
                                        Real* tau, Real* work, int size, int* info) {                        \
    return run_geqrf(handle, m, n, a, lda, tau, work, size, info);                                           \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##orgqr_bufferSize(cusolverDnHandle_t handle, int m, int n, int,             \
                                                   const Real*, int lda, const Real*, int* size) {           \
    return report_size(handle, fits(m, n, lda), work_size(m, n), size);                                      \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##orgqr(cusolverDnHandle_t handle, int m, int n, int k, Real* a, int lda,    \
                                        const Real* tau, Real* work, int size, int* info) {                  \
    return run_orgqr(handle, m, n, k, a, lda, tau, work, size, info);                                        \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##ormqr_bufferSize(cusolverDnHandle_t handle, cublasSideMode_t,              \
                                                   cublasOperation_t, int m, int n, int, const Real*, int,   \
                                                   const Real*, const Real*, int ldc, int* size) {           \
    return report_size(handle, fits(m, n, ldc), work_size(m, n), size);                                      \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##ormqr(                                                                     \
      cusolverDnHandle_t handle, cublasSideMode_t side, cublasOperation_t op, int m, int n, int k,           \
      const Real* a, int lda, const Real* tau, Real* c, int ldc, Real* work, int size, int* info) {          \
    return run_ormqr(handle, side, op, m, n, k, a, lda, tau, c, ldc, work, size, info);                      \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##syevd_bufferSize(cusolverDnHandle_t handle, cusolverEigMode_t,             \
                                                   cublasFillMode_t, int n, const Real*, int lda,            \
                                                   const Real*, int* size) {                                 \
    return report_size(handle, fits(n, n, lda), work_size(n, n), size);                                      \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##syevd(cusolverDnHandle_t handle, cusolverEigMode_t mode,                   \
                                        cublasFillMode_t uplo, int n, Real* a, int lda, Real* w, Real* work, \
                                        int size, int* info) {                                               \
    return run_syevd(handle, mode, uplo, n, a, lda, w, work, size, info);                                    \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##gesvd_bufferSize(cusolverDnHandle_t handle, int m, int n, int* size) {     \
    return report_size(handle, m >= n && n >= 1, work_size(m, n), size);                                     \
  }                                                                                                          \
  cusolverStatus_t cusolverDn##S##gesvd(cusolverDnHandle_t handle, signed char jobu, signed char jobvt,      \
                                        int m, int n, Real* a, int lda, Real* s, Real* u, int ldu, Real* vt, \
                                        int ldvt, Real* work, int size, Real* rwork, int* info) {            \
    return run_gesvd(handle, jobu, jobvt, m, n, a, lda, s, u, ldu, vt, ldvt, work, size, rwork, info);       \
  }
EMER_SIMT_SOLVER(S, float)
EMER_SIMT_SOLVER(D, double)
#undef EMER_SIMT_SOLVER
