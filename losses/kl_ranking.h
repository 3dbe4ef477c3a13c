// losses/kl_ranking.h - the KL term of the composite loss: options and reductions over
// kernels/gaussian_kl_rank.h.
//
// Weights of the two parts of L_kl (method.md 3.1 and 6), both directions summed unless said:
//   hinge    sum: 1,   mean: 1 / (n(n-1))   per hinge; 0 for n = 1, where there is none
//   softmax  1 / (2n): mean over rows, both directions averaged, whatever the reduction
//   |S_ii|   norm_rate * (n where norm_broadcast, else 1) * (1/n for mean, else 1), for hinge and softmax
//
// On several ranks every rank gathers the means and log variances of the whole batch, works its own rows of A and B
// against all columns, and sends the gradients of the others' samples home: an all-gather and a reduce-scatter of four
// arrays [n, d], an all-reduce of the value. Weights and margins are those of the global n.
#pragma once

#include "core/context.h"
#include "core/parameter.h"
#include "core/shard.h"
#include "losses/composite.h"

namespace emer {

void check_options(const KlOptions& options);  // Error(kUsage) on a value outside its range

// The Gaussians of the global batch, and which of its pairs are this rank's.
template <class Real>
struct KlBatch {
  int n = 0, d = 0;  // pairs of all ranks
  Shard own;
  const Real* music_mean = nullptr;  // [n, d] row-major, device, all four
  const Real* music_log_variance = nullptr;
  const Real* emotion_mean = nullptr;
  const Real* emotion_log_variance = nullptr;
};

// One rank: the heads as they are. Several: starts to gather them into ctx's scratch, to be read after wait_started();
// the caller holds the ArenaScope.
template <class Real>
KlBatch<Real> start_kl_batch(Context& ctx, const PairBatch<Real>& batch);

// Waits for `batch`. Overwrites *value (device) with L_kl, the same on every rank, and the four mean and log_variance
// gradients of the rank's own pairs with gradient_weight times its gradients; accumulates the share of the rank's own
// rows into log_temperature's gradient. log_temperature: null unless learnt.
template <class Real>
void kl_ranking(Context& ctx, const KlOptions& options, const KlBatch<Real>& batch,
                const PairGradients<Real>& gradients, double gradient_weight,
                Parameter<Real>* log_temperature, double* value);

}  // namespace emer
