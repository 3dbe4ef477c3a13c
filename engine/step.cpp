#include "engine/step.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "core/collectives.h"
#include "kernels/sum_squares.h"

namespace emer {

namespace {

template <class Real>
void zero_gradients(Context& ctx, DualEncoder<Real>& model) {
  for (Parameter<Real>* p : model.parameters())
    if (p->gradient.size() > 0) p->gradient.zero(ctx);  // else frozen
}

// While it lives nobody is told that gradients are complete: another chunk adds to them.
template <class Real>
class Incomplete {
 public:
  explicit Incomplete(ParameterList<Real> parameters) : parameters_(std::move(parameters)) {
    for (Parameter<Real>* p : parameters_) held_.push_back(std::exchange(p->on_gradient_complete, {}));
  }
  ~Incomplete() {
    for (std::size_t k = 0; k < parameters_.size(); ++k)
      parameters_[k]->on_gradient_complete = std::move(held_[k]);
  }
  Incomplete(const Incomplete&) = delete;
  Incomplete& operator=(const Incomplete&) = delete;

 private:
  ParameterList<Real> parameters_;
  std::vector<std::function<void()>> held_;
};

// The six heads' pointers in one order.
template <class Real>
std::array<const Real*, 6> pointers(const PairBatch<Real>& b) {
  return {b.music_embedding,   b.music_mean,   b.music_log_variance,
          b.emotion_embedding, b.emotion_mean, b.emotion_log_variance};
}

}  // namespace

template <class Real>
PairBatch<Real> TrainingStep<Real>::encode(const Pass& pass, std::int64_t first, int count, bool keep) {
  pass.gather(first, count);
  DropoutKey key = pass.dropout;
  key.keep = keep;
  key.first_row = first;
  key.view = 0;
  const HeadOutputs<Real> music = pass.model.music().forward(pass.ctx, batch_.music(), key);
  key.view = 1;
  const HeadOutputs<Real> emotion = pass.model.emotion().forward(pass.ctx, batch_.emotion(), key);
  const bool cca = options_.lambda > 0.0, kl = options_.lambda < 1.0;
  return {.n = count,
          .d = pass.model.embedding_dim(),
          .music_embedding = cca ? music.embedding : nullptr,
          .music_mean = kl ? music.mean : nullptr,
          .music_log_variance = kl ? music.log_variance : nullptr,
          .emotion_embedding = cca ? emotion.embedding : nullptr,
          .emotion_mean = kl ? emotion.mean : nullptr,
          .emotion_log_variance = kl ? emotion.log_variance : nullptr,
          .total = pass.total};
}

template <class Real>
void TrainingStep<Real>::evaluate(const Pass& pass, PairBatch<Real> heads) {
  const auto head = pointers(heads);
  const auto buffer = [&](std::size_t k) -> Real* {
    if (head[k] == nullptr) return nullptr;
    gradients_[k].resize(pass.ctx, {std::max(heads.n, 1), heads.d});
    return gradients_[k].data();
  };
  pass.model.loss().evaluate(pass.ctx, heads,
                             {.music_embedding = buffer(0),
                              .music_mean = buffer(1),
                              .music_log_variance = buffer(2),
                              .emotion_embedding = buffer(3),
                              .emotion_mean = buffer(4),
                              .emotion_log_variance = buffer(5)});
}

template <class Real>
void TrainingStep<Real>::backward(const Pass& pass, std::int64_t from) {
  const auto at = [&](std::size_t k, bool wanted) -> const Real* {
    return wanted ? gradients_[k].data() + from * pass.model.embedding_dim() : nullptr;
  };
  const bool cca = options_.lambda > 0.0, kl = options_.lambda < 1.0;
  pass.model.music().backward(pass.ctx, {at(0, cca), at(1, kl), at(2, kl)});
  pass.model.emotion().backward(pass.ctx, {at(3, cca), at(4, kl), at(5, kl)});
}

template <class Real>
void TrainingStep<Real>::run(const Pass& pass) {
  Context& ctx = pass.ctx;
  const Shard own = shard_of(ctx, pass.total);
  const auto rows = static_cast<int>(own.count);
  const int chunk = chunk_size_ > 0 ? std::min(chunk_size_, rows) : rows;
  if (rows > 0 && chunk == rows) {
    evaluate(pass, encode(pass, own.first, rows, pass.backward));
    if (pass.backward) backward(pass, 0);
    return;
  }

  const bool cca = options_.lambda > 0.0, kl = options_.lambda < 1.0;
  const int d = pass.model.embedding_dim();
  const auto all = [&](std::size_t k, bool wanted) -> Real* {
    if (!wanted) return nullptr;
    heads_[k].resize(ctx, {std::max(rows, 1), d});  // the loss asks for arrays even where they are empty
    return heads_[k].data();
  };
  const PairBatch<Real> heads{.n = rows,
                              .d = d,
                              .music_embedding = all(0, cca),
                              .music_mean = all(1, kl),
                              .music_log_variance = all(2, kl),
                              .emotion_embedding = all(3, cca),
                              .emotion_mean = all(4, kl),
                              .emotion_log_variance = all(5, kl),
                              .total = pass.total};
  // What the last chunk left behind serves its backward, which comes first.
  const int chunks = rows > 0 ? (rows + chunk - 1) / chunk : 0;
  for (int c = 0; c < chunks; ++c) {
    const int begin = c * chunk, count = std::min(chunk, rows - begin);
    const auto part = pointers(encode(pass, own.first + begin, count, pass.backward && c + 1 == chunks));
    const std::size_t size = static_cast<std::size_t>(d) * sizeof(Real);
    for (std::size_t k = 0; k < part.size(); ++k)
      if (part[k] != nullptr)
        copy_on_device(ctx, heads_[k].data() + std::int64_t{begin} * d, part[k],
                       static_cast<std::size_t>(count) * size);
  }
  evaluate(pass, heads);
  if (!pass.backward) return;
  for (int c = chunks; c-- > 0;) {
    const int begin = c * chunk;
    if (c + 1 < chunks) encode(pass, own.first + begin, std::min(chunk, rows - begin), true);
    std::optional<Incomplete<Real>> more;
    if (c > 0) more.emplace(pass.model.parameters());
    backward(pass, begin);
  }
}

template <class Real>
LossValues TrainingStep<Real>::forward_backward(Context& ctx, DualEncoder<Real>& model,
                                                const Dataset& dataset, std::span<const std::int64_t> rows,
                                                DropoutKey dropout) {
  zero_gradients(ctx, model);
  run({.ctx = ctx,
       .model = model,
       .total = static_cast<int>(rows.size()),
       .gather =
           [&](std::int64_t first, int count) {
             batch_.gather(
                 ctx, dataset, rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
                 layout_of(model.music().config()), layout_of(model.emotion().config()), stretch(dropout));
           },
       .dropout = dropout});
  return model.loss().read_values(ctx);
}

template <class Real>
LossValues TrainingStep<Real>::loss(Context& ctx, DualEncoder<Real>& model, const Dataset& dataset,
                                    std::span<const std::int64_t> rows) {
  zero_gradients(ctx, model);
  const Incomplete<Real> never(model.parameters());
  run({.ctx = ctx,
       .model = model,
       .total = static_cast<int>(rows.size()),
       .gather =
           [&](std::int64_t first, int count) {
             batch_.gather(ctx, dataset,
                           rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
                           layout_of(model.music().config()), layout_of(model.emotion().config()));
           },
       .dropout = {},
       .backward = false});
  const LossValues values = model.loss().read_values(ctx);
  for (Parameter<Real>* p : model.loss().parameters()) p->gradient.zero(ctx);
  return values;
}

template <class Real>
void TrainingStep<Real>::accumulate_gradients(Context& ctx, DualEncoder<Real>& model,
                                              const ResidentData& data, const DeviceRows& rows,
                                              DropoutKey dropout) {
  run({.ctx = ctx,
       .model = model,
       .total = rows.n,
       .gather =
           [&](std::int64_t first, int count) {
             batch_.gather(ctx, data, {.n = count, .rows = rows.rows + first, .scalars = rows.scalars},
                           layout_of(model.music().config()), layout_of(model.emotion().config()),
                           stretch(dropout));
           },
       .dropout = dropout});
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
