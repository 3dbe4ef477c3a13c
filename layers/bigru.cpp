#include "layers/bigru.h"

#include "core/check.h"

namespace emer {

template <class Real>
BiGru<Real>::BiGru(Context& ctx, const std::string& prefix, const GruSizes& sizes) : sizes_(sizes) {
  const char* const names[2] = {".gru.forward", ".gru.backward"};
  for (int d = 0; d < 2; ++d) {
    const std::string name = prefix + names[d];
    const std::int64_t rows = 3 * std::int64_t{sizes.hidden};
    const auto add = [&](const char* suffix, Shape shape, bool decay, Initial initial) {
      directions_[d].parameters.push_back(
          {Parameter<Real>(ctx, name + suffix, std::move(shape), decay), initial});
    };
    add(".input_weight", {rows, sizes.in}, true, Initial::kGlorotUniform);
    add(".recurrent_weight", {rows, sizes.hidden}, true, Initial::kOrthogonal);
    add(".bias", {rows}, false, Initial::kZero);
    if (sizes.reset == GruReset::kAfter) add(".recurrent_bias", {rows}, false, Initial::kZero);
  }
}

template <class Real>
GruWeights<Real> BiGru<Real>::Direction::weights() const {
  const auto at = [&](std::size_t k) { return parameters[k].parameter.value.data(); };
  return {at(0), at(1), at(2), parameters.size() > 3 ? at(3) : nullptr};
}

template <class Real>
GruWeightGradients<Real> BiGru<Real>::Direction::gradients() {
  const auto at = [&](std::size_t k) { return parameters[k].parameter.gradient.data(); };
  return {at(0), at(1), at(2), parameters.size() > 3 ? at(3) : nullptr};
}

template <class Real>
void BiGru<Real>::append_parameters(std::vector<InitialisedParameter<Real>*>& list) {
  for (Direction& direction : directions_)
    for (InitialisedParameter<Real>& p : direction.parameters) list.push_back(&p);
}

template <class Real>
const Real* BiGru<Real>::forward(Context& ctx, int n, int steps, const Real* x, const std::int32_t* lengths,
                                 bool keep) {
  const GruSchedule* const schedule = ctx.on_cuda() ? nullptr : &schedule_;
  if (schedule != nullptr) schedule_ = make_gru_schedule(lengths, n, steps);
  sizes_.max_steps = steps;
  n_ = n;
  lengths_ = lengths;
  x_ = keep ? x : nullptr;
  output_.resize(ctx, {n, 2 * std::int64_t{sizes_.hidden}});
  GruForward<Real> args{.n = n,
                        .schedule = schedule,
                        .lengths = lengths,
                        .sizes = sizes_,
                        .x = x,
                        .weights = {},
                        .saved = {},
                        .y = output_.data()};
  const GruSavedCounts saved = gru_saved_counts(ctx, sizes_, n, schedule);
  for (int d = 0; d < 2; ++d) {
    Direction& direction = directions_[d];
    args.weights[d] = direction.weights();
    if (!keep) continue;
    direction.gates.resize(ctx, {saved.gates});
    direction.states.resize(ctx, {saved.states});
    args.saved[d] = {direction.gates.data(), direction.states.data()};
  }
  gru_forward(ctx, args);
  return output_.data();
}

template <class Real>
void BiGru<Real>::backward(Context& ctx, const Real* dy, Real* dx) {
  EMER_CHECK(x_ != nullptr, "gru: backward without a forward that kept its steps (DropoutKey::training)");
  GruBackward<Real> args{.n = n_,
                         .schedule = ctx.on_cuda() ? nullptr : &schedule_,
                         .lengths = lengths_,
                         .sizes = sizes_,
                         .x = x_,
                         .weights = {},
                         .saved = {},
                         .dy = dy,
                         .gradients = {},
                         .dx = dx};
  for (int d = 0; d < 2; ++d) {
    args.weights[d] = directions_[d].weights();
    args.saved[d] = {directions_[d].gates.data(), directions_[d].states.data()};
    args.gradients[d] = directions_[d].gradients();
  }
  gru_backward(ctx, args);
  x_ = nullptr;
  for (int d = 2; d-- > 0;)
    for (auto p = directions_[d].parameters.rbegin(); p != directions_[d].parameters.rend(); ++p)
      p->parameter.gradient_is_complete();
}

template class BiGru<float>;
template class BiGru<double>;

}  // namespace emer
