#include "engine/linear_cca.h"

#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/parallel.h"
#include "kernels/cpu/blas.h"

namespace emer {
namespace {

using cpu::gemm;
using cpu::Op;

void check_finite(std::span<const double> x, int n, int d, const char* view) {
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < d; ++k)
      if (!std::isfinite(x[i * d + k]))
        fail(ErrorKind::kRunFailed, "CCA: the {} view's row {} has a value that is not finite (column {})",
             view, i, k);
}

std::vector<double> column_means(std::span<const double> x, int n, int d) {
  std::vector<double> mean(d, 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < d; ++k) mean[k] += x[i * d + k];
  for (double& m : mean) m /= n;
  // What rounding left in the first sum: a constant feature must centre to zero.
  std::vector<double> rest(d, 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < d; ++k) rest[k] += x[i * d + k] - mean[k];
  for (int k = 0; k < d; ++k) mean[k] += rest[k] / n;
  return mean;
}

std::vector<double> centred(std::span<const double> x, int n, int d, const std::vector<double>& mean) {
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

std::vector<double> project(std::span<const double> x, int n, int d, const std::vector<double>& mean,
                            const std::vector<double>& w, int directions) {
  EMER_CHECK(x.size() == static_cast<std::size_t>(n) * d, "project: {} values for [{}, {}]", x.size(), n, d);
  const std::vector<double> c = centred(x, n, d, mean);
  std::vector<double> out(static_cast<std::size_t>(n) * directions);
  gemm(Op::kNone, Op::kNone, n, directions, d, 1.0, c.data(), d, w.data(), directions, 0.0, out.data(),
       directions);
  return out;
}

}  // namespace

LinearCca fit_linear_cca(std::span<const double> x1, std::span<const double> x2, int n, int d1, int d2,
                         double ridge) {
  EMER_CHECK(d1 >= 1 && d2 >= 1 && ridge >= 0.0, "CCA: widths {} and {}, ridge {}", d1, d2, ridge);
  EMER_CHECK(x1.size() == static_cast<std::size_t>(n) * d1 && x2.size() == static_cast<std::size_t>(n) * d2,
             "CCA: {} and {} values for {} rows of widths {} and {}", x1.size(), x2.size(), n, d1, d2);
  if (n < 2) fail(ErrorKind::kRunFailed, "CCA needs at least 2 training songs, there are {}", n);
  check_finite(x1, n, d1, "first (music)");
  check_finite(x2, n, d2, "second (emotion)");

  LinearCca cca;
  cca.d1 = d1;
  cca.d2 = d2;
  cca.directions = std::min(d1, d2);
  cca.mean1 = column_means(x1, n, d1);
  cca.mean2 = column_means(x2, n, d2);
  const std::vector<double> c1 = centred(x1, n, d1, cca.mean1);
  const std::vector<double> c2 = centred(x2, n, d2, cca.mean2);
  std::vector<double> k1, k2;
  parallel_for(2, 1, [&](std::int64_t view, std::int64_t) {
    (view == 0 ? k1 : k2) = view == 0 ? whitening(c1, n, d1, ridge) : whitening(c2, n, d2, ridge);
  });

  const std::size_t product = static_cast<std::size_t>(d1) * d2;
  std::vector<double> s12(product), half(product), t(product);
  gemm(Op::kTranspose, Op::kNone, d1, d2, n, 1.0 / (n - 1), c1.data(), d1, c2.data(), d2, 0.0, s12.data(),
       d2);
  gemm(Op::kTranspose, Op::kNone, d1, d2, d1, 1.0, k1.data(), d1, s12.data(), d2, 0.0, half.data(), d2);
  gemm(Op::kNone, Op::kNone, d1, d2, d2, 1.0, half.data(), d2, k2.data(), d2, 0.0, t.data(), d2);

  const int k = cca.directions;
  std::vector<double> u(static_cast<std::size_t>(d1) * k), vt(static_cast<std::size_t>(k) * d2);
  cca.correlations.resize(k);
  // Inside a parallel region OpenBLAS stays on one thread: the decomposition's thousands of small threaded
  // products gain little on idle cores and stall at every barrier on busy ones.
  parallel_for(2, 1, [&](std::int64_t chunk, std::int64_t) {
    if (chunk == 0 && LAPACKE_dgesdd(LAPACK_ROW_MAJOR, 'S', d1, d2, t.data(), d2, cca.correlations.data(),
                                     u.data(), k, vt.data(), d2) != 0)
      fail(ErrorKind::kRunFailed,
           "CCA: the singular value decomposition of a {} x {} matrix did not converge", d1, d2);
  });
  cca.w1.resize(static_cast<std::size_t>(d1) * k);
  cca.w2.resize(static_cast<std::size_t>(d2) * k);
  gemm(Op::kNone, Op::kNone, d1, k, d1, 1.0, k1.data(), d1, u.data(), k, 0.0, cca.w1.data(), k);
  gemm(Op::kNone, Op::kTranspose, d2, k, d2, 1.0, k2.data(), d2, vt.data(), d2, 0.0, cca.w2.data(), k);
  return cca;
}

std::vector<double> project_first(const LinearCca& cca, std::span<const double> x1, int n) {
  return project(x1, n, cca.d1, cca.mean1, cca.w1, cca.directions);
}

std::vector<double> project_second(const LinearCca& cca, std::span<const double> x2, int n) {
  return project(x2, n, cca.d2, cca.mean2, cca.w2, cca.directions);
}

}  // namespace emer
