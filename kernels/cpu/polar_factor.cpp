#include "kernels/polar_factor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "core/parallel.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/fill.h"
#include "kernels/cpu/lapack.h"
#include "kernels/cpu/symmetric_blas.h"

namespace emer::cpu {

namespace {

using Index = std::int64_t;

// Singular values below `smallest` (relative to alpha) are as good as zero. The Cholesky form of an iteration
// loses digits like c; above `largest_cholesky_c` the QR form is taken, which loses none but costs five times
// more. Double: the paper's bound. Float: 4e9 * 2^-53 is below float's own rounding, so Cholesky serves all
// iterations.
struct Accuracy {
  double smallest, largest_cholesky_c;
};
template <class Real>
constexpr Accuracy kAccuracy = std::is_same_v<Real, float> ? Accuracy{1e-7, 4e9} : Accuracy{1e-15, 100.0};

// ||T||_2 <= alpha <= m^(1/2) ||T||_2.
template <class Real>
double spectral_bound(Context& ctx, const Real* matrix, Index m) {
  const ArenaScope scope(ctx);
  double* columns = ctx.scratch<double>(static_cast<std::size_t>(m));
  std::fill_n(columns, m, 0.0);
  double largest_row = 0.0;
  for (Index i = 0; i < m; ++i) {
    double row = 0.0;
    for (Index j = 0; j < m; ++j) {
      const double size = std::abs(static_cast<double>(matrix[i * m + j]));
      row += size;
      columns[j] += size;
    }
    largest_row = std::max(largest_row, row);
  }
  return std::sqrt(largest_row) * std::sqrt(*std::max_element(columns, columns + m));
}

// X <- keep * X + add * (X Z^-1), Z = I + c X'X by Cholesky. z, y: scratch [m, m].
void cholesky_step(int m, double keep, double add, double c, double* x, double* z, double* y) {
  const Index cells = Index{m} * m;
  syrk(m, m, c, x, 0.0, z);
  for (Index i = 0; i < m; ++i) {
    z[i * m + i] += 1.0;
    for (Index j = i + 1; j < m; ++j) z[j * m + i] = z[i * m + j];
  }
  // Row-major lower is column-major upper. Z >= I and c is bounded, so that Z cannot lose definiteness.
  const int info = lapack::potrf('U', m, z, m);
  EMER_CHECK(info == 0, "polar_factor: Cholesky stopped at row {}", info);
  std::copy_n(x, cells, y);
  solve_right_lower(true, m, m, z, y);
  solve_right_lower(false, m, m, z, y);
  for (Index k = 0; k < cells; ++k) x[k] = keep * x[k] + add * y[k];
}

// The same through [sqrt(c) X; I] = [Q1; Q2] R, X Z^-1 = Q1 Q2' / sqrt(c), on X' (the column-major reading of
// x). stack: scratch [m, 2m], tau: scratch [m].
void qr_step(Context& ctx, int m, double keep, double add, double c, double* x, double* stack, double* tau) {
  const Index width = 2 * Index{m};
  const double root = std::sqrt(c);
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < m; ++j) stack[i * width + j] = root * x[i * m + j];
    std::fill_n(stack + i * width + m, m, 0.0);
    stack[i * width + m + i] = 1.0;
  }
  qr_factor(ctx, 2 * m, m, stack, tau);
  qr_form(ctx, 2 * m, m, stack, tau);
  gemm(Op::kTranspose, Op::kNone, m, m, m, add / root, stack + m, width, stack, width, keep, x, m);
}

}  // namespace

template <class Real>
void polar_factor(Context& ctx, const PolarFactor<Real>& a) {
  const Index cells = Index{a.m} * a.m;
  const auto size = static_cast<std::size_t>(cells);
  const double alpha = all_finite(a.matrix, cells) ? spectral_bound(ctx, a.matrix, a.m) : NAN;
  if (!std::isfinite(alpha)) {
    fill_nan(a.polar, cells);
    if (a.nuclear_norm) *a.nuclear_norm = NAN;
    return;
  }
  if (alpha == 0.0) {
    std::fill_n(a.polar, cells, Real(0));
    if (a.nuclear_norm) *a.nuclear_norm = 0.0;
    return;
  }
  const ArenaScope scope(ctx);
  double* x = ctx.scratch<double>(size);
  double* work = ctx.scratch<double>(2 * size);
  double* tau = ctx.scratch<double>(static_cast<std::size_t>(a.m));
  for (Index k = 0; k < cells; ++k) x[k] = static_cast<double>(a.matrix[k]) / alpha;

  // The bound l climbs to 1 in five or six steps whatever the data; one more step squares away what is left.
  constexpr double kClose = 1e-5;  // cubic convergence: one step from 1 - 1e-5 is past 1 - 1e-15
  double l = kAccuracy<Real>.smallest;
  for (bool last = false; !last;) {
    last = l > 1.0 - kClose;
    const double squared = l * l, root = std::cbrt(4.0 * (1.0 - squared) / (squared * squared));
    const double first = std::sqrt(1.0 + root);
    const double weight_a =
        first + 0.5 * std::sqrt(std::max(0.0, 8.0 - 4.0 * root + 8.0 * (2.0 - squared) / (squared * first)));
    const double weight_b = (weight_a - 1.0) * (weight_a - 1.0) / 4.0, c = weight_a + weight_b - 1.0;
    const double keep = weight_b / c, add = weight_a - keep;
    if (c > kAccuracy<Real>.largest_cholesky_c)
      qr_step(ctx, a.m, keep, add, c, x, work, tau);
    else
      cholesky_step(a.m, keep, add, c, x, work, work + cells);
    l = std::min(1.0, l * (weight_a + weight_b * squared) / (1.0 + c * squared));
  }

  double norm = 0.0;
  for (Index k = 0; k < cells; ++k) {
    a.polar[k] = static_cast<Real>(x[k]);
    norm += x[k] * static_cast<double>(a.matrix[k]);
  }
  if (a.nuclear_norm) *a.nuclear_norm = norm;
}

template void polar_factor(Context&, const PolarFactor<float>&);
template void polar_factor(Context&, const PolarFactor<double>&);

}  // namespace emer::cpu
