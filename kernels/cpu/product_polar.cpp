#include "kernels/cpu/product_polar.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cpu/blas.h"
#include "kernels/cpu/fill.h"
#include "kernels/cpu/lapack.h"
#include "kernels/polar_factor.h"
#include "kernels/svd.h"

namespace emer::cpu {

namespace {

using Index = std::int64_t;

// P of the m x m matrix t and the sum of the singular values that count.
template <class Real>
void polar(Context& ctx, const ProductPolar<Real>& args, int m, const Real* t, Real* p) {
  if (!args.by_svd) {
    cpu::polar_factor<Real>(ctx, {.m = m, .matrix = t, .polar = p, .nuclear_norm = args.nuclear});
    return;
  }
  const ArenaScope scope(ctx);
  const auto size = static_cast<std::size_t>(m) * static_cast<std::size_t>(m);
  Real* left = ctx.scratch<Real>(size);
  Real* right = ctx.scratch<Real>(size);
  Real* values = ctx.scratch<Real>(static_cast<std::size_t>(m));
  cpu::svd<Real>(ctx, {.m = m, .matrix = t, .left = left, .values = values, .right = right});
  const Real tolerance = static_cast<Real>(m) * std::numeric_limits<Real>::epsilon() * values[0];
  const int wanted = args.directions > 0 ? std::min(args.directions, m) : m;
  int kept = 0;
  double sum = 0.0;
  for (; kept < wanted && !(values[kept] <= tolerance); ++kept) sum += static_cast<double>(values[kept]);
  *args.nuclear = sum;
  gemm(Op::kNone, Op::kNone, m, m, kept, Real(1), left, m, right, m, Real(0), p, m);
  if (kept == 0) std::fill_n(p, Index{m} * m, Real(0));
}

// The factors of A' = Q R, A row-major [n, d] being A' column-major.
template <class Real>
struct Factors {
  Real* reflectors;  // column-major [d, n]
  Real* tau;         // [n]
  Real* lower;       // R' row-major [n, n]
};
template <class Real>
Factors<Real> factorise(Context& ctx, int n, int d, const Real* a) {
  const auto rows = static_cast<std::size_t>(n), columns = static_cast<std::size_t>(d);
  const Factors<Real> f{ctx.scratch<Real>(rows * columns), ctx.scratch<Real>(rows),
                        ctx.scratch<Real>(rows * rows)};
  std::copy_n(a, Index{n} * d, f.reflectors);
  qr_factor(ctx, d, n, f.reflectors, f.tau);
  for (Index i = 0; i < n; ++i) {
    std::copy_n(f.reflectors + i * d, i + 1, f.lower + i * n);
    std::fill_n(f.lower + i * n + i + 1, n - i - 1, Real(0));
  }
  return f;
}

// out[n, d] = (Q W)' where W' = lower * op(p).
template <class Real>
void expand(Context& ctx, int n, int d, const Factors<Real>& basis, const Real* lower, Op op, const Real* p,
            Real* out) {
  gemm(Op::kNone, op, n, n, n, Real(1), lower, n, p, n, Real(0), out, d);
  for (Index i = 0; i < n; ++i) std::fill_n(out + i * d + n, d - n, Real(0));
  qr_apply(ctx, d, n, n, basis.reflectors, basis.tau, out);
}

}  // namespace

template <class Real>
void product_polar(Context& ctx, const ProductPolar<Real>& args) {
  const int n = args.n, d = args.d;
  const Index cells = Index{n} * d;
  const bool finite = args.product ? all_finite(args.product, Index{d} * d)
                                   : all_finite(args.a, cells) && all_finite(args.b, cells);
  if (!finite) {
    *args.nuclear = std::numeric_limits<double>::quiet_NaN();
    fill_nan(args.d_a, cells);
    fill_nan(args.d_b, cells);
    if (args.polar) fill_nan(args.polar, Index{d} * d);
    return;
  }
  const ArenaScope scope(ctx);
  const int m = args.product ? d : std::min(n, d);
  const auto size = static_cast<std::size_t>(m) * static_cast<std::size_t>(m);
  Real* t = args.product ? nullptr : ctx.scratch<Real>(size);
  Real* p = args.polar ? args.polar : ctx.scratch<Real>(size);
  if (m == d) {
    if (t) gemm(Op::kTranspose, Op::kNone, d, d, n, Real(1), args.a, d, args.b, d, Real(0), t, d);
    polar(ctx, args, d, t ? t : args.product, p);
    gemm(Op::kNone, Op::kTranspose, n, d, d, Real(1), args.b, d, p, d, Real(0), args.d_a, d);
    gemm(Op::kNone, Op::kNone, n, d, d, Real(1), args.a, d, p, d, Real(0), args.d_b, d);
    return;
  }
  const Factors<Real> a = factorise(ctx, n, d, args.a), b = factorise(ctx, n, d, args.b);
  gemm(Op::kTranspose, Op::kNone, n, n, n, Real(1), a.lower, n, b.lower, n, Real(0), t, n);
  polar(ctx, args, n, t, p);
  expand(ctx, n, d, a, b.lower, Op::kTranspose, p, args.d_a);
  expand(ctx, n, d, b, a.lower, Op::kNone, p, args.d_b);
}

template void product_polar(Context&, const ProductPolar<float>&);
template void product_polar(Context&, const ProductPolar<double>&);

}  // namespace emer::cpu
