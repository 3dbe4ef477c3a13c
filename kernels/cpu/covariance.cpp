#include "kernels/covariance.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "core/collectives.h"
#include "core/parallel.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/centre_views.h"
#include "kernels/cpu/symmetric_blas.h"

namespace emer::cpu {

namespace {

using Index = std::int64_t;
constexpr Index kRowGrain = 16;
constexpr Index kColumnGrain = 64;

template <class Real>
void subtract_row_means(Index n, Index d, const Real* x, Real* y) {
  parallel_for(n, kRowGrain, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      double sum = 0.0;
      for (Index k = 0; k < d; ++k) sum += static_cast<double>(x[i * d + k]);
      const double mean = sum / static_cast<double>(d);
      for (Index k = 0; k < d; ++k)
        y[i * d + k] = static_cast<Real>(static_cast<double>(x[i * d + k]) - mean);
    }
  });
}

template <class Real>
void column_sums(Index n, Index d, const Real* x, double* sums) {
  parallel_for(d, kColumnGrain, [&](Index begin, Index end) {
    std::fill(sums + begin, sums + end, 0.0);
    for (Index i = 0; i < n; ++i)
      for (Index k = begin; k < end; ++k) sums[k] += static_cast<double>(x[i * d + k]);
  });
}

template <class Real>
void subtract_column_means(Index n, Index total, Index d, const Real* x, const double* sums, Real* y) {
  parallel_for(d, kColumnGrain, [&](Index begin, Index end) {
    double mean[kColumnGrain];
    for (Index k = begin; k < end; ++k) mean[k - begin] = sums[k] / static_cast<double>(total);
    for (Index i = 0; i < n; ++i)
      for (Index k = begin; k < end; ++k)
        y[i * d + k] = static_cast<Real>(static_cast<double>(x[i * d + k]) - mean[k - begin]);
  });
}

// s <- the symmetric matrix of the upper triangle of `upper`, which may be s, + ridge I.
template <class Real>
void finish_moment(int d, double ridge, const Real* upper, Real* s) {
  if (upper != s) std::copy_n(upper, Index{d} * d, s);
  parallel_for(d, kRowGrain, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      for (Index j = 0; j < i; ++j) s[i * d + j] = s[j * d + i];
      s[i * d + i] += static_cast<Real>(ridge);
    }
  });
}

}  // namespace

template <class Real>
void centre_views(Context& ctx, const CentreViews<Real>& a) {
  if (a.centring == Centring::kSample) {
    for (int v = 0; v < a.views; ++v) subtract_row_means<Real>(a.n, a.d, a.x[v], a.y[v]);
    return;
  }
  const ArenaScope scope(ctx);
  const auto d = static_cast<std::size_t>(a.d), sums_size = static_cast<std::size_t>(a.views) * d;
  double* sums = ctx.scratch<double>(sums_size);
  for (int v = 0; v < a.views; ++v)
    column_sums<Real>(a.n, a.d, a.x[v], sums + static_cast<std::size_t>(v) * d);
  if (a.total > 0) all_reduce_sum(ctx, sums, sums_size);
  for (int v = 0; v < a.views; ++v)
    subtract_column_means<Real>(a.n, a.total > 0 ? a.total : a.n, a.d, a.x[v],
                                sums + static_cast<std::size_t>(v) * d, a.y[v]);
}

template <class Real>
void centre(Context& ctx, const Centre<Real>& a) {
  centre_views<Real>(ctx, {.views = 1,
                           .n = a.n,
                           .total = a.total,
                           .d = a.d,
                           .centring = a.centring,
                           .x = {a.x, nullptr},
                           .y = {a.y, nullptr}});
}

template <class Real>
void covariance(Context& ctx, const Covariance<Real>& a) {
  const ArenaScope scope(ctx);
  const int n = a.n, d = a.d;
  centre_views<Real>(
      ctx, {.n = n, .total = a.total, .d = d, .centring = a.centring, .x = {a.x1, a.x2}, .y = {a.f1, a.f2}});
  const bool exchange = a.total > 0 && ranks_of(ctx) > 1;
  const Real share = Real(1.0 / ((exchange ? a.total : n) - 1));
  const auto square = static_cast<std::size_t>(d) * static_cast<std::size_t>(d);
  Real* sums[] = {a.s11, a.s22, a.s12};
  Real* exchanged = nullptr;  // the wanted ones one behind the other, 0 where syrk does not write
  std::size_t exchanged_size = 0;
  if (exchange) {
    exchanged_size =
        square * static_cast<std::size_t>(3 - std::count(std::begin(sums), std::end(sums), nullptr));
    exchanged = ctx.scratch<Real>(exchanged_size);
    std::fill_n(exchanged, exchanged_size, Real(0));
    Real* next = exchanged;
    for (Real*& s : sums)
      if (s) s = std::exchange(next, next + square);
  }
  if (a.s11) syrk(d, n, share, a.f1, Real(0), sums[0]);
  if (a.s22) syrk(d, n, share, a.f2, Real(0), sums[1]);
  if (a.s12) gemm(Op::kTranspose, Op::kNone, d, d, n, share, a.f1, d, a.f2, d, Real(0), sums[2], d);
  if (exchange) all_reduce_sum(ctx, exchanged, exchanged_size);
  if (exchange && a.s12) std::copy_n(sums[2], square, a.s12);
  if (a.s11) finish_moment(d, a.ridge, sums[0], a.s11);
  if (a.s22) finish_moment(d, a.ridge, sums[1], a.s22);
}

template void centre_views(Context&, const CentreViews<float>&);
template void centre_views(Context&, const CentreViews<double>&);
template void centre(Context&, const Centre<float>&);
template void centre(Context&, const Centre<double>&);
template void covariance(Context&, const Covariance<float>&);
template void covariance(Context&, const Covariance<double>&);

}  // namespace emer::cpu
