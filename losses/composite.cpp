#include "losses/composite.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <exception>
#include <vector>

#include "core/check.h"
#include "core/collectives.h"
#include "core/random.h"
#include "core/tensor.h"
#include "losses/cca.h"
#include "losses/kl_ranking.h"

namespace emer {

namespace {

constexpr double kProjectionDeviation = 0.1;  // method.md section 2: truncated at 2 sigma

double truncated_normal(RandomStream& random) {
  for (;;) {
    const double draw = random.normal();
    if (std::abs(draw) <= 2.0) return draw;
  }
}

// What the KL term has started reads and writes the scratch of evaluate(), which goes when a term throws.
class StartedCalls {
 public:
  explicit StartedCalls(Context& ctx) : ctx_(ctx), before_(std::uncaught_exceptions()) {}
  ~StartedCalls() {
    if (std::uncaught_exceptions() == before_) return;
    try {
      wait_started(ctx_);
    } catch (const std::exception&) {  // of another rank that has given up: then it is over too
    }
  }
  StartedCalls(const StartedCalls&) = delete;
  StartedCalls& operator=(const StartedCalls&) = delete;

 private:
  Context& ctx_;
  const int before_;
};

}  // namespace

template <class Real>
struct CompositeLoss<Real>::Impl {
  LossOptions options;
  int d = 0;
  std::vector<Parameter<Real>> projections;      // two, or none in the exact form and without a CCA term
  std::vector<Parameter<Real>> log_temperature;  // one where learnt
  Tensor<double> values;                         // [2] on the device: cca, kl
  bool evaluated = false;

  bool has_cca() const { return options.lambda > 0.0; }
  bool has_kl() const { return options.lambda < 1.0; }
};

template <class Real>
CompositeLoss<Real>::CompositeLoss(Context& ctx, const LossOptions& options, int d)
    : impl_(std::make_unique<Impl>()) {
  if (!(options.lambda >= 0.0 && options.lambda <= 1.0))
    fail_usage("loss.lambda is {}; it must be from 0 (KL alone) to 1 (CCA alone)", options.lambda);
  EMER_CHECK(d >= 1, "composite loss: embedding width {} must be at least 1", d);
  check_options(options.cca, d);
  check_options(options.kl);
  impl_->options = options;
  impl_->d = d;
  impl_->values.resize(ctx, {2});
  if (impl_->has_cca() && options.cca.form == CcaForm::kProjection)
    for (const char* name : {"cca.projection1", "cca.projection2"})
      impl_->projections.emplace_back(ctx, name, Shape{d, d}, true);
  if (impl_->has_kl() && options.kl.form == KlForm::kSoftmax && options.kl.learn_temperature)
    impl_->log_temperature.emplace_back(ctx, "kl.log_temperature", Shape{1}, false);
}

template <class Real>
CompositeLoss<Real>::~CompositeLoss() = default;

template <class Real>
void CompositeLoss<Real>::initialise(Context& ctx, std::uint64_t seed, std::uint64_t first_stream) {
  std::uint64_t index = 0;
  for (Parameter<Real>& projection : impl_->projections) {
    RandomStream random(seed, streams::kInitialise + first_stream + index++);
    std::vector<Real> values(projection.value.size());
    for (Real& v : values) v = static_cast<Real>(kProjectionDeviation * truncated_normal(random));
    projection.value.from_host(ctx, values);
  }
  for (Parameter<Real>& temperature : impl_->log_temperature)
    temperature.value.from_host(ctx, std::array{static_cast<Real>(std::log(impl_->options.kl.temperature))});
}

template <class Real>
ParameterList<Real> CompositeLoss<Real>::parameters() {
  ParameterList<Real> list;
  for (Parameter<Real>& p : impl_->projections) list.push_back(&p);
  for (Parameter<Real>& p : impl_->log_temperature) list.push_back(&p);
  return list;
}

template <class Real>
void CompositeLoss<Real>::evaluate(Context& ctx, const PairBatch<Real>& batch,
                                   const PairGradients<Real>& gradients) {
  Impl& s = *impl_;
  EMER_CHECK(batch.n >= 1 || (batch.n == 0 && batch.total >= 1), "composite loss: empty batch");
  EMER_CHECK(batch.d == s.d, "composite loss: heads are {} wide, the loss was made for {}", batch.d, s.d);
  const double lambda = s.options.lambda;
  const std::size_t bytes =
      static_cast<std::size_t>(batch.n) * static_cast<std::size_t>(batch.d) * sizeof(Real);
  s.values.zero(ctx);
  const ArenaScope scope(ctx);
  const StartedCalls started(ctx);
  // Gathered while the CCA term is computed.
  const KlBatch<Real> gaussians = s.has_kl() ? start_kl_batch(ctx, s.options.kl, batch) : KlBatch<Real>{};
  // The gradient of a term that is off is zero where the caller asked for it.
  const auto clear = [&](Real* gradient) {
    if (gradient) fill_zero(ctx, gradient, bytes);
  };
  if (s.has_cca()) {
    cca(ctx, s.options.cca, batch, gradients, lambda, s.projections.data(), s.values.data());
    for (const Parameter<Real>& p : s.projections) p.gradient_is_complete();
  } else {
    clear(gradients.music_embedding);
    clear(gradients.emotion_embedding);
  }
  if (s.has_kl()) {
    kl_ranking(ctx, s.options.kl, gaussians, gradients, 1.0 - lambda, s.log_temperature.data(),
               s.values.data() + 1);
    for (const Parameter<Real>& p : s.log_temperature) p.gradient_is_complete();
  } else {
    clear(gradients.music_mean);
    clear(gradients.music_log_variance);
    clear(gradients.emotion_mean);
    clear(gradients.emotion_log_variance);
  }
  s.evaluated = true;
}

template <class Real>
LossValues CompositeLoss<Real>::read_values(Context& ctx) {
  EMER_CHECK(impl_->evaluated, "composite loss: read_values() before evaluate()");
  const std::vector<double> values = impl_->values.to_host(ctx);
  const double lambda = impl_->options.lambda;
  return {.loss = lambda * values[0] + (1.0 - lambda) * values[1], .cca = values[0], .kl = values[1]};
}

template <class Real>
const double* CompositeLoss<Real>::device_values() const {
  return impl_->values.data();
}

template <class Real>
std::string CompositeLoss<Real>::warning(int n) const {
  if (!impl_->has_cca() || impl_->options.cca.form != CcaForm::kExact || n > impl_->d) return {};
  return fmt::format(
      "exact CCA with {} pairs in a batch and embeddings {} wide: all sample correlations tend to 1 and the "
      "gradient "
      "says little; use batches well above {} pairs, a narrower embedding, or loss.cca.form: projection",
      n, impl_->d, impl_->d);
}

template class CompositeLoss<float>;
template class CompositeLoss<double>;

}  // namespace emer
