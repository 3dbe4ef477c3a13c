// layers/initialise.h - starting values of weights, drawn on the host in double from one random stream per
// array.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parameter.h"
#include "core/random.h"

namespace emer {

enum class Initial { kZero, kGlorotUniform, kOrthogonal };

// A parameter and what it starts from.
template <class Real>
struct InitialisedParameter {
  Parameter<Real> parameter;
  Initial initial = Initial::kZero;
};

// kGlorotUniform, for a weight [out, in]: uniform in +-sqrt(6 / (in + out)) (Glorot and Bengio, AISTATS
// 2010); for a convolution's [out, rows, columns, in] both widths count times rows * columns, as in Keras. The three gates of a GRU share one array, whose `out` is 3H, as in Keras. kOrthogonal, for [rows,
// columns] with rows >= columns: columns orthonormal, uniformly distributed: Q of the QR factorisation of a
// normal matrix with R's diagonal made positive (Saxe et al., 2013; Mezzadri, 2007).
template <class Real>
void initialise(Context& ctx, Initial initial, Parameter<Real>& parameter, RandomStream random);

}  // namespace emer
