#include "engine/step.h"

#include <cmath>

#include "kernels/sum_squares.h"

namespace emer {

namespace {

template <class Real>
void zero_gradients(Context& ctx, DualEncoder<Real>& model) {
  for (Parameter<Real>* p : model.parameters())
    if (p->gradient.size() > 0) p->gradient.zero(ctx);  // else frozen
}

}  // namespace

template <class Real>
void TrainingStep<Real>::forward(Context& ctx, DualEncoder<Real>& model, int rows, DropoutKey dropout) {
  dropout.view = 0;
  const HeadOutputs<Real> music = model.music().forward(ctx, batch_.music(), dropout);
  dropout.view = 1;
  const HeadOutputs<Real> emotion = model.emotion().forward(ctx, batch_.emotion(), dropout);

  const std::int64_t n = rows;
  const std::int64_t d = model.embedding_dim();
  const bool cca = options_.lambda > 0.0, kl = options_.lambda < 1.0;
  const auto buffer = [&](int index, bool wanted) -> Real* {
    if (!wanted) return nullptr;
    gradients_[index].resize(ctx, {n, d});
    return gradients_[index].data();
  };
  heads_ = {.music_embedding = buffer(0, cca),
            .music_mean = buffer(1, kl),
            .music_log_variance = buffer(2, kl),
            .emotion_embedding = buffer(3, cca),
            .emotion_mean = buffer(4, kl),
            .emotion_log_variance = buffer(5, kl)};
  const PairBatch<Real> pairs{.n = static_cast<int>(n),
                              .d = static_cast<int>(d),
                              .music_embedding = cca ? music.embedding : nullptr,
                              .music_mean = kl ? music.mean : nullptr,
                              .music_log_variance = kl ? music.log_variance : nullptr,
                              .emotion_embedding = cca ? emotion.embedding : nullptr,
                              .emotion_mean = kl ? emotion.mean : nullptr,
                              .emotion_log_variance = kl ? emotion.log_variance : nullptr};
  model.loss().evaluate(ctx, pairs, heads_);
}

template <class Real>
void TrainingStep<Real>::backward(Context& ctx, DualEncoder<Real>& model) {
  model.music().backward(ctx, {heads_.music_embedding, heads_.music_mean, heads_.music_log_variance});
  model.emotion().backward(ctx, {heads_.emotion_embedding, heads_.emotion_mean, heads_.emotion_log_variance});
}

template <class Real>
LossValues TrainingStep<Real>::forward_backward(Context& ctx, DualEncoder<Real>& model,
                                                const Dataset& dataset, std::span<const std::int64_t> rows,
                                                DropoutKey dropout) {
  zero_gradients(ctx, model);
  batch_.gather(ctx, dataset, rows, layout_of(model.music().config()), layout_of(model.emotion().config()),
                stretch(dropout));
  forward(ctx, model, static_cast<int>(rows.size()), dropout);
  backward(ctx, model);
  return model.loss().read_values(ctx);
}

template <class Real>
LossValues TrainingStep<Real>::loss(Context& ctx, DualEncoder<Real>& model, const Dataset& dataset,
                                    std::span<const std::int64_t> rows) {
  zero_gradients(ctx, model);
  batch_.gather(ctx, dataset, rows, layout_of(model.music().config()), layout_of(model.emotion().config()));
  forward(ctx, model, static_cast<int>(rows.size()), DropoutKey{});
  const LossValues values = model.loss().read_values(ctx);
  for (Parameter<Real>* p : model.loss().parameters()) p->gradient.zero(ctx);
  return values;
}

template <class Real>
void TrainingStep<Real>::accumulate_gradients(Context& ctx, DualEncoder<Real>& model,
                                              const ResidentData& data, const DeviceRows& rows,
                                              DropoutKey dropout) {
  batch_.gather(ctx, data, rows, layout_of(model.music().config()), layout_of(model.emotion().config()),
                stretch(dropout));
  forward(ctx, model, rows.n, dropout);
  backward(ctx, model);
}

template <class Real>
double gradient_norm(Context& ctx, const ParameterList<Real>& parameters) {
  ArenaScope scope(ctx);
  double* total = ctx.scratch<double>(1);
  fill_zero(ctx, total, sizeof(double));
  for (const Parameter<Real>* p : parameters)
    sum_squares<Real>(
        ctx,
        {.count = static_cast<std::int64_t>(p->gradient.size()), .x = p->gradient.data(), .total = total});
  double squares = 0.0;
  copy_to_host(ctx, &squares, total, sizeof(double));
  return std::sqrt(squares);
}

template class TrainingStep<float>;
template class TrainingStep<double>;
template double gradient_norm(Context&, const ParameterList<float>&);
template double gradient_norm(Context&, const ParameterList<double>&);

}  // namespace emer
