// CPU twin of kernels/adam_update.h: one pass over the four arrays.
#include "kernels/adam_update.h"

#include <cmath>

#include "core/parallel.h"

namespace emer::cpu {

namespace {
constexpr std::int64_t kGrain = 1 << 15;  // elements a chunk: 512 KiB of float over the four arrays
}

template <class Real>
void adam_update(Context&, const AdamUpdate<Real>& a) {
  const double correction1 = 1 - std::pow(a.beta1, static_cast<double>(a.t));
  const double correction2 = 1 - std::pow(a.beta2, static_cast<double>(a.t));
  // Both forms are rate * m / (sqrt(v) * root + eps).
  const bool usual = a.form == AdamForm::kUsual;
  const auto rate = static_cast<Real>(a.learning_rate * (usual ? 1 : std::sqrt(correction2)) / correction1);
  const auto root = static_cast<Real>(usual ? 1 / std::sqrt(correction2) : 1);
  const auto b1 = static_cast<Real>(a.beta1), b2 = static_cast<Real>(a.beta2);
  const auto c1 = static_cast<Real>(1 - a.beta1), c2 = static_cast<Real>(1 - a.beta2);
  const auto epsilon = static_cast<Real>(a.epsilon);
  const auto decay = static_cast<Real>(a.learning_rate * a.weight_decay);
  const auto scale = static_cast<Real>(a.gradient_scale);
  parallel_for(a.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    const Real* gradient = a.gradient;
    Real *value = a.value, *first = a.m, *second = a.v;
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      const Real g = scale * gradient[i];
      const Real m = b1 * first[i] + c1 * g;
      const Real v = b2 * second[i] + c2 * (g * g);
      first[i] = m;
      second[i] = v;
      const Real x = value[i] - decay * value[i];
      value[i] = x - rate * m / (std::sqrt(v) * root + epsilon);
    }
  });
}

template void adam_update(Context&, const AdamUpdate<float>&);
template void adam_update(Context&, const AdamUpdate<double>&);

}  // namespace emer::cpu
