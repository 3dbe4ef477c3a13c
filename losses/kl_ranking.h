// losses/kl_ranking.h - the KL term of the composite loss: options and reductions over
// kernels/gaussian_kl_rank.h.
//
// Weights of the two parts of L_kl (method.md 3.1 and 6), both directions summed unless said:
//   hinge    sum: 1,   mean: 1 / (n(n-1))   per hinge; 0 for n = 1, where there is none
//   softmax  1 / (2n): mean over rows, both directions averaged, whatever the reduction
//   |S_ii|   norm_rate * (n where norm_broadcast, else 1) * (1/n for mean, else 1), for hinge and softmax
//
// On several ranks every rank works its own rows of A and B against all columns: it gathers the means and log variances
// of the batch, and sends the gradients of the others' samples home. Weights are those of the global n. Exchanged are
// all-gathers and reduce-scatters of four arrays [n, d] (twice the former in pieces with softmaxes) and an all-reduce of
// the value. In one piece, a rank holds the batch's arrays; in more, two pieces of them, and one is worked while the
// next comes and the gradients of the one before go home (kl_columns.h).
#pragma once

#include <vector>

#include "core/context.h"
#include "core/parameter.h"
#include "core/shard.h"
#include "losses/composite.h"
#include "losses/kl_columns.h"

namespace emer {

void check_options(const KlOptions& options);  // Error(kUsage) on a value outside its range

// The Gaussians of the global batch, on their way.
template <class Real>
struct KlBatch {
  int n = 0, d = 0;  // pairs of all ranks
  Shard own;
  KlArrays<const Real> heads{};      // of the rank's own pairs
  std::vector<KlColumns> columns{};  // in pieces
  KlArrays<const Real> first{};      // the first piece
  KlArrays<Real> buffer{};           // its place; on one rank the heads are it
};

// Starts to gather the first piece into ctx's scratch, to be read after wait_started(); the caller holds the ArenaScope.
template <class Real>
KlBatch<Real> start_kl_batch(Context& ctx, const KlOptions& options, const PairBatch<Real>& batch);

// Waits for `batch`. Overwrites *value (device) with L_kl, the same on every rank, and the four mean and log_variance
// gradients of the rank's own pairs with gradient_weight times its gradients; accumulates the share of the rank's own
// rows into log_temperature's gradient. log_temperature: null unless learnt.
template <class Real>
void kl_ranking(Context& ctx, const KlOptions& options, const KlBatch<Real>& batch,
                const PairGradients<Real>& gradients, double gradient_weight,
                Parameter<Real>* log_temperature, double* value);

}  // namespace emer
