// losses/kl_ranking.h - the KL term of the composite loss: options and reductions over
// kernels/gaussian_kl_rank.h.
//
// Weights of the two parts of L_kl (method.md 3.1 and 6), both directions summed unless said:
//   hinge    sum: 1,   mean: 1 / (n(n-1))   per hinge; 0 for n = 1, where there is none
//   softmax  1 / (2n): mean over rows, both directions averaged, whatever the reduction
//   |S_ii|   norm_rate * (n where norm_broadcast, else 1) * (1/n for mean, else 1), for hinge and softmax
#pragma once

#include "core/context.h"
#include "core/parameter.h"
#include "losses/composite.h"

namespace emer {

void check_options(const KlOptions& options);  // Error(kUsage) on a value outside its range

// Overwrites *value (device) with L_kl and the four mean and log_variance gradients with gradient_weight
// times its gradients; accumulates into log_temperature's gradient. log_temperature: null unless learnt.
template <class Real>
void kl_ranking(Context& ctx, const KlOptions& options, const PairBatch<Real>& batch,
                const PairGradients<Real>& gradients, double gradient_weight,
                Parameter<Real>* log_temperature, double* value);

}  // namespace emer
