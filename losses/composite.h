// losses/composite.h - L = lambda * L_cca + (1 - lambda) * L_kl, value and gradient in one call.
// lambda = 0 skips the CCA term altogether, lambda = 1 the KL term (method.md section 3).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/context.h"
#include "core/parameter.h"
#include "kernels/gaussian_kl_rank.h"

namespace emer {

enum class CcaForm { kProjection, kExact };
enum class CcaCorrelation { kNuclear, kRowNorm };  // projection form only
enum class CcaCentring { kFeature, kSample };      // textbook | released (B3)
enum class CcaPenalty { kSeparate, kSummed };      // textbook | released (B5); projection form only
enum class CcaSolver { kEigen, kPolar };
enum class KlForm { kHinge, kSoftmax };
enum class Reduction { kSum, kMean };

struct CcaOptions {
  CcaForm form = CcaForm::kProjection;
  CcaCorrelation correlation = CcaCorrelation::kNuclear;
  CcaCentring centring = CcaCentring::kFeature;
  CcaPenalty penalty = CcaPenalty::kSeparate;
  CcaSolver solver = CcaSolver::kPolar;
  double ridge = 1e-4;                    // r in S + r I, > 0
  Reduction reduction = Reduction::kSum;  // kMean divides L_cca by d
  int directions = 0;  // exact form: the k largest correlations only; 0 = all (kEigen when > 0)
};

struct KlOptions {
  KlForm form = KlForm::kHinge;
  double margin = 1.0;                    // nats, hinge
  double norm_rate = 1e-3;                // weight of sum |S_ii|
  bool norm_broadcast = false;            // released (B7): the norm term counted n times
  Reduction reduction = Reduction::kSum;  // kMean: each direction's hinge sum / (n(n-1)), its norm part / n
  // kSoftmax: mean over rows of -log softmax_j(-S[i,j] / temperature), both directions averaged, plus the
  // norm term. The temperature is exp(parameter "kl.log_temperature") where learnt, else this constant.
  double temperature = 1.0;
  bool learn_temperature = false;
  KlKernel kernel = KlKernel::kAuto;  // CUDA only; the same values up to rounding
  // Several ranks: how many pieces of the batch's Gaussians a rank gathers one after the other; 0 = as few as need no
  // more than about 8 GiB. The same values up to rounding.
  int pieces = 0;
};

struct LossOptions {
  double lambda = 0.5;  // [0, 1]
  CcaOptions cca;
  KlOptions kl;
};

// The six head outputs of a batch of matching pairs: row i of music belongs to row i of emotion.
// Pointers that the options do not need may be null (embedding when lambda = 0; mean, log_variance when
// lambda = 1).
template <class Real>
struct PairBatch {
  int n = 0;  // pairs on this rank; of one rank >= 2 where the CCA term is on
  int d = 0;
  const Real* music_embedding = nullptr;  // in, device [n, d] row-major, all six
  const Real* music_mean = nullptr;
  const Real* music_log_variance = nullptr;
  const Real* emotion_embedding = nullptr;
  const Real* emotion_mean = nullptr;
  const Real* emotion_log_variance = nullptr;
  // Pairs of all ranks, 0 = n: the global batch, of which this rank's are shard_of(total, ranks, rank) of
  // core/shard.h; so n may be 0 on some ranks.
  int total = 0;
};

// dL/d(each head), device [n, d], OVERWRITTEN; null where the input is null.
template <class Real>
struct PairGradients {
  Real* music_embedding = nullptr;
  Real* music_mean = nullptr;
  Real* music_log_variance = nullptr;
  Real* emotion_embedding = nullptr;
  Real* emotion_mean = nullptr;
  Real* emotion_log_variance = nullptr;
};

struct LossValues {  // unweighted parts; loss = lambda*cca + (1-lambda)*kl; a part that is off is 0
  double loss = 0.0;
  double cca = 0.0;
  double kl = 0.0;
};

// Batch: the samples of all ranks of ctx.communicator() form one global batch.
// NaN in an input gives a NaN loss. Instantiated for float and double.
template <class Real>
class CompositeLoss {
 public:
  CompositeLoss(Context& ctx, const LossOptions& options, int d);
  ~CompositeLoss();

  // cca.projection1, cca.projection2 [d, d] (projection form with lambda > 0), kl.log_temperature [1] (learnt
  // softmax temperature). Truncated normal, sigma 0.1; the temperature from options.
  void initialise(Context& ctx, std::uint64_t seed, std::uint64_t first_stream);
  ParameterList<Real> parameters();

  // Overwrites `gradients`, ACCUMULATES into the parameters' gradients. The values arrive in device memory
  // with the rest of the step; read_values() waits for them.
  void evaluate(Context& ctx, const PairBatch<Real>& batch, const PairGradients<Real>& gradients);
  LossValues read_values(Context& ctx);
  const double* device_values() const;  // device [2]: cca, kl of the last evaluate()

  // What to tell the user once about batches of n pairs, or nothing: exact CCA with n <= d.
  std::string warning(int n) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace emer
