#include "kernels/cuda/solver.h"

#include "core/check.h"
#include "core/cuda/context_state.h"
#include "core/cuda/lost_device.h"
#include "kernels/cuda/solver_kernels.h"

namespace emer::cuda {

namespace {

// Row-major lower is column-major upper, and the other way round.
constexpr cublasFillMode_t kRowLower = CUBLAS_FILL_MODE_UPPER, kRowUpper = CUBLAS_FILL_MODE_LOWER;

void check_blas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  fail_if_lost(what);
  fail(ErrorKind::kDevice, "{}: {}", what, cublasGetStatusString(status));
}

const char* name_of(cusolverStatus_t status) {
  switch (status) {
    case CUSOLVER_STATUS_NOT_INITIALIZED:
      return "not initialised";
    case CUSOLVER_STATUS_ALLOC_FAILED:
      return "out of memory";
    case CUSOLVER_STATUS_INVALID_VALUE:
      return "invalid value";
    case CUSOLVER_STATUS_ARCH_MISMATCH:
      return "this GPU is not supported";
    case CUSOLVER_STATUS_EXECUTION_FAILED:
      return "execution failed";
    case CUSOLVER_STATUS_INTERNAL_ERROR:
      return "internal error";
    case CUSOLVER_STATUS_NOT_SUPPORTED:
      return "not supported";
    case CUSOLVER_STATUS_INVALID_WORKSPACE:
      return "invalid workspace";
    default:
      return "failed";
  }
}

void check_solver(cusolverStatus_t status, const char* what) {
  if (status == CUSOLVER_STATUS_SUCCESS) [[likely]]
    return;
  fail_if_lost(what);
  fail(ErrorKind::kDevice, "{}: cuSOLVER: {} (status {})", what, name_of(status), static_cast<int>(status));
}

// The libraries by scalar type; each name ends in the routine's own.
#define EMER_SOLVER(S, Real)                                                                                 \
  auto potrf_size(cusolverDnHandle_t h, int n, Real* a, int* size) {                                         \
    return cusolverDn##S##potrf_bufferSize(h, kRowLower, n, a, n, size);                                     \
  }                                                                                                          \
  auto potrf(cusolverDnHandle_t h, int n, Real* a, Real* work, int size, int* info) {                        \
    return cusolverDn##S##potrf(h, kRowLower, n, a, n, work, size, info);                                    \
  }                                                                                                          \
  auto geqrf_size(cusolverDnHandle_t h, int m, int n, Real* a, int* size) {                                  \
    return cusolverDn##S##geqrf_bufferSize(h, m, n, a, m, size);                                             \
  }                                                                                                          \
  auto geqrf(cusolverDnHandle_t h, int m, int n, Real* a, Real* tau, Real* work, int size, int* info) {      \
    return cusolverDn##S##geqrf(h, m, n, a, m, tau, work, size, info);                                       \
  }                                                                                                          \
  auto orgqr_size(cusolverDnHandle_t h, int m, int n, const Real* a, const Real* tau, int* size) {           \
    return cusolverDn##S##orgqr_bufferSize(h, m, n, n, a, m, tau, size);                                     \
  }                                                                                                          \
  auto orgqr(cusolverDnHandle_t h, int m, int n, Real* a, const Real* tau, Real* work, int size,             \
             int* info) {                                                                                    \
    return cusolverDn##S##orgqr(h, m, n, n, a, m, tau, work, size, info);                                    \
  }                                                                                                          \
  auto ormqr_size(cusolverDnHandle_t h, int m, int n, int k, const Real* a, const Real* tau, const Real* c,  \
                  int* size) {                                                                               \
    return cusolverDn##S##ormqr_bufferSize(h, CUBLAS_SIDE_LEFT, CUBLAS_OP_N, m, n, k, a, m, tau, c, m,       \
                                           size);                                                            \
  }                                                                                                          \
  auto ormqr(cusolverDnHandle_t h, int m, int n, int k, const Real* a, const Real* tau, Real* c, Real* work, \
             int size, int* info) {                                                                          \
    return cusolverDn##S##ormqr(h, CUBLAS_SIDE_LEFT, CUBLAS_OP_N, m, n, k, a, m, tau, c, m, work, size,      \
                                info);                                                                       \
  }                                                                                                          \
  auto syevd_size(cusolverDnHandle_t h, int n, const Real* a, const Real* values, int* size) {               \
    return cusolverDn##S##syevd_bufferSize(h, CUSOLVER_EIG_MODE_VECTOR, kRowLower, n, a, n, values, size);   \
  }                                                                                                          \
  auto syevd(cusolverDnHandle_t h, int n, Real* a, Real* values, Real* work, int size, int* info) {          \
    return cusolverDn##S##syevd(h, CUSOLVER_EIG_MODE_VECTOR, kRowLower, n, a, n, values, work, size, info);  \
  }                                                                                                          \
  auto gesvd_size(cusolverDnHandle_t h, int n, const Real*, int* size) {                                     \
    return cusolverDn##S##gesvd_bufferSize(h, n, n, size);                                                   \
  }                                                                                                          \
  auto gesvd(cusolverDnHandle_t h, int n, Real* a, Real* s, Real* u, Real* vt, Real* work, int size,         \
             Real* superdiagonal, int* info) {                                                               \
    return cusolverDn##S##gesvd(h, 'A', 'A', n, n, a, n, s, u, n, vt, n, work, size, superdiagonal, info);   \
  }                                                                                                          \
  auto trsm(cublasHandle_t h, cublasOperation_t op, int rows, int columns, const Real* lower, Real* b) {     \
    const Real one = 1;                                                                                      \
    return cublas##S##trsm(h, CUBLAS_SIDE_LEFT, kRowLower, op, CUBLAS_DIAG_NON_UNIT, rows, columns, &one,    \
                           lower, rows, b, rows);                                                            \
  }                                                                                                          \
  auto rank_k(cublasHandle_t h, int m, int k, Real alpha, const Real* a, Real beta, Real* c) {               \
    return cublas##S##syrk(h, kRowUpper, CUBLAS_OP_N, m, k, &alpha, a, m, &beta, c, m);                      \
  }                                                                                                          \
  auto symmetric(cublasHandle_t h, int n, int m, Real alpha, const Real* b, const Real* e, Real beta,        \
                 Real* c) {                                                                                  \
    return cublas##S##symm(h, CUBLAS_SIDE_LEFT, kRowUpper, m, n, &alpha, e, m, b, m, &beta, c, m);           \
  }
EMER_SOLVER(S, float)
EMER_SOLVER(D, double)
#undef EMER_SOLVER

template <class Real>
Real* work_of(Context& ctx, int size) {
  return ctx.scratch<Real>(static_cast<std::size_t>(size));
}

}  // namespace

template <class Real>
void cholesky_lower(Context& ctx, int m, Real* a, int* info) {
  const ArenaScope scope(ctx);
  const cusolverDnHandle_t handle = ctx.cuda_state().cusolver;
  int size = 0;
  check_solver(potrf_size(handle, m, a, &size), "cholesky_lower");
  check_solver(potrf(handle, m, a, work_of<Real>(ctx, size), size, info), "cholesky_lower");
}

template <class Real>
void solve_right_lower(Context& ctx, bool transposed, int n, int m, const Real* lower, Real* b) {
  // X L = B is L' X' = B' in the column-major reading, whose triangle is L' already.
  check_blas(trsm(ctx.cuda_state().cublas, transposed ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, lower, b),
             "solve_right_lower");
}

template <class Real>
void qr_factor(Context& ctx, int m, int n, Real* a, Real* tau, int* info) {
  const ArenaScope scope(ctx);
  const cusolverDnHandle_t handle = ctx.cuda_state().cusolver;
  int size = 0;
  check_solver(geqrf_size(handle, m, n, a, &size), "qr_factor");
  check_solver(geqrf(handle, m, n, a, tau, work_of<Real>(ctx, size), size, info), "qr_factor");
}

template <class Real>
void qr_form(Context& ctx, int m, int n, Real* a, const Real* tau, int* info) {
  const ArenaScope scope(ctx);
  const cusolverDnHandle_t handle = ctx.cuda_state().cusolver;
  int size = 0;
  check_solver(orgqr_size(handle, m, n, a, tau, &size), "qr_form");
  check_solver(orgqr(handle, m, n, a, tau, work_of<Real>(ctx, size), size, info), "qr_form");
}

template <class Real>
void qr_apply(Context& ctx, int m, int columns, int k, const Real* a, const Real* tau, Real* c, int* info) {
  const ArenaScope scope(ctx);
  const cusolverDnHandle_t handle = ctx.cuda_state().cusolver;
  int size = 0;
  check_solver(ormqr_size(handle, m, columns, k, a, tau, c, &size), "qr_apply");
  check_solver(ormqr(handle, m, columns, k, a, tau, c, work_of<Real>(ctx, size), size, info), "qr_apply");
}

template <class Real>
void symmetric_eigen(Context& ctx, int m, const Real* matrix, Real* values, Real* vectors) {
  const ArenaScope scope(ctx);
  const cusolverDnHandle_t handle = ctx.cuda_state().cusolver;
  int* info = ctx.scratch<int>(2);
  replace_unless_finite(ctx, m, matrix, vectors, info);
  int size = 0;
  check_solver(syevd_size(handle, m, vectors, values, &size), "symmetric_eigen");
  // Column k of the column-major result is row k of the same memory read row-major.
  check_solver(syevd(handle, m, vectors, values, work_of<Real>(ctx, size), size, info + 1),
               "symmetric_eigen");
  poison_on_failure(ctx, info, 2, values, m);
  poison_on_failure(ctx, info, 2, vectors, std::int64_t{m} * m);
}

template <class Real>
void svd(Context& ctx, int m, const Real* matrix, Real* left, Real* values, Real* right) {
  const ArenaScope scope(ctx);
  const cusolverDnHandle_t handle = ctx.cuda_state().cusolver;
  const std::int64_t cells = std::int64_t{m} * m;
  int* info = ctx.scratch<int>(2);
  Real* overwritten = ctx.scratch<Real>(static_cast<std::size_t>(cells));
  replace_unless_finite(ctx, m, matrix, overwritten, info);
  int size = 0;
  check_solver(gesvd_size(handle, m, matrix, &size), "svd");
  Real* superdiagonal = work_of<Real>(ctx, m);
  // cuSOLVER sees T' = right' D left', so its column-major U is `right` and its V' is `left`, both read row-major.
  check_solver(gesvd(handle, m, overwritten, values, right, left, work_of<Real>(ctx, size), size,
                     superdiagonal, info + 1),
               "svd");
  poison_on_failure(ctx, info, 2, values, m);
  poison_on_failure(ctx, info, 2, left, cells);
  poison_on_failure(ctx, info, 2, right, cells);
}

template <class Real>
void syrk(Context& ctx, int m, int k, Real alpha, const Real* a, Real beta, Real* c) {
  check_blas(rank_k(ctx.cuda_state().cublas, m, k, alpha, a, beta, c), "syrk");
}

template <class Real>
void symm(Context& ctx, int n, int m, Real alpha, const Real* b, const Real* e, Real beta, Real* c) {
  check_blas(symmetric(ctx.cuda_state().cublas, n, m, alpha, b, e, beta, c), "symm");
}

#define EMER_INSTANTIATE(Real)                                                            \
  template void cholesky_lower(Context&, int, Real*, int*);                               \
  template void solve_right_lower(Context&, bool, int, int, const Real*, Real*);          \
  template void qr_factor(Context&, int, int, Real*, Real*, int*);                        \
  template void qr_form(Context&, int, int, Real*, const Real*, int*);                    \
  template void qr_apply(Context&, int, int, int, const Real*, const Real*, Real*, int*); \
  template void symmetric_eigen(Context&, int, const Real*, Real*, Real*);                \
  template void svd(Context&, int, const Real*, Real*, Real*, Real*);                     \
  template void syrk(Context&, int, int, Real, const Real*, Real, Real*);                 \
  template void symm(Context&, int, int, Real, const Real*, const Real*, Real, Real*);
EMER_INSTANTIATE(float)
EMER_INSTANTIATE(double)
#undef EMER_INSTANTIATE

}  // namespace emer::cuda
