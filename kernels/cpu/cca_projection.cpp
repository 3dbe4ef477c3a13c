#include "kernels/cca_projection.h"

#include <cmath>
#include <cstdint>

#include "core/parallel.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/product_polar.h"
#include "kernels/cpu/symmetric_blas.h"

namespace emer::cpu {

namespace {

using Index = std::int64_t;
constexpr Index kRowGrain = 16;

template <class Real>
struct View {
  const ProjectedView<Real>* io;
  Real* centred;      // [n, d], F
  Real* projected;    // [n, d], A = F W
  Real* d_projected;  // [n, d]
};

// m[d, d], upper triangle: gram of the projected views in, dL/d(gram) = -1/2 sign(R) out, R = target I -
// gram. Returns 1/2 sum |R|, both triangles.
template <class Real>
double absolute_penalty(Context& ctx, int d, double target, Real* m) {
  const ArenaScope scope(ctx);
  double* rows = ctx.scratch<double>(static_cast<std::size_t>(d));
  parallel_for(d, kRowGrain, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      double sum = 0.0;
      for (Index j = i; j < d; ++j) {
        const Real r = (i == j ? static_cast<Real>(target) : Real(0)) - m[i * d + j];
        sum += (i == j ? 0.5 : 1.0) * static_cast<double>(std::abs(r));
        m[i * d + j] = r > 0 ? Real(-0.5) : r < 0 ? Real(0.5) : r;  // r itself where 0 or NaN
      }
      rows[i] = sum;
    }
  });
  double total = 0.0;
  for (Index i = 0; i < d; ++i) total += rows[i];
  return total;
}

// -corr(T) by row norms, T = A'B/(n-1); gradients to A and B overwritten.
template <class Real>
double row_norm_loss(Context& ctx, int n, int d, const View<Real>& one, const View<Real>& two) {
  const ArenaScope scope(ctx);
  Real* t = ctx.scratch<Real>(static_cast<std::size_t>(d) * static_cast<std::size_t>(d));
  double* norms = ctx.scratch<double>(static_cast<std::size_t>(d));
  const Real share = static_cast<Real>(1.0 / (n - 1));
  gemm(Op::kTranspose, Op::kNone, d, d, n, share, one.projected, d, two.projected, d, Real(0), t, d);
  parallel_for(d, kRowGrain, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      double squares = 0.0;
      for (Index j = 0; j < d; ++j)
        squares += static_cast<double>(t[i * d + j]) * static_cast<double>(t[i * d + j]);
      norms[i] = std::sqrt(squares);
      const double inverse = norms[i] == 0.0 ? 0.0 : -1.0 / norms[i];
      for (Index j = 0; j < d; ++j)
        t[i * d + j] = static_cast<Real>(inverse * static_cast<double>(t[i * d + j]));
    }
  });
  gemm(Op::kNone, Op::kTranspose, n, d, d, share, two.projected, d, t, d, Real(0), one.d_projected, d);
  gemm(Op::kNone, Op::kNone, n, d, d, share, one.projected, d, t, d, Real(0), two.d_projected, d);
  double sum = 0.0;
  for (Index i = 0; i < d; ++i) sum += norms[i];
  return -sum;
}

template <class Real>
double nuclear_loss(Context& ctx, const CcaProjection<Real>& a, const View<Real>& one,
                    const View<Real>& two) {
  double nuclear = 0.0;
  product_polar<Real>(ctx, {.n = a.n,
                            .d = a.d,
                            .a = one.projected,
                            .b = two.projected,
                            .by_svd = a.solver == PolarSolver::kSvd,
                            .directions = 0,
                            .nuclear = &nuclear,
                            .d_a = one.d_projected,
                            .d_b = two.d_projected});
  const Real share = static_cast<Real>(-1.0 / (a.n - 1));
  for (Real* gradient : {one.d_projected, two.d_projected})
    for (Index k = 0; k < Index{a.n} * a.d; ++k) gradient[k] *= share;
  return -nuclear / (a.n - 1);
}

}  // namespace

template <class Real>
void cca_projection(Context& ctx, const CcaProjection<Real>& a) {
  const ArenaScope scope(ctx);
  const int n = a.n, d = a.d;
  const auto samples = static_cast<std::size_t>(n) * static_cast<std::size_t>(d);
  const auto square = static_cast<std::size_t>(d) * static_cast<std::size_t>(d);
  const double share = 1.0 / (n - 1);
  View<Real> views[2];
  for (int v = 0; v < 2; ++v) {
    views[v] = {v == 0 ? &a.first : &a.second, ctx.scratch<Real>(samples), ctx.scratch<Real>(samples),
                ctx.scratch<Real>(samples)};
    cpu::centre<Real>(ctx,
                      {.n = n, .d = d, .centring = a.centring, .x = views[v].io->x, .y = views[v].centred});
    gemm(Op::kNone, Op::kNone, n, d, d, Real(1), views[v].centred, d, views[v].io->projection, d, Real(0),
         views[v].projected, d);
  }
  double loss = a.correlation == Correlation::kNuclear ? nuclear_loss(ctx, a, views[0], views[1])
                                                       : row_norm_loss(ctx, n, d, views[0], views[1]);

  // gram = W'SW; where the penalty takes the sum of both residuals, both views add to one.
  Real* grams[2] = {ctx.scratch<Real>(square), nullptr};
  grams[1] = a.penalty_summed ? grams[0] : ctx.scratch<Real>(square);
  for (int v = 0; v < 2; ++v) {
    const bool add = v == 1 && a.penalty_summed;
    syrk(d, n, static_cast<Real>(share), views[v].projected, add ? Real(1) : Real(0), grams[v]);
    syrk(d, d, static_cast<Real>(a.ridge), views[v].io->projection, Real(1), grams[v]);
    if (v == 1 || !a.penalty_summed) loss += absolute_penalty(ctx, d, a.penalty_summed ? 2.0 : 1.0, grams[v]);
  }

  const double weight = a.scale * a.gradient_weight;
  for (int v = 0; v < 2; ++v) {
    const View<Real>& view = views[v];
    symm(n, d, static_cast<Real>(2.0 * share), view.projected, grams[v], Real(1), view.d_projected);
    gemm(Op::kTranspose, Op::kNone, d, d, n, static_cast<Real>(weight), view.centred, d, view.d_projected, d,
         Real(1), view.io->d_projection, d);
    symm(d, d, static_cast<Real>(2.0 * weight * a.ridge), view.io->projection, grams[v], Real(1),
         view.io->d_projection);
    gemm(Op::kNone, Op::kTranspose, n, d, d, static_cast<Real>(weight), view.d_projected, d,
         view.io->projection, d, Real(0), view.io->d_x, d);
    cpu::centre<Real>(ctx, {.n = n, .d = d, .centring = a.centring, .x = view.io->d_x, .y = view.io->d_x});
  }
  *a.loss = a.scale * loss;
}

template void cca_projection(Context&, const CcaProjection<float>&);
template void cca_projection(Context&, const CcaProjection<double>&);

}  // namespace emer::cpu
