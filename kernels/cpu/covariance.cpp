#include "kernels/covariance.h"

#include <cstdint>

#include "core/parallel.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/symmetric_blas.h"

namespace emer::cpu {

namespace {

using Index = std::int64_t;
constexpr Index kRowGrain = 16;
constexpr Index kColumnGrain = 64;

// S = F'F / (n - 1) + ridge I.
template <class Real>
void second_moment(int n, int d, const Real* f, double ridge, Real* s) {
  syrk(d, n, Real(1.0 / (n - 1)), f, Real(0), s);
  parallel_for(d, kRowGrain, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      for (Index j = 0; j < i; ++j) s[i * d + j] = s[j * d + i];
      s[i * d + i] += static_cast<Real>(ridge);
    }
  });
}

}  // namespace

template <class Real>
void centre(Context&, const Centre<Real>& a) {
  const Index n = a.n, d = a.d;
  if (a.centring == Centring::kSample) {
    parallel_for(n, kRowGrain, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        double sum = 0.0;
        for (Index k = 0; k < d; ++k) sum += static_cast<double>(a.x[i * d + k]);
        const double mean = sum / static_cast<double>(d);
        for (Index k = 0; k < d; ++k)
          a.y[i * d + k] = static_cast<Real>(static_cast<double>(a.x[i * d + k]) - mean);
      }
    });
    return;
  }
  parallel_for(d, kColumnGrain, [&](Index begin, Index end) {
    double mean[kColumnGrain] = {};
    for (Index i = 0; i < n; ++i)
      for (Index k = begin; k < end; ++k) mean[k - begin] += static_cast<double>(a.x[i * d + k]);
    for (Index k = 0; k < end - begin; ++k) mean[k] /= static_cast<double>(n);
    for (Index i = 0; i < n; ++i)
      for (Index k = begin; k < end; ++k)
        a.y[i * d + k] = static_cast<Real>(static_cast<double>(a.x[i * d + k]) - mean[k - begin]);
  });
}

template <class Real>
void covariance(Context& ctx, const Covariance<Real>& a) {
  cpu::centre<Real>(ctx, {.n = a.n, .d = a.d, .centring = a.centring, .x = a.x1, .y = a.f1});
  cpu::centre<Real>(ctx, {.n = a.n, .d = a.d, .centring = a.centring, .x = a.x2, .y = a.f2});
  if (a.s11) second_moment(a.n, a.d, a.f1, a.ridge, a.s11);
  if (a.s22) second_moment(a.n, a.d, a.f2, a.ridge, a.s22);
  if (a.s12)
    gemm(Op::kTranspose, Op::kNone, a.d, a.d, a.n, Real(1.0 / (a.n - 1)), a.f1, a.d, a.f2, a.d, Real(0),
         a.s12, a.d);
}

template void centre(Context&, const Centre<float>&);
template void centre(Context&, const Centre<double>&);
template void covariance(Context&, const Covariance<float>&);
template void covariance(Context&, const Covariance<double>&);

}  // namespace emer::cpu
