#include "losses/kl_ranking.h"

#include <cmath>

#include "core/check.h"
#include "kernels/gaussian_kl_rank.h"

namespace emer {

void check_options(const KlOptions& options) {
  if (!(options.margin >= 0) || !std::isfinite(options.margin))
    fail_usage("loss.kl.margin is {}; it must be a number from 0 up", options.margin);
  if (!(options.norm_rate >= 0) || !std::isfinite(options.norm_rate))
    fail_usage("loss.kl.norm_rate is {}; it must be a number from 0 up", options.norm_rate);
  if (!(options.temperature > 0) || !std::isfinite(options.temperature))
    fail_usage("loss.kl.temperature is {}; it must be above 0", options.temperature);
}

template <class Real>
void kl_ranking(Context& ctx, const KlOptions& options, const PairBatch<Real>& batch,
                const PairGradients<Real>& gradients, double gradient_weight,
                Parameter<Real>* log_temperature, double* value) {
  const double n = batch.n;
  const bool mean = options.reduction == Reduction::kMean, softmax = options.form == KlForm::kSoftmax;
  const double hinge_weight = !mean ? 1.0 : batch.n > 1 ? 1.0 / (n * (n - 1.0)) : 0.0;
  gaussian_kl_rank<Real>(
      ctx, {.n = batch.n,
            .d = batch.d,
            .music = {batch.music_mean, batch.music_log_variance, gradients.music_mean,
                      gradients.music_log_variance},
            .emotion = {batch.emotion_mean, batch.emotion_log_variance, gradients.emotion_mean,
                        gradients.emotion_log_variance},
            .ranking = softmax ? KlRanking::kSoftmax : KlRanking::kHinge,
            .margin = options.margin,
            .temperature = options.temperature,
            .log_temperature = log_temperature ? log_temperature->value.data() : nullptr,
            .d_log_temperature = log_temperature ? log_temperature->gradient.data() : nullptr,
            .pair_weight = softmax ? 0.5 / n : hinge_weight,
            .norm_weight = options.norm_rate * (options.norm_broadcast ? n : 1.0) / (mean ? n : 1.0),
            .gradient_weight = gradient_weight,
            .loss = value,
            .kernel = options.kernel});
}

template void kl_ranking(Context&, const KlOptions&, const PairBatch<float>&, const PairGradients<float>&,
                         double, Parameter<float>*, double*);
template void kl_ranking(Context&, const KlOptions&, const PairBatch<double>&, const PairGradients<double>&,
                         double, Parameter<double>*, double*);

}  // namespace emer
