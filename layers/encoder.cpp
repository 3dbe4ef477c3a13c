#include "layers/encoder.h"

#include <cmath>
#include <optional>

#include "core/check.h"
#include "kernels/clamp.h"
#include "kernels/sequence_mean.h"
#include "layers/bigru.h"
#include "layers/linear.h"
#include "layers/mlp.h"

namespace emer {

namespace {

void check(const EncoderConfig& c, const std::string& prefix) {
  EMER_CHECK(c.input_width >= 1 && c.embedding_dim >= 1, "{}: input width {}, embedding width {}", prefix,
             c.input_width, c.embedding_dim);
  for (const int width : c.widths) EMER_CHECK(width >= 1, "{}: a dense layer of width {}", prefix, width);
  EMER_CHECK(c.kind == EncoderKind::kMlp || c.gru_hidden >= 1, "{}: GRU of width {}", prefix, c.gru_hidden);
  EMER_CHECK(c.log_variance_min < c.log_variance_max,
             "{}: log_variance_min {} is not below log_variance_max {}", prefix, c.log_variance_min,
             c.log_variance_max);
  EMER_CHECK(!c.vggish || c.input_width == c.vggish->dense.back(),
             "{}: input width {} behind vectors of {} from the conv encoder", prefix, c.input_width,
             c.vggish ? c.vggish->dense.back() : 0);
  if (c.kind == EncoderKind::kBiGru && c.input_dropout > 0)
    fail_usage("{}: input dropout is {}, but a recurrent encoder has none; set it to 0", prefix,
               c.input_dropout);
}

}  // namespace

template <class Real>
struct Encoder<Real>::Impl {
  Impl(Context& ctx, const EncoderConfig& c, const std::string& prefix)
      : config(c),
        vggish(c.vggish ? std::make_optional<Vggish<Real>>(ctx, *c.vggish) : std::nullopt),
        gru(c.kind == EncoderKind::kBiGru
                ? std::make_optional<BiGru<Real>>(ctx, prefix,
                                                  GruSizes{.max_steps = 0,
                                                           .in = c.input_width,
                                                           .hidden = c.gru_hidden,
                                                           .reset = c.gru_reset,
                                                           .activation = c.gru_activation,
                                                           .kernel = c.gru_kernel})
                : std::nullopt),
        trunk(ctx, prefix, gru ? 2 * c.gru_hidden : c.input_width, trunk_widths(c), c.activation,
              c.last_activation),
        heads{Linear<Real>(ctx, prefix + ".embedding", c.embedding_dim, c.embedding_dim),
              Linear<Real>(ctx, prefix + ".mean", c.embedding_dim, c.embedding_dim),
              Linear<Real>(ctx, prefix + ".log_variance", c.embedding_dim, c.embedding_dim)} {
    if (vggish) {
      vggish->append_parameters(parameters);
      if (!c.vggish_trainable)
        for (InitialisedParameter<Real>* p : parameters) p->parameter.gradient = {};
    }
    if (gru) gru->append_parameters(parameters);
    trunk.append_parameters(parameters);
    for (Linear<Real>& head : heads) head.append_parameters(parameters);
  }

  static std::vector<int> trunk_widths(const EncoderConfig& c) {
    std::vector<int> widths = c.widths;
    widths.push_back(c.embedding_dim);
    return widths;
  }
  bool clamps() const {
    return std::isfinite(config.log_variance_min) || std::isfinite(config.log_variance_max);
  }
  std::int64_t head_size() const { return std::int64_t{n} * config.embedding_dim; }

  std::size_t vector_count() const {  // VGGish's output
    return static_cast<std::size_t>(n) * static_cast<std::size_t>(steps) *
           static_cast<std::size_t>(config.input_width);
  }

  EncoderConfig config;
  std::optional<Vggish<Real>> vggish;
  std::optional<BiGru<Real>> gru;
  Mlp<Real> trunk;
  Linear<Real> heads[3];  // embedding, mean, log-variance
  std::vector<InitialisedParameter<Real>*> parameters;
  Tensor<Real> outputs[3];
  Tensor<Real> mean;  // [n, D] of VGGish's vectors
  const Real* trunk_output = nullptr;
  const std::int32_t* lengths = nullptr;
  int n = 0, steps = 0;
};

template <class Real>
Encoder<Real>::Encoder(Context& ctx, const EncoderConfig& config, const std::string& prefix) {
  check(config, prefix);
  impl_ = std::make_unique<Impl>(ctx, config, prefix);
}

template <class Real>
Encoder<Real>::~Encoder() = default;

template <class Real>
void Encoder<Real>::initialise(Context& ctx, std::uint64_t seed, std::uint64_t first_stream) {
  std::uint64_t stream = streams::kInitialise + first_stream;
  for (InitialisedParameter<Real>* p : impl_->parameters)
    emer::initialise(ctx, p->initial, p->parameter, RandomStream(seed, stream++));
}

template <class Real>
HeadOutputs<Real> Encoder<Real>::forward(Context& ctx, const EncoderInput<Real>& input,
                                         const DropoutKey& key) {
  Impl& e = *impl_;
  EMER_CHECK(input.n >= 1 && input.values, "encoder: empty batch");
  EMER_CHECK((!e.gru && !e.vggish) || (input.lengths && input.steps >= 1),
             "encoder: a recurrent or conv encoder needs lengths and steps");
  e.n = input.n;
  e.steps = input.steps;
  e.lengths = input.lengths;
  const Real* x = input.values;
  const bool keep = key.training && key.keep;
  if (e.vggish) {
    x = e.vggish->forward(ctx, input.n, input.steps, x, input.lengths, keep && e.config.vggish_trainable);
    if (!e.gru) {
      e.mean.resize(ctx, {input.n, e.config.input_width});
      sequence_mean<Real>(ctx, {.n = input.n,
                                .steps = input.steps,
                                .width = e.config.input_width,
                                .lengths = input.lengths,
                                .x = x,
                                .y = e.mean.data()});
      x = e.mean.data();
    }
  }
  if (e.gru) {
    x = e.gru->forward(ctx, input.n, input.steps, x, input.lengths, keep);
  }
  DropoutPlan plan{.seed = key.seed,
                   .step = key.step,
                   .view = key.view,
                   .first_row = key.first_row,
                   .scalars = key.scalars};
  if (key.training) {
    plan.input_p = e.config.input_dropout;
    plan.p = e.config.dropout;
  }
  e.trunk_output = e.trunk.forward(ctx, input.n, x, plan);
  for (int h = 0; h < 3; ++h) {
    e.outputs[h].resize(ctx, {input.n, e.config.embedding_dim});
    e.heads[h].forward(ctx, input.n, e.trunk_output, Activation::kNone, e.outputs[h].data());
  }
  if (e.clamps())
    clamp<Real>(ctx, {.count = e.head_size(),
                      .low = static_cast<Real>(e.config.log_variance_min),
                      .high = static_cast<Real>(e.config.log_variance_max),
                      .x = e.outputs[2].data(),
                      .y = e.outputs[2].data()});
  return {e.outputs[0].data(), e.outputs[1].data(), e.outputs[2].data()};
}

template <class Real>
void Encoder<Real>::backward(Context& ctx, const HeadGradients<Real>& gradients) {
  Impl& e = *impl_;
  EMER_CHECK(e.n >= 1, "encoder: backward before forward");
  ArenaScope scope(ctx);
  const Real* d_heads[3] = {gradients.embedding, gradients.mean, gradients.log_variance};
  if (d_heads[0] == nullptr && d_heads[1] == nullptr && d_heads[2] == nullptr) {
    for (const Parameter<Real>* p : in_backward_order())
      if (p->gradient.size() > 0) p->gradient_is_complete();
    return;
  }
  const auto size = static_cast<std::size_t>(e.head_size());
  if (d_heads[2] != nullptr && e.clamps()) {
    Real* masked = ctx.scratch<Real>(size);
    clamp_backward<Real>(ctx, {.count = e.head_size(),
                               .low = static_cast<Real>(e.config.log_variance_min),
                               .high = static_cast<Real>(e.config.log_variance_max),
                               .y = e.outputs[2].data(),
                               .dy = d_heads[2],
                               .dx = masked});
    d_heads[2] = masked;
  }
  Real* d_trunk = ctx.scratch<Real>(size);
  bool any = false;
  for (int h = 0; h < 3; ++h) {
    if (d_heads[h] == nullptr) {
      e.heads[h].gradients_are_complete();
      continue;
    }
    e.heads[h].backward(ctx, e.n, e.trunk_output, Activation::kNone, nullptr, d_heads[h], d_trunk, any);
    any = true;
  }
  const bool into_vggish = e.vggish && e.config.vggish_trainable;
  Real* d_trunk_input = nullptr;
  if (e.gru || into_vggish)
    d_trunk_input =
        ctx.scratch<Real>(static_cast<std::size_t>(e.n) *
                          static_cast<std::size_t>(e.gru ? 2 * e.config.gru_hidden : e.config.input_width));
  e.trunk.backward(ctx, d_trunk, d_trunk_input);
  Real* d_vectors = into_vggish ? ctx.scratch<Real>(e.vector_count()) : nullptr;
  if (e.gru)
    e.gru->backward(ctx, d_trunk_input, d_vectors);
  else if (into_vggish)
    sequence_mean_backward<Real>(ctx, {.n = e.n,
                                       .steps = e.steps,
                                       .width = e.config.input_width,
                                       .lengths = e.lengths,
                                       .dy = d_trunk_input,
                                       .dx = d_vectors});
  if (into_vggish) e.vggish->backward(ctx, d_vectors);
}

template <class Real>
ParameterList<Real> Encoder<Real>::parameters() {
  ParameterList<Real> list;
  for (InitialisedParameter<Real>* p : impl_->parameters) list.push_back(&p->parameter);
  return list;
}

template <class Real>
ParameterList<Real> Encoder<Real>::in_backward_order() {
  ParameterList<Real> list;
  const auto append_reversed = [&](const auto& parameters) {
    for (auto p = parameters.rbegin(); p != parameters.rend(); ++p) list.push_back(&(*p)->parameter);
  };
  std::vector<InitialisedParameter<Real>*> before_heads = impl_->parameters;
  for (Linear<Real>& head : impl_->heads) {
    std::vector<InitialisedParameter<Real>*> of_head;
    head.append_parameters(of_head);
    append_reversed(of_head);
    before_heads.resize(before_heads.size() - of_head.size());
  }
  append_reversed(before_heads);
  return list;
}

template <class Real>
const EncoderConfig& Encoder<Real>::config() const {
  return impl_->config;
}

template class Encoder<float>;
template class Encoder<double>;

}  // namespace emer
