// kernels/cpu/lapack.h - LAPACK by scalar type, column-major, scratch from the arena. CPU twins only.
//
// A row-major matrix is the transpose of the column-major one in the same memory; callers say which they
// mean. The LAPACKE *_work entries are used because the others scan for NaN and refuse; here a NaN must reach
// the loss.
#pragma once

#include <lapacke.h>

#include "core/check.h"
#include "core/context.h"

namespace emer::cpu {

namespace lapack {
#define EMER_LAPACK(prefix, Real)                                                                          \
  inline int potrf(char uplo, int n, Real* a, int lda) {                                                   \
    return LAPACKE_##prefix##potrf_work(LAPACK_COL_MAJOR, uplo, n, a, lda);                                \
  }                                                                                                        \
  inline int geqrf(int m, int n, Real* a, int lda, Real* tau, Real* work, int size) {                      \
    return LAPACKE_##prefix##geqrf_work(LAPACK_COL_MAJOR, m, n, a, lda, tau, work, size);                  \
  }                                                                                                        \
  inline int orgqr(int m, int n, int k, Real* a, int lda, const Real* tau, Real* work, int size) {         \
    return LAPACKE_##prefix##orgqr_work(LAPACK_COL_MAJOR, m, n, k, a, lda, tau, work, size);               \
  }                                                                                                        \
  inline int ormqr(int m, int n, int k, const Real* a, int lda, const Real* tau, Real* c, int ldc,         \
                   Real* work, int size) {                                                                 \
    return LAPACKE_##prefix##ormqr_work(LAPACK_COL_MAJOR, 'L', 'N', m, n, k, a, lda, tau, c, ldc, work,    \
                                        size);                                                             \
  }                                                                                                        \
  inline int syevd(int n, Real* a, Real* w, Real* work, int size, lapack_int* iwork, int isize) {          \
    return LAPACKE_##prefix##syevd_work(LAPACK_COL_MAJOR, 'V', 'U', n, a, n, w, work, size, iwork, isize); \
  }                                                                                                        \
  inline int gesdd(int n, Real* a, Real* s, Real* u, Real* vt, Real* work, int size, lapack_int* iwork) {  \
    return LAPACKE_##prefix##gesdd_work(LAPACK_COL_MAJOR, 'S', n, n, a, n, s, u, n, vt, n, work, size,     \
                                        iwork);                                                            \
  }
EMER_LAPACK(s, float)
EMER_LAPACK(d, double)
#undef EMER_LAPACK
}  // namespace lapack

// A [m, n] column-major <- R above the diagonal, reflectors below; tau [n].
template <class Real>
void qr_factor(Context& ctx, int m, int n, Real* a, Real* tau) {
  const ArenaScope scope(ctx);
  Real size = 0;
  lapack::geqrf(m, n, a, m, tau, &size, -1);
  const int count = static_cast<int>(size);
  const int info = lapack::geqrf(m, n, a, m, tau, ctx.scratch<Real>(static_cast<std::size_t>(count)), count);
  EMER_CHECK(info == 0, "geqrf: argument {}", -info);
}

// A <- the n orthonormal columns that qr_factor left in it.
template <class Real>
void qr_form(Context& ctx, int m, int n, Real* a, const Real* tau) {
  const ArenaScope scope(ctx);
  Real size = 0;
  lapack::orgqr(m, n, n, a, m, tau, &size, -1);
  const int count = static_cast<int>(size);
  const int info =
      lapack::orgqr(m, n, n, a, m, tau, ctx.scratch<Real>(static_cast<std::size_t>(count)), count);
  EMER_CHECK(info == 0, "orgqr: argument {}", -info);
}

// C [m, columns] <- Q C, with the full m x m Q of k reflectors that qr_factor left in A [m, k].
template <class Real>
void qr_apply(Context& ctx, int m, int columns, int k, const Real* a, const Real* tau, Real* c) {
  const ArenaScope scope(ctx);
  Real size = 0;
  lapack::ormqr(m, columns, k, a, m, tau, c, m, &size, -1);
  const int count = static_cast<int>(size);
  const int info = lapack::ormqr(m, columns, k, a, m, tau, c, m,
                                 ctx.scratch<Real>(static_cast<std::size_t>(count)), count);
  EMER_CHECK(info == 0, "ormqr: argument {}", -info);
}

}  // namespace emer::cpu
