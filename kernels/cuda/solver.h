// kernels/cuda/solver.h - factorisations, triangular solves and symmetric products on the device, through
// cuSOLVER and cuBLAS. The same functions on the same memory as kernels/cpu/{lapack,symmetric_blas}.h: row-major
// unless said otherwise, without row gaps. Real is float or double. CUDA twins only; this header needs no CUDA
// header.
//
// All are asynchronous as far as NVIDIA's documentation goes. Recording in a CUDA graph: cuBLAS documents it
// (solve_right_lower, syrk, symm). cuSOLVER's documentation promises only to "prefer to keep asynchronous
// execution as much as possible". Cholesky and QR are fixed sequences of kernels in caller-given scratch and
// record; symmetric_eigen and svd iterate until converged, may look at values on the host, and must not be
// recorded (the emulated libraries of tests/simt refuse them while a graph is recorded).
//
// `info` is one int on the device, overwritten: 0 where all went well. No call reads it; poison_on_failure turns
// it into NaN.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer::cuda {

// The lower triangle of A[m, m] (all that is read) <- L, A = L L'. The upper triangle is left alone. *info > 0
// where A is not positive definite, its order of the first minor that is not.
template <class Real>
void cholesky_lower(Context& ctx, int m, Real* a, int* info);

// B[n, m] <- B L^-1, or B L^-T where `transposed`; L[m, m] lower triangular, its upper triangle is not read.
template <class Real>
void solve_right_lower(Context& ctx, bool transposed, int n, int m, const Real* lower, Real* b);

// A [m, n] COLUMN-major, m >= n, leading dimension m <- R above the diagonal, reflectors below; tau [n].
template <class Real>
void qr_factor(Context& ctx, int m, int n, Real* a, Real* tau, int* info);

// A <- the n orthonormal columns that qr_factor left in it.
template <class Real>
void qr_form(Context& ctx, int m, int n, Real* a, const Real* tau, int* info);

// C [m, columns] COLUMN-major <- Q C, with the full m x m Q of k reflectors that qr_factor left in A [m, k].
template <class Real>
void qr_apply(Context& ctx, int m, int columns, int k, const Real* a, const Real* tau, Real* c, int* info);

// Symmetric S[m, m], of which one triangle is read: values[m] ascending, eigenvector k in row k of vectors[m, m];
// `vectors` may be `matrix`. NaN or infinity in S, or no convergence: NaN in both outputs.
template <class Real>
void symmetric_eigen(Context& ctx, int m, const Real* matrix, Real* values, Real* vectors);

// T[m, m] = left diag(values) right, values[m] descending, left and right orthogonal; T is left alone, outputs
// do not overlap it. NaN or infinity in T, or no convergence: NaN in all outputs.
template <class Real>
void svd(Context& ctx, int m, const Real* matrix, Real* left, Real* values, Real* right);

// Upper triangle of C[m, m] = alpha * A'A + beta * C, A[k, m]; the lower triangle is left alone. beta = 0
// overwrites. Float sums of float products whatever ctx.precision() is; so is symm.
template <class Real>
void syrk(Context& ctx, int m, int k, Real alpha, const Real* a, Real beta, Real* c);

// C[n, m] = alpha * B E + beta * C, B[n, m], E[m, m] symmetric by its upper triangle.
template <class Real>
void symm(Context& ctx, int n, int m, Real alpha, const Real* b, const Real* e, Real beta, Real* c);

// values[count] <- NaN where one of info[infos] is not 0.
template <class T>
void poison_on_failure(Context& ctx, const int* info, int infos, T* values, std::int64_t count);

}  // namespace emer::cuda
