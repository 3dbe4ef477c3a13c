// CPU twin of kernels/adam_update.h: one pass over the four arrays.
#include "kernels/adam_update.h"

#include <cmath>

#include "core/parallel.h"
#include "kernels/adam_factors.h"

namespace emer::cpu {

namespace {
constexpr std::int64_t kGrain = 1 << 15;  // elements a chunk: 512 KiB of float over the four arrays
}

template <class Real>
void adam_update(Context&, const AdamUpdate<Real>& a) {
  if (a.scalars != nullptr && a.scalars->halted != 0) return;
  AdamFactors<Real> factors =
      a.scalars != nullptr ? adam_factors<Real>(a, *a.scalars) : adam_factors<Real>(a);
  scale_rate(factors, static_cast<Real>(a.rate_scale));
  parallel_for(a.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    const AdamFactors<Real> f = factors;  // a copy that no store can reach: registers
    const Real* gradient = a.gradient;
    Real *value = a.value, *first = a.m, *second = a.v;
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      const Real g = f.scale * gradient[i];
      const Real m = f.b1 * first[i] + f.c1 * g;
      const Real v = f.b2 * second[i] + f.c2 * (g * g);
      first[i] = m;
      second[i] = v;
      const Real x = value[i] - f.decay * value[i];
      value[i] = x - f.rate * m / (std::sqrt(v) * f.root + f.epsilon);
    }
  });
}

template void adam_update(Context&, const AdamUpdate<float>&);
template void adam_update(Context&, const AdamUpdate<double>&);

}  // namespace emer::cpu
