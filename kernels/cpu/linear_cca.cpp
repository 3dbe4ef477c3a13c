#include "kernels/linear_cca.h"

#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/collectives.h"
#include "core/parallel.h"
#include "kernels/cpu/blas.h"

namespace emer::cpu {
namespace {

constexpr double kNoVariation = 1e-12;

// Of the rows of all ranks where total > 0.
void reduce(Context& ctx, int total, double* sums, std::size_t count) {
  if (total > 0) all_reduce_sum(ctx, sums, count);
}

void column_means(Context& ctx, const double* x, int n, int total, int d, double* mean) {
  const int rows = total > 0 ? total : n;
  const auto width = static_cast<std::size_t>(d);
  std::fill_n(mean, d, 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < d; ++k) mean[k] += x[i * d + k];
  reduce(ctx, total, mean, width);
  for (int k = 0; k < d; ++k) mean[k] /= rows;
  // What rounding left in the first sum: a constant feature must centre to zero.
  std::vector<double> rest(width, 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < d; ++k) rest[k] += x[i * d + k] - mean[k];
  reduce(ctx, total, rest.data(), width);
  for (int k = 0; k < d; ++k) mean[k] += rest[k] / rows;
}

std::vector<double> centred(const double* x, int n, int d, const double* mean) {
  std::vector<double> out(static_cast<std::size_t>(n) * d);
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < d; ++k) out[i * d + k] = x[i * d + k] - mean[k];
  return out;
}

// S = X'X/(rows-1) -> K [d, d] with K'(S + ridge I)K = I.
void whiten(double* s, int d, double ridge) {
  std::vector<double> eigenvalue(d);
  if (LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'U', d, s, d, eigenvalue.data()) != 0)
    fail(ErrorKind::kRunFailed, "CCA: the eigendecomposition of a {} x {} covariance did not converge", d, d);
  const double largest = std::max(eigenvalue.back(), 0.0) + ridge;
  const double floor = std::max(
      {ridge, largest * std::numeric_limits<double>::epsilon() * d, std::numeric_limits<double>::min()});
  std::vector<double> scale(d);
  for (int k = 0; k < d; ++k) scale[k] = 1.0 / std::sqrt(std::max(eigenvalue[k] + ridge, floor));
  for (std::int64_t i = 0; i < d; ++i)
    for (int k = 0; k < d; ++k) s[i * d + k] *= scale[k];
}

}  // namespace

void linear_cca_fit(Context& ctx, const LinearCcaFit& a) {
  const int n = a.n, d1 = a.d1, d2 = a.d2, k = std::min(d1, d2);
  column_means(ctx, a.x1, n, a.total, d1, a.mean1);
  column_means(ctx, a.x2, n, a.total, d2, a.mean2);
  const std::vector<double> c1 = centred(a.x1, n, d1, a.mean1);
  const std::vector<double> c2 = centred(a.x2, n, d2, a.mean2);
  const std::size_t product = static_cast<std::size_t>(d1) * d2, square1 = static_cast<std::size_t>(d1) * d1,
                    square2 = static_cast<std::size_t>(d2) * d2;
  // S11, S22 and S12, which travel together.
  std::vector<double> moments(square1 + square2 + product), half(product), t(product);
  double *k1 = moments.data(), *k2 = k1 + square1, *s12 = k2 + square2;
  const double share = 1.0 / ((a.total > 0 ? a.total : n) - 1);
  parallel_for(2, 1, [&](std::int64_t view, std::int64_t) {
    const int d = view == 0 ? d1 : d2;
    const double* c = view == 0 ? c1.data() : c2.data();
    gemm(Op::kTranspose, Op::kNone, d, d, n, share, c, d, c, d, 0.0, view == 0 ? k1 : k2, d);
  });
  gemm(Op::kTranspose, Op::kNone, d1, d2, n, share, c1.data(), d1, c2.data(), d2, 0.0, s12, d2);
  reduce(ctx, a.total, moments.data(), moments.size());
  parallel_for(2, 1, [&](std::int64_t view, std::int64_t) {
    view == 0 ? whiten(k1, d1, a.ridge) : whiten(k2, d2, a.ridge);
  });
  gemm(Op::kTranspose, Op::kNone, d1, d2, d1, 1.0, k1, d1, s12, d2, 0.0, half.data(), d2);
  gemm(Op::kNone, Op::kNone, d1, d2, d2, 1.0, half.data(), d2, k2, d2, 0.0, t.data(), d2);

  std::vector<double> u(static_cast<std::size_t>(d1) * k), vt(static_cast<std::size_t>(k) * d2);
  // Inside a parallel region OpenBLAS stays on one thread: the decomposition's thousands of small threaded
  // products gain little on idle cores and stall at every barrier on busy ones.
  parallel_for(2, 1, [&](std::int64_t chunk, std::int64_t) {
    if (chunk == 0 && LAPACKE_dgesdd(LAPACK_ROW_MAJOR, 'S', d1, d2, t.data(), d2, a.correlations, u.data(), k,
                                     vt.data(), d2) != 0)
      fail(ErrorKind::kRunFailed,
           "CCA: the singular value decomposition of a {} x {} matrix did not converge", d1, d2);
  });
  gemm(Op::kNone, Op::kNone, d1, k, d1, 1.0, k1, d1, u.data(), k, 0.0, a.w1, k);
  gemm(Op::kNone, Op::kTranspose, d2, k, d2, 1.0, k2, d2, vt.data(), d2, 0.0, a.w2, k);
}

void linear_cca_project(Context& /*ctx*/, const LinearCcaProject& a) {
  const std::vector<double> c = centred(a.x, a.n, a.d, a.mean);
  gemm(Op::kNone, Op::kNone, a.n, a.directions, a.d, 1.0, c.data(), a.d, a.w, a.directions, 0.0, a.out,
       a.directions);
}

void regression_lines(Context& ctx, const RegressionLines& args) {
  const int n = args.total > 0 ? args.total : args.n, d = args.d;
  const auto width = static_cast<std::size_t>(d);
  const std::size_t count = static_cast<std::size_t>(args.n) * width;
  std::vector<double> means(2 * width, 0.0), squares(3 * width, 0.0);
  double *mean_a = means.data(), *mean_b = mean_a + width;
  double *aa = squares.data(), *bb = aa + width, *ab = bb + width;
  for (std::size_t i = 0; i < count; ++i) {
    mean_a[i % width] += args.a[i] / n;
    mean_b[i % width] += args.b[i] / n;
  }
  reduce(ctx, args.total, means.data(), means.size());
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t k = i % width;
    const double a = args.a[i] - mean_a[k], b = args.b[i] - mean_b[k];
    aa[k] += a * a / n;
    bb[k] += b * b / n;
    ab[k] += a * b / n;
  }
  reduce(ctx, args.total, squares.data(), squares.size());
  for (int k = 0; k < d; ++k) {
    const bool varies = aa[k] > kNoVariation && bb[k] > kNoVariation;
    args.correlation[k] = varies ? ab[k] / std::sqrt(aa[k] * bb[k]) : 0.0;
    args.slope_ab[k] = varies ? ab[k] / aa[k] : 0.0;
    args.slope_ba[k] = varies ? ab[k] / bb[k] : 0.0;
    args.offset_ab[k] = mean_b[k] - args.slope_ab[k] * mean_a[k];
    args.offset_ba[k] = mean_a[k] - args.slope_ba[k] * mean_b[k];
  }
}

void scaled_columns(Context& /*ctx*/, const ScaledColumns& a) {
  parallel_for(a.n, 256, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      for (int s = 0; s < a.kept; ++s)
        a.out[i * a.kept + s] = a.factor[s] * (a.slope[s] * a.x[i * a.d + a.column[s]] + a.offset[s]);
  });
}

}  // namespace emer::cpu
