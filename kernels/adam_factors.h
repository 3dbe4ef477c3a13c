// kernels/adam_factors.h - what one Adam step multiplies with, computed once in double. For the twins of
// kernels/adam_update.h and kernels/adam_update_all.h, whose argument structs share these fields.
#pragma once

#include <cmath>

#include "core/random.h"  // EMER_HOST_DEVICE
#include "kernels/adam_update.h"

namespace emer {

// Both forms are x - decay x - rate m / (sqrt(v) root + epsilon).
template <class Real>
struct AdamFactors {
  Real rate, root;
  Real b1, b2;
  Real c1, c2;  // 1 - b1, 1 - b2
  Real epsilon;
  Real decay;
  Real scale;  // of the gradient
};

template <class Real, class Arguments>
EMER_HOST_DEVICE AdamFactors<Real> adam_factors(const Arguments& a, double learning_rate, double correction1,
                                                double correction2, double gradient_scale) {
  const bool usual = a.form == AdamForm::kUsual;
  return {.rate = static_cast<Real>(learning_rate * (usual ? 1 : std::sqrt(correction2)) / correction1),
          .root = static_cast<Real>(usual ? 1 / std::sqrt(correction2) : 1),
          .b1 = static_cast<Real>(a.beta1),
          .b2 = static_cast<Real>(a.beta2),
          .c1 = static_cast<Real>(1 - a.beta1),
          .c2 = static_cast<Real>(1 - a.beta2),
          .epsilon = static_cast<Real>(a.epsilon),
          .decay = static_cast<Real>(learning_rate * a.weight_decay),
          .scale = static_cast<Real>(gradient_scale)};
}

template <class Real, class Arguments>
EMER_HOST_DEVICE AdamFactors<Real> adam_factors(const Arguments& a, const StepScalars& scalars) {
  return adam_factors<Real>(a, scalars.learning_rate, scalars.beta1_correction, scalars.beta2_correction,
                            scalars.gradient_scale);
}

template <class Real, class Arguments>
AdamFactors<Real> adam_factors(const Arguments& a) {
  const double t = static_cast<double>(a.t);
  return adam_factors<Real>(a, a.learning_rate, 1 - std::pow(a.beta1, t), 1 - std::pow(a.beta2, t),
                            a.gradient_scale);
}

// For arrays that learn at a rate of their own.
template <class Real>
EMER_HOST_DEVICE void scale_rate(AdamFactors<Real>& factors, Real scale) {
  factors.rate *= scale;
  factors.decay *= scale;
}

}  // namespace emer
