#include "losses/kl_ranking.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/collectives.h"
#include "kernels/add_into.h"
#include "kernels/gaussian_kl_rank.h"

namespace emer {

void check_options(const KlOptions& options) {
  if (!(options.margin >= 0) || !std::isfinite(options.margin))
    fail_usage("loss.kl.margin is {}; it must be a number from 0 up", options.margin);
  if (!(options.norm_rate >= 0) || !std::isfinite(options.norm_rate))
    fail_usage("loss.kl.norm_rate is {}; it must be a number from 0 up", options.norm_rate);
  if (!(options.temperature > 0) || !std::isfinite(options.temperature))
    fail_usage("loss.kl.temperature is {}; it must be above 0", options.temperature);
  if (options.pieces < 0) fail_usage("distributed.kl_pieces is {}; it must be from 0 up", options.pieces);
}

namespace {

// Of one rank's device memory, for the batch's columns, their gradients and what gaussian_kl_rank makes of them.
constexpr double kMostBytes = 8.0 * (1 << 30);
constexpr double kArraysOfColumns = 16.0;  // [n, d], about

int pieces_of(const KlOptions& options, int n, int d, std::size_t bytes, std::int64_t block) {
  const double needed = kArraysOfColumns * static_cast<double>(bytes) * n * d;
  const double pieces = options.pieces > 0 ? options.pieces : std::ceil(needed / kMostBytes);
  return static_cast<int>(std::clamp(pieces, 1.0, static_cast<double>(block)));
}

template <class Real>
GaussianSide<Real> side_of(const KlArrays<const Real>& in, const KlArrays<Real>& out, std::size_t first) {
  return {in[first], in[first + 1], out[first], out[first + 1]};
}
template <class Real>
KlArrays<const Real> constant(const KlArrays<Real>& a) {
  return {a[0], a[1], a[2], a[3]};
}

// Where the gradients of the rank's own samples come in.
template <class Real>
KlArrays<Real> take_home(Context& ctx, const KlBatch<Real>& batch) {
  KlArrays<Real> home;
  for (Real*& array : home)
    array = ctx.scratch<Real>(static_cast<std::size_t>(batch.own.block) * static_cast<std::size_t>(batch.d));
  return home;
}

// The whole batch at a time: the rank's rows are columns as well.
template <class Real>
void gathered(Context& ctx, GaussianKlRank<Real> args, const KlBatch<Real>& batch,
              const KlArrays<Real>& gradients) {
  const bool one = ranks_of(ctx) == 1;
  const KlColumns& columns = batch.columns.front();
  const KlArrays<Real> all = one ? gradients : take_columns<Real>(ctx, columns, batch.d);
  args.n = batch.n;
  args.first_row = static_cast<int>(batch.own.first);
  args.music = side_of(batch.first, all, 0);
  args.emotion = side_of(batch.first, all, 2);
  wait_started(ctx);
  gaussian_kl_rank<Real>(ctx, args);
  if (one) return;
  start_all_reduce_sum(ctx, args.loss, 1);
  const bool full =
      batch.own.count == batch.own.block;  // else what comes home has rows that there are none for
  const KlArrays<Real> home = full ? gradients : take_home<Real>(ctx, batch);
  start_send_home(ctx, all, columns, batch.d, home);
  wait_started(ctx);
  if (full) return;
  const std::size_t cells = static_cast<std::size_t>(batch.own.count) * static_cast<std::size_t>(batch.d);
  for (std::size_t a = 0; a < home.size(); ++a)
    copy_on_device(ctx, gradients[a], home[a], cells * sizeof(Real));
}

// A piece at a time: while one is worked, the next comes and the gradients of the one before go home.
template <class Real>
void in_pieces(Context& ctx, GaussianKlRank<Real> args, const KlBatch<Real>& batch,
               const KlArrays<Real>& gradients) {
  const std::vector<KlColumns>& pieces = batch.columns;
  const KlArrays<Real> in[2] = {batch.buffer, take_columns<Real>(ctx, pieces.front(), batch.d)};
  const KlArrays<Real> out[2] = {take_columns<Real>(ctx, pieces.front(), batch.d),
                                 take_columns<Real>(ctx, pieces.front(), batch.d)};
  const KlArrays<Real> home = take_home<Real>(ctx, batch);
  const bool softmax = args.ranking == KlRanking::kSoftmax;
  if (batch.own.count > 0) {
    args.piece.music = side_of(batch.heads, gradients, 0);
    args.piece.emotion = side_of(batch.heads, gradients, 2);
    if (softmax) args.piece.state = ctx.scratch<double>(6 * static_cast<std::size_t>(batch.own.count));
  }
  const std::size_t count = pieces.size(), visits = softmax ? 2 * count : count;
  const auto send_home = [&](std::size_t visit) {
    if (visit + count >= visits) start_send_home(ctx, out[visit % 2], pieces[visit % count], batch.d, home);
  };
  wait_started(ctx);
  for (std::size_t visit = 0; visit < visits; ++visit) {
    const KlColumns& columns = pieces[visit % count];
    if (visit > 0) send_home(visit - 1);
    if (visit + 1 < visits)
      start_gather(ctx, batch.heads, pieces[(visit + 1) % count], batch.d, in[(visit + 1) % 2]);
    args.n = static_cast<int>(columns.n);
    args.first_row = static_cast<int>(columns.own_column);
    args.music = side_of(constant(in[visit % 2]), out[visit % 2], 0);
    args.emotion = side_of(constant(in[visit % 2]), out[visit % 2], 2);
    args.piece.own_begin = static_cast<int>(columns.own_begin);
    args.piece.own_end = static_cast<int>(columns.own_end);
    args.piece.first = visit % count == 0;
    args.piece.pass = visit + count < visits ? KlPass::kScore : KlPass::kPull;
    gaussian_kl_rank<Real>(ctx, args);
    wait_started(ctx);
  }
  send_home(visits - 1);
  start_all_reduce_sum(ctx, args.loss, 1);
  wait_started(ctx);
  for (std::size_t a = 0; a < home.size(); ++a)
    add_into<Real>(ctx, {.count = batch.own.count * batch.d, .x = home[a], .y = gradients[a]});
}

}  // namespace

template <class Real>
KlBatch<Real> start_kl_batch(Context& ctx, const KlOptions& options, const PairBatch<Real>& batch) {
  const int total = batch.total == 0 ? batch.n : batch.total, ranks = ranks_of(ctx);
  KlBatch<Real> all{
      .n = total,
      .d = batch.d,
      .own = shard_of(ctx, total),
      .heads = {batch.music_mean, batch.music_log_variance, batch.emotion_mean, batch.emotion_log_variance}};
  EMER_CHECK(batch.n == all.own.count, "kl ranking: {} of {} pairs on rank {} of {}, not {}", batch.n, total,
             rank_of(ctx), ranks, all.own.count);
  all.first = all.heads;
  if (ranks == 1) {
    all.columns = kl_columns(all.own, 1, 0, 1);
    return all;
  }
  for (const Real* head : all.heads)
    EMER_CHECK(head || batch.n == 0, "kl ranking: null mean or log_variance");
  const int pieces = pieces_of(options, total, batch.d, sizeof(Real), all.own.block);
  all.columns = kl_columns(all.own, ranks, rank_of(ctx), pieces);
  all.buffer = take_columns<Real>(ctx, all.columns.front(), batch.d);
  all.first = constant(all.buffer);
  start_gather(ctx, all.heads, all.columns.front(), batch.d, all.buffer);
  return all;
}

template <class Real>
void kl_ranking(Context& ctx, const KlOptions& options, const KlBatch<Real>& batch,
                const PairGradients<Real>& gradients, double gradient_weight,
                Parameter<Real>* log_temperature, double* value) {
  const ArenaScope scope(ctx);
  const double n = batch.n;
  const bool mean = options.reduction == Reduction::kMean, softmax = options.form == KlForm::kSoftmax;
  const double hinge_weight = !mean ? 1.0 : batch.n > 1 ? 1.0 / (n * (n - 1.0)) : 0.0;
  const GaussianKlRank<Real> args{
      .d = batch.d,
      .rows = static_cast<int>(batch.own.count),
      .ranking = softmax ? KlRanking::kSoftmax : KlRanking::kHinge,
      .margin = options.margin,
      .temperature = options.temperature,
      .log_temperature = log_temperature ? log_temperature->value.data() : nullptr,
      .d_log_temperature = log_temperature ? log_temperature->gradient.data() : nullptr,
      .pair_weight = softmax ? 0.5 / n : hinge_weight,
      .norm_weight = options.norm_rate * (options.norm_broadcast ? n : 1.0) / (mean ? n : 1.0),
      .gradient_weight = gradient_weight,
      .loss = value,
      .kernel = options.kernel};
  const KlArrays<Real> home{gradients.music_mean, gradients.music_log_variance, gradients.emotion_mean,
                            gradients.emotion_log_variance};
  batch.columns.size() == 1 ? gathered(ctx, args, batch, home) : in_pieces(ctx, args, batch, home);
}

template KlBatch<float> start_kl_batch(Context&, const KlOptions&, const PairBatch<float>&);
template KlBatch<double> start_kl_batch(Context&, const KlOptions&, const PairBatch<double>&);
template void kl_ranking(Context&, const KlOptions&, const KlBatch<float>&, const PairGradients<float>&,
                         double, Parameter<float>*, double*);
template void kl_ranking(Context&, const KlOptions&, const KlBatch<double>&, const PairGradients<double>&,
                         double, Parameter<double>*, double*);

}  // namespace emer
