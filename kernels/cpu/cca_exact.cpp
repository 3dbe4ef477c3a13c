#include "kernels/cca_exact.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/batch_rows.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/centre_views.h"
#include "kernels/cpu/fill.h"
#include "kernels/cpu/lapack.h"
#include "kernels/cpu/product_polar.h"
#include "kernels/cpu/symmetric_blas.h"
#include "kernels/svd.h"
#include "kernels/symmetric_eigen.h"

namespace emer::cpu {

namespace {

using Index = std::int64_t;

// Views, moments and gradients in double; s11, s22, s12 are overwritten by the routes.
struct Problem {
  int n, d, directions;
  int total;    // rows of all ranks
  bool summed;  // over several ranks
  double ridge;
  double *f1, *f2, *s11, *s22, *s12;
  double *d_f1, *d_f2;  // out: d corr / dF
  Index square() const { return Index{d} * d; }
  std::size_t square_size() const { return static_cast<std::size_t>(square()); }
};

// out = S^-1/2 = Q' diag(values^-1/2) Q, eigenvectors in the rows of Q.
void inverse_root(Context& ctx, int d, double ridge, double* s, double* out) {
  const ArenaScope scope(ctx);
  const Index cells = Index{d} * d;
  double* values = ctx.scratch<double>(static_cast<std::size_t>(d));
  double* scaled = ctx.scratch<double>(static_cast<std::size_t>(cells));
  cpu::symmetric_eigen<double>(ctx, {.m = d, .matrix = s, .values = values, .vectors = s});
  for (Index k = 0; k < d; ++k) {
    // The ridge bounds the eigenvalues from below; only rounding can put one under it. NaN stays NaN.
    const double factor = 1.0 / std::sqrt(values[k] < ridge ? ridge : values[k]);
    for (Index j = 0; j < d; ++j) scaled[k * d + j] = factor * s[k * d + j];
  }
  gemm(Op::kTranspose, Op::kNone, d, d, d, 1.0, s, d, scaled, d, 0.0, out, d);
}

// s12 <- F1'F2 / (n - 1).
void cross_moment(Context& ctx, const Problem& p) {
  gemm(Op::kTranspose, Op::kNone, p.d, p.d, p.n, 1.0 / (p.total - 1), p.f1, p.d, p.f2, p.d, 0.0, p.s12, p.d);
  if (p.summed) all_reduce_sum(ctx, p.s12, p.square_size());
}

// d_f = (other * dS12-part + 2 F dS) / (n - 1).
double eigen_route(Context& ctx, const Problem& p) {
  const ArenaScope scope(ctx);
  const int n = p.n, d = p.d;
  double* k1 = ctx.scratch<double>(p.square_size());
  double* k2 = ctx.scratch<double>(p.square_size());
  double* t = ctx.scratch<double>(p.square_size());
  double* left = ctx.scratch<double>(p.square_size());
  double* right = ctx.scratch<double>(p.square_size());
  double* values = ctx.scratch<double>(static_cast<std::size_t>(d));
  inverse_root(ctx, d, p.ridge, p.s11, k1);
  inverse_root(ctx, d, p.ridge, p.s22, k2);
  gemm(Op::kNone, Op::kNone, d, d, d, 1.0, k1, d, p.s12, d, 0.0, p.s11, d);
  gemm(Op::kNone, Op::kNone, d, d, d, 1.0, p.s11, d, k2, d, 0.0, t, d);
  cpu::svd<double>(ctx, {.m = d, .matrix = t, .left = left, .values = values, .right = right});
  const double tolerance = d * std::numeric_limits<double>::epsilon() * values[0];
  const int wanted = p.directions > 0 ? p.directions : d;
  int kept = 0;
  double sum = 0.0;
  for (; kept < wanted && !(values[kept] <= tolerance); ++kept) sum += values[kept];
  if (kept == 0) {
    std::fill_n(p.d_f1, Index{n} * d, 0.0);
    std::fill_n(p.d_f2, Index{n} * d, 0.0);
    return 0.0;
  }
  // Canonical directions: columns of K1 U and rows of V' K2, kept ones only.
  double* u = p.s11;  // [d, kept]
  double* v = p.s22;  // [kept, d]
  gemm(Op::kNone, Op::kNone, d, kept, d, 1.0, k1, d, left, d, 0.0, u, kept);
  gemm(Op::kNone, Op::kNone, kept, d, d, 1.0, right, d, k2, d, 0.0, v, d);
  // dcorr/dF1 = (F2 v' - F1 u D) u' / (n-1), and likewise the other: projections first, they are the smaller.
  const auto scores_size = static_cast<std::size_t>(n) * static_cast<std::size_t>(kept);
  double* scores1 = ctx.scratch<double>(scores_size);
  double* scores2 = ctx.scratch<double>(scores_size);
  gemm(Op::kNone, Op::kNone, n, kept, d, 1.0, p.f1, d, u, kept, 0.0, scores1, kept);
  gemm(Op::kNone, Op::kTranspose, n, kept, d, 1.0, p.f2, d, v, d, 0.0, scores2, kept);
  for (Index i = 0; i < n; ++i)
    for (Index k = 0; k < kept; ++k) {
      const double one = scores1[i * kept + k], two = scores2[i * kept + k];
      scores1[i * kept + k] = two - values[k] * one;
      scores2[i * kept + k] = one - values[k] * two;
    }
  const double share = 1.0 / (p.total - 1);
  gemm(Op::kNone, Op::kTranspose, n, d, kept, share, scores1, kept, u, kept, 0.0, p.d_f1, d);
  gemm(Op::kNone, Op::kNone, n, d, kept, share, scores2, kept, v, d, 0.0, p.d_f2, d);
  return sum;
}

// gradient <- (gradient - A A' gradient) L^-1 / sqrt(total - 1). A A' gradient where inner is null: the factor that is
// smaller is formed; else A inner, inner[d, d] = A' gradient over all ranks.
void through_whitening(Context& ctx, const Problem& p, const double* a, const double* lower,
                       const double* inner, double* gradient) {
  const ArenaScope scope(ctx);
  const int n = p.n, d = p.d;
  if (!inner && n < d) {
    const auto rows = static_cast<std::size_t>(n);
    double* outer = ctx.scratch<double>(rows * rows);
    double* copy = ctx.scratch<double>(rows * static_cast<std::size_t>(d));
    std::copy_n(gradient, Index{n} * d, copy);
    gemm(Op::kNone, Op::kTranspose, n, n, d, 1.0, a, d, a, d, 0.0, outer, n);
    gemm(Op::kNone, Op::kNone, n, d, n, -1.0, outer, n, copy, d, 1.0, gradient, d);
  } else {
    if (!inner) {
      double* formed = ctx.scratch<double>(p.square_size());
      gemm(Op::kTranspose, Op::kNone, d, d, n, 1.0, a, d, gradient, d, 0.0, formed, d);
      inner = formed;
    }
    gemm(Op::kNone, Op::kNone, n, d, d, -1.0, a, d, inner, d, 1.0, gradient, d);
  }
  solve_right_lower(false, n, d, lower, gradient);
  const double root = 1.0 / std::sqrt(static_cast<double>(p.total - 1));
  for (Index k = 0; k < Index{n} * d; ++k) gradient[k] *= root;
}

double polar_route(Context& ctx, const Problem& p) {
  const ArenaScope scope(ctx);
  const int n = p.n, d = p.d;
  const Index samples = Index{n} * d;
  double* l1 = ctx.scratch<double>(p.square_size());
  double* l2 = ctx.scratch<double>(p.square_size());
  std::copy_n(p.s11, p.square(), l1);
  std::copy_n(p.s22, p.square(), l2);
  // Row-major lower is column-major upper.
  if (lapack::potrf('U', d, l1, d) != 0 || lapack::potrf('U', d, l2, d) != 0) {
    cross_moment(ctx, p);
    return eigen_route(ctx, p);
  }
  double* a = ctx.scratch<double>(static_cast<std::size_t>(samples));
  double* b = ctx.scratch<double>(static_cast<std::size_t>(samples));
  const double root = 1.0 / std::sqrt(static_cast<double>(p.total - 1));
  for (Index k = 0; k < samples; ++k) {
    a[k] = root * p.f1[k];
    b[k] = root * p.f2[k];
  }
  solve_right_lower(true, n, d, l1, a);
  solve_right_lower(true, n, d, l2, b);
  // Of several ranks: T = A'B of the whitened rows, which is the better conditioned way (L^-1 S12 L^-T would have the
  // error of S, A and B have that of L), and A' d_a = T P', B' d_b = T'P without another exchange.
  double *t = nullptr, *polar = nullptr, *inner1 = nullptr, *inner2 = nullptr;
  if (p.summed) {
    t = p.s12;
    polar = ctx.scratch<double>(p.square_size());
    inner1 = ctx.scratch<double>(p.square_size());
    inner2 = ctx.scratch<double>(p.square_size());
    gemm(Op::kTranspose, Op::kNone, d, d, n, 1.0, a, d, b, d, 0.0, t, d);
    all_reduce_sum(ctx, t, p.square_size());
  }
  double nuclear = 0.0;
  product_polar<double>(ctx, {.n = n,
                              .d = d,
                              .a = a,
                              .b = b,
                              .product = t,
                              .by_svd = false,
                              .directions = 0,
                              .nuclear = &nuclear,
                              .d_a = p.d_f1,
                              .d_b = p.d_f2,
                              .polar = polar});
  if (p.summed) {
    gemm(Op::kNone, Op::kTranspose, d, d, d, 1.0, t, d, polar, d, 0.0, inner1, d);
    gemm(Op::kTranspose, Op::kNone, d, d, d, 1.0, t, d, polar, d, 0.0, inner2, d);
  }
  through_whitening(ctx, p, a, l1, inner1, p.d_f1);
  through_whitening(ctx, p, b, l2, inner2, p.d_f2);
  return nuclear;
}

template <class Real>
void answer_nan(const CcaExact<Real>& args) {
  *args.loss = std::numeric_limits<double>::quiet_NaN();
  fill_nan(args.d_x1, Index{args.n} * args.d);
  fill_nan(args.d_x2, Index{args.n} * args.d);
}

// Every rank does what one rank would with the rows of all.
template <class Real>
void on_gathered_rows(Context& ctx, const CcaExact<Real>& args, const BatchRows& rows) {
  const ArenaScope scope(ctx);
  const auto held = static_cast<std::size_t>(rows.held() * args.d);
  const Index own = Index{args.n} * args.d, first = rows.first() * args.d;
  Real* x[] = {ctx.scratch<Real>(held), ctx.scratch<Real>(held)};
  Real* d_x[] = {ctx.scratch<Real>(held), ctx.scratch<Real>(held)};
  std::copy_n(args.x1, own, x[0] + first);
  std::copy_n(args.x2, own, x[1] + first);
  for (Real* view : x) rows.gather(ctx, args.d, view);
  CcaExact<Real> all = args;
  all.n = rows.total();
  all.total = 0;
  all.x1 = x[0];
  all.x2 = x[1];
  all.d_x1 = d_x[0];
  all.d_x2 = d_x[1];
  cpu::cca_exact<Real>(ctx, all);
  std::copy_n(d_x[0] + first, own, args.d_x1);
  std::copy_n(d_x[1] + first, own, args.d_x2);
}

}  // namespace

template <class Real>
void cca_exact(Context& ctx, const CcaExact<Real>& args) {
  const BatchRows rows(ctx, args.n, args.total, args.d);
  if (rows.gathered) return on_gathered_rows(ctx, args, rows);
  const Index samples = Index{args.n} * args.d;
  if (!rows.summed() && (!all_finite(args.x1, samples) || !all_finite(args.x2, samples)))
    return answer_nan(args);
  const ArenaScope scope(ctx);
  const auto samples_size = static_cast<std::size_t>(samples);
  const auto square_size = static_cast<std::size_t>(args.d) * static_cast<std::size_t>(args.d);
  const Problem p{.n = args.n,
                  .d = args.d,
                  .directions = args.directions,
                  .total = rows.total(),
                  .summed = rows.summed(),
                  .ridge = args.ridge,
                  .f1 = ctx.scratch<double>(samples_size),
                  .f2 = ctx.scratch<double>(samples_size),
                  .s11 = ctx.scratch<double>(square_size),
                  .s22 = ctx.scratch<double>(square_size),
                  .s12 = ctx.scratch<double>(square_size),
                  .d_f1 = ctx.scratch<double>(samples_size),
                  .d_f2 = ctx.scratch<double>(samples_size)};
  std::copy_n(args.x1, samples, p.f1);
  std::copy_n(args.x2, samples, p.f2);
  const bool eigen = args.route == CcaRoute::kEigen || args.directions > 0;
  cpu::covariance<double>(ctx, {.n = args.n,
                                .total = args.total,
                                .d = args.d,
                                .centring = args.centring,
                                .ridge = args.ridge,
                                .x1 = p.f1,
                                .x2 = p.f2,
                                .f1 = p.f1,
                                .f2 = p.f2,
                                .s11 = p.s11,
                                .s22 = p.s22,
                                .s12 = eigen ? p.s12 : nullptr});
  // A value that is not finite, of whatever rank, is in the moments of all ranks.
  if (rows.summed() && (!all_finite(p.s11, p.square()) || !all_finite(p.s22, p.square())))
    return answer_nan(args);
  const double correlation = eigen ? eigen_route(ctx, p) : polar_route(ctx, p);
  *args.loss = -args.scale * correlation;
  const double weight = -args.scale * args.gradient_weight;
  const double* gradients[] = {p.d_f1, p.d_f2};
  Real* outputs[] = {args.d_x1, args.d_x2};
  for (int v = 0; v < 2; ++v)
    for (Index k = 0; k < samples; ++k) outputs[v][k] = static_cast<Real>(weight * gradients[v][k]);
  cpu::centre_views<Real>(ctx, {.n = args.n,
                                .total = args.total,
                                .d = args.d,
                                .centring = args.centring,
                                .x = {outputs[0], outputs[1]},
                                .y = {outputs[0], outputs[1]}});
}

template void cca_exact(Context&, const CcaExact<float>&);
template void cca_exact(Context&, const CcaExact<double>&);

}  // namespace emer::cpu
