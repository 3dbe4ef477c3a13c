#include "kernels/linear_cca.h"

#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "kernels/cpu/blas.h"

namespace emer::cpu {
namespace {

constexpr double kNoVariation = 1e-12;

void column_means(const double* x, int n, int d, double* mean) {
  std::fill_n(mean, d, 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < d; ++k) mean[k] += x[i * d + k];
  for (int k = 0; k < d; ++k) mean[k] /= n;
  // What rounding left in the first sum: a constant feature must centre to zero.
  std::vector<double> rest(d, 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < d; ++k) rest[k] += x[i * d + k] - mean[k];
  for (int k = 0; k < d; ++k) mean[k] += rest[k] / n;
}

std::vector<double> centred(const double* x, int n, int d, const double* mean) {
  std::vector<double> out(static_cast<std::size_t>(n) * d);
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < d; ++k) out[i * d + k] = x[i * d + k] - mean[k];
  return out;
}

// K [d, d] with K'(X'X/(n-1) + ridge I)K = I.
std::vector<double> whitening(const std::vector<double>& x, int n, int d, double ridge) {
  std::vector<double> s(static_cast<std::size_t>(d) * d);
  gemm(Op::kTranspose, Op::kNone, d, d, n, 1.0 / (n - 1), x.data(), d, x.data(), d, 0.0, s.data(), d);
  std::vector<double> eigenvalue(d);
  if (LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'U', d, s.data(), d, eigenvalue.data()) != 0)
    fail(ErrorKind::kRunFailed, "CCA: the eigendecomposition of a {} x {} covariance did not converge", d, d);
  const double largest = std::max(eigenvalue.back(), 0.0) + ridge;
  const double floor = std::max(
      {ridge, largest * std::numeric_limits<double>::epsilon() * d, std::numeric_limits<double>::min()});
  std::vector<double> scale(d);
  for (int k = 0; k < d; ++k) scale[k] = 1.0 / std::sqrt(std::max(eigenvalue[k] + ridge, floor));
  for (std::int64_t i = 0; i < d; ++i)
    for (int k = 0; k < d; ++k) s[i * d + k] *= scale[k];
  return s;
}

}  // namespace

void linear_cca_fit(Context& /*ctx*/, const LinearCcaFit& a) {
  const int n = a.n, d1 = a.d1, d2 = a.d2, k = std::min(d1, d2);
  column_means(a.x1, n, d1, a.mean1);
  column_means(a.x2, n, d2, a.mean2);
  const std::vector<double> c1 = centred(a.x1, n, d1, a.mean1);
  const std::vector<double> c2 = centred(a.x2, n, d2, a.mean2);
  std::vector<double> k1, k2;
  parallel_for(2, 1, [&](std::int64_t view, std::int64_t) {
    (view == 0 ? k1 : k2) = view == 0 ? whitening(c1, n, d1, a.ridge) : whitening(c2, n, d2, a.ridge);
  });

  const std::size_t product = static_cast<std::size_t>(d1) * d2;
  std::vector<double> s12(product), half(product), t(product);
  gemm(Op::kTranspose, Op::kNone, d1, d2, n, 1.0 / (n - 1), c1.data(), d1, c2.data(), d2, 0.0, s12.data(),
       d2);
  gemm(Op::kTranspose, Op::kNone, d1, d2, d1, 1.0, k1.data(), d1, s12.data(), d2, 0.0, half.data(), d2);
  gemm(Op::kNone, Op::kNone, d1, d2, d2, 1.0, half.data(), d2, k2.data(), d2, 0.0, t.data(), d2);

  std::vector<double> u(static_cast<std::size_t>(d1) * k), vt(static_cast<std::size_t>(k) * d2);
  // Inside a parallel region OpenBLAS stays on one thread: the decomposition's thousands of small threaded
  // products gain little on idle cores and stall at every barrier on busy ones.
  parallel_for(2, 1, [&](std::int64_t chunk, std::int64_t) {
    if (chunk == 0 && LAPACKE_dgesdd(LAPACK_ROW_MAJOR, 'S', d1, d2, t.data(), d2, a.correlations, u.data(), k,
                                     vt.data(), d2) != 0)
      fail(ErrorKind::kRunFailed,
           "CCA: the singular value decomposition of a {} x {} matrix did not converge", d1, d2);
  });
  gemm(Op::kNone, Op::kNone, d1, k, d1, 1.0, k1.data(), d1, u.data(), k, 0.0, a.w1, k);
  gemm(Op::kNone, Op::kTranspose, d2, k, d2, 1.0, k2.data(), d2, vt.data(), d2, 0.0, a.w2, k);
}

void linear_cca_project(Context& /*ctx*/, const LinearCcaProject& a) {
  const std::vector<double> c = centred(a.x, a.n, a.d, a.mean);
  gemm(Op::kNone, Op::kNone, a.n, a.directions, a.d, 1.0, c.data(), a.d, a.w, a.directions, 0.0, a.out,
       a.directions);
}

void regression_lines(Context& /*ctx*/, const RegressionLines& args) {
  const int n = args.n, d = args.d;
  const std::size_t count = static_cast<std::size_t>(n) * d;
  std::vector<double> mean_a(d, 0.0), mean_b(d, 0.0), aa(d, 0.0), bb(d, 0.0), ab(d, 0.0);
  for (std::size_t i = 0; i < count; ++i) {
    mean_a[i % d] += args.a[i] / n;
    mean_b[i % d] += args.b[i] / n;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t k = i % d;
    const double a = args.a[i] - mean_a[k], b = args.b[i] - mean_b[k];
    aa[k] += a * a / n;
    bb[k] += b * b / n;
    ab[k] += a * b / n;
  }
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
