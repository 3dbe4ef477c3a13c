#include "losses/kl_ranking.h"

#include <cmath>

#include "core/check.h"
#include "core/collectives.h"
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

namespace {

std::size_t cells(std::int64_t rows, int d) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(d);
}

// Space for `block` rows of every rank; what the last ranks lack is carried along at the end and never read.
template <class Real>
Real* take_global(Context& ctx, const Shard& own, int d) {
  return ctx.scratch<Real>(cells(own.block * ranks_of(ctx), d));
}

template <class Real>
const Real* start_gather(Context& ctx, const Real* head, const Shard& own, int d) {
  Real* all = take_global<Real>(ctx, own, d);
  Real* place = all + cells(own.block * rank_of(ctx), d);
  copy_on_device(ctx, place, head, cells(own.count, d) * sizeof(Real));
  start_all_gather(ctx, place, all, cells(own.block, d));
  return all;
}

// The gradients of all samples that this rank's rows give, and the way home.
template <class Real>
class GlobalGradients {
 public:
  GlobalGradients(Context& ctx, const Shard& own, int d, const PairGradients<Real>& home)
      : ctx_(&ctx),
        own_(own),
        d_(d),
        home_{home.music_mean, home.music_log_variance, home.emotion_mean, home.emotion_log_variance} {
    for (int a = 0; a < 4; ++a) all_[a] = ranks_of(ctx) == 1 ? home_[a] : take_global<Real>(ctx, own, d);
  }
  Real* operator[](int array) const { return all_[array]; }

  void send_home() {
    if (ranks_of(*ctx_) == 1) return;
    const std::size_t share = cells(own_.block, d_),
                      offset = share * static_cast<std::size_t>(rank_of(*ctx_));
    for (Real* all : all_) start_reduce_scatter_sum(*ctx_, all, all + offset, share);
    wait_started(*ctx_);
    for (int a = 0; a < 4; ++a)
      copy_on_device(*ctx_, home_[a], all_[a] + offset, cells(own_.count, d_) * sizeof(Real));
  }

 private:
  Context* ctx_;
  Shard own_;
  int d_;
  Real* home_[4];
  Real* all_[4];
};

}  // namespace

template <class Real>
KlBatch<Real> start_kl_batch(Context& ctx, const PairBatch<Real>& batch) {
  const int total = batch.total == 0 ? batch.n : batch.total;
  KlBatch<Real> all{.n = total,
                    .d = batch.d,
                    .own = shard_of(ctx, total),
                    .music_mean = batch.music_mean,
                    .music_log_variance = batch.music_log_variance,
                    .emotion_mean = batch.emotion_mean,
                    .emotion_log_variance = batch.emotion_log_variance};
  EMER_CHECK(batch.n == all.own.count, "kl ranking: {} of {} pairs on rank {} of {}, not {}", batch.n, total,
             rank_of(ctx), ranks_of(ctx), all.own.count);
  if (ranks_of(ctx) > 1)
    for (const Real** head :
         {&all.music_mean, &all.music_log_variance, &all.emotion_mean, &all.emotion_log_variance}) {
      EMER_CHECK(*head || batch.n == 0, "kl ranking: null mean or log_variance");
      *head = start_gather(ctx, *head, all.own, batch.d);
    }
  return all;
}

template <class Real>
void kl_ranking(Context& ctx, const KlOptions& options, const KlBatch<Real>& batch,
                const PairGradients<Real>& gradients, double gradient_weight,
                Parameter<Real>* log_temperature, double* value) {
  const ArenaScope scope(ctx);
  GlobalGradients<Real> all(ctx, batch.own, batch.d, gradients);
  wait_started(ctx);
  const double n = batch.n;
  const bool mean = options.reduction == Reduction::kMean, softmax = options.form == KlForm::kSoftmax;
  const double hinge_weight = !mean ? 1.0 : batch.n > 1 ? 1.0 / (n * (n - 1.0)) : 0.0;
  gaussian_kl_rank<Real>(
      ctx, {.n = batch.n,
            .d = batch.d,
            .first_row = static_cast<int>(batch.own.first),
            .rows = static_cast<int>(batch.own.count),
            .music = {batch.music_mean, batch.music_log_variance, all[0], all[1]},
            .emotion = {batch.emotion_mean, batch.emotion_log_variance, all[2], all[3]},
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
  start_all_reduce_sum(ctx, value, 1);
  all.send_home();
}

template KlBatch<float> start_kl_batch(Context&, const PairBatch<float>&);
template KlBatch<double> start_kl_batch(Context&, const PairBatch<double>&);
template void kl_ranking(Context&, const KlOptions&, const KlBatch<float>&, const PairGradients<float>&,
                         double, Parameter<float>*, double*);
template void kl_ranking(Context&, const KlOptions&, const KlBatch<double>&, const PairGradients<double>&,
                         double, Parameter<double>*, double*);

}  // namespace emer
