#include "kernels/cca_projection.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/parallel.h"
#include "kernels/batch_rows.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/centre_views.h"
#include "kernels/cpu/product_polar.h"
#include "kernels/cpu/symmetric_blas.h"

namespace emer::cpu {

namespace {

using Index = std::int64_t;
constexpr Index kRowGrain = 16;

template <class Real>
struct View {
  const ProjectedView<Real>* io;
  Real* centred;          // [own, d], F
  Real* projected;        // [own, d], A = F W
  Real* d_projected;      // [own, d]
  Real* all_projected;    // [here, d], of which the above are a part
  Real* all_d_projected;  // [here, d]
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

// minus row norms of t = A'B/(n-1), which becomes the gradient; gradients to A and B overwritten.
template <class Real>
double row_norm_loss(Context& ctx, int n, int d, double share, Real* t, const View<Real>& one,
                     const View<Real>& two) {
  const ArenaScope scope(ctx);
  double* norms = ctx.scratch<double>(static_cast<std::size_t>(d));
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
  const Real factor = static_cast<Real>(share);
  gemm(Op::kNone, Op::kTranspose, n, d, d, factor, two.projected, d, t, d, Real(0), one.d_projected, d);
  gemm(Op::kNone, Op::kNone, n, d, d, factor, one.projected, d, t, d, Real(0), two.d_projected, d);
  double sum = 0.0;
  for (Index i = 0; i < d; ++i) sum += norms[i];
  return -sum;
}

// t = A'B of all rows, null where the rows here are all and fewer than d.
template <class Real>
double nuclear_loss(Context& ctx, const CcaProjection<Real>& a, const BatchRows& rows, const Real* t,
                    const View<Real>& one, const View<Real>& two) {
  double nuclear = 0.0;
  product_polar<Real>(ctx, {.n = rows.here(),
                            .d = a.d,
                            .a = one.all_projected,
                            .b = two.all_projected,
                            .product = t,
                            .by_svd = a.solver == PolarSolver::kSvd,
                            .directions = 0,
                            .nuclear = &nuclear,
                            .d_a = one.all_d_projected,
                            .d_b = two.all_d_projected});
  const Real factor = static_cast<Real>(-1.0 / (rows.total() - 1));
  for (Real* gradient : {one.d_projected, two.d_projected})
    for (Index k = 0; k < Index{a.n} * a.d; ++k) gradient[k] *= factor;
  return -nuclear / (rows.total() - 1);
}

}  // namespace

template <class Real>
void cca_projection(Context& ctx, const CcaProjection<Real>& a) {
  const ArenaScope scope(ctx);
  const int n = a.n, d = a.d;
  const BatchRows rows(ctx, n, a.total, d);
  const int here = rows.here();
  const auto square = static_cast<std::size_t>(d) * static_cast<std::size_t>(d);
  const auto own_size = static_cast<std::size_t>(n) * static_cast<std::size_t>(d);
  const auto here_size = static_cast<std::size_t>(rows.held()) * static_cast<std::size_t>(d);
  const double share = 1.0 / (rows.total() - 1);
  View<Real> views[2];
  for (int v = 0; v < 2; ++v) {
    View<Real>& view = views[v];
    view.io = v == 0 ? &a.first : &a.second;
    view.centred = ctx.scratch<Real>(own_size);
    view.all_projected = ctx.scratch<Real>(here_size);
    view.all_d_projected = ctx.scratch<Real>(here_size);
    view.projected = view.all_projected + rows.first() * d;
    view.d_projected = view.all_d_projected + rows.first() * d;
  }
  cpu::centre_views<Real>(ctx, {.n = n,
                                .total = a.total,
                                .d = d,
                                .centring = a.centring,
                                .x = {a.first.x, a.second.x},
                                .y = {views[0].centred, views[1].centred}});
  for (const View<Real>& view : views) {
    gemm(Op::kNone, Op::kNone, n, d, d, Real(1), view.centred, d, view.io->projection, d, Real(0),
         view.projected, d);
    if (rows.gathered) rows.gather(ctx, d, view.all_projected);
  }

  // T, then gram = W'SW; where the penalty takes the sum of both residuals, both views add to one gram.
  const bool nuclear = a.correlation == Correlation::kNuclear;
  const std::size_t sums_size = (a.penalty_summed ? 2 : 3) * square;
  Real* sums = ctx.scratch<Real>(sums_size);
  Real* grams[2] = {sums + square, sums + sums_size - square};
  // syrk leaves the lower triangles alone.
  if (rows.summed()) std::fill_n(sums, sums_size, Real(0));
  Real* t = nuclear && here < d && !rows.summed() ? nullptr : sums;
  if (t)
    gemm(Op::kTranspose, Op::kNone, d, d, here, nuclear ? Real(1) : static_cast<Real>(share),
         views[0].all_projected, d, views[1].all_projected, d, Real(0), t, d);
  const auto add_ridge = [&](int v) {
    syrk(d, d, static_cast<Real>(a.ridge), views[v].io->projection, Real(1), grams[v]);
  };
  for (int v = 0; v < 2; ++v) {
    const bool add = v == 1 && a.penalty_summed;
    syrk(d, here, static_cast<Real>(share), views[v].all_projected, add ? Real(1) : Real(0), grams[v]);
    if (!rows.summed()) add_ridge(v);
  }
  if (rows.summed()) {
    all_reduce_sum(ctx, sums, sums_size);
    add_ridge(0);
    add_ridge(1);
  }

  double loss = nuclear ? nuclear_loss<Real>(ctx, a, rows, t, views[0], views[1])
                        : row_norm_loss(ctx, n, d, share, t, views[0], views[1]);
  for (int v = a.penalty_summed ? 1 : 0; v < 2; ++v)
    loss += absolute_penalty(ctx, d, a.penalty_summed ? 2.0 : 1.0, grams[v]);

  const double weight = a.scale * a.gradient_weight;
  for (int v = 0; v < 2; ++v) {
    const View<Real>& view = views[v];
    symm(n, d, static_cast<Real>(2.0 * share), view.projected, grams[v], Real(1), view.d_projected);
    gemm(Op::kTranspose, Op::kNone, d, d, n, static_cast<Real>(weight), view.centred, d, view.d_projected, d,
         Real(1), view.io->d_projection, d);
    if (rows.rank == 0)
      symm(d, d, static_cast<Real>(2.0 * weight * a.ridge), view.io->projection, grams[v], Real(1),
           view.io->d_projection);
    gemm(Op::kNone, Op::kTranspose, n, d, d, static_cast<Real>(weight), view.d_projected, d,
         view.io->projection, d, Real(0), view.io->d_x, d);
  }
  cpu::centre_views<Real>(ctx, {.n = n,
                                .total = a.total,
                                .d = d,
                                .centring = a.centring,
                                .x = {a.first.d_x, a.second.d_x},
                                .y = {a.first.d_x, a.second.d_x}});
  *a.loss = a.scale * loss;
}

template void cca_projection(Context&, const CcaProjection<float>&);
template void cca_projection(Context&, const CcaProjection<double>&);

}  // namespace emer::cpu
