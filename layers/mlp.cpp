#include "layers/mlp.h"

#include <algorithm>

#include "core/check.h"
#include "kernels/dropout.h"

namespace emer {

template <class Real>
Mlp<Real>::Mlp(Context& ctx, const std::string& prefix, int in, const std::vector<int>& widths,
               Activation activation, Activation last_activation)
    : outputs_(widths.size()),
      dropped_(widths.size()),
      inputs_(widths.size()),
      activation_(activation),
      last_activation_(last_activation) {
  EMER_CHECK(!widths.empty(), "mlp: no layers");
  layers_.reserve(widths.size());
  for (std::size_t k = 0; k < widths.size(); ++k) {
    layers_.emplace_back(ctx, prefix + ".dense" + std::to_string(k + 1), in, widths[k]);
    in = widths[k];
  }
}

template <class Real>
void Mlp<Real>::append_parameters(std::vector<InitialisedParameter<Real>*>& list) {
  for (Linear<Real>& layer : layers_) layer.append_parameters(list);
}

template <class Real>
void Mlp<Real>::drop(Context& ctx, std::size_t layer, std::int64_t count, const Real* x, Real* y) const {
  dropout<Real>(ctx, {.count = count,
                      .first = plan_.first_row * layers_[layer].in(),
                      .seed = plan_.seed,
                      .stream = dropout_stream(plan_.view, layer),
                      .step = plan_.step,
                      .scalars = plan_.scalars,
                      .p = drop_p(layer),
                      .x = x,
                      .y = y});
}

template <class Real>
const Real* Mlp<Real>::forward(Context& ctx, int n, const Real* x, const DropoutPlan& plan) {
  n_ = n;
  plan_ = plan;
  for (std::size_t k = 0; k < layers_.size(); ++k) {
    if (drop_p(k) > 0) {
      dropped_[k].resize(ctx, {n, layers_[k].in()});
      drop(ctx, k, std::int64_t{n} * layers_[k].in(), x, dropped_[k].data());
      x = dropped_[k].data();
    }
    inputs_[k] = x;
    outputs_[k].resize(ctx, {n, layers_[k].out()});
    layers_[k].forward(ctx, n, x, activation(k), outputs_[k].data());
    x = outputs_[k].data();
  }
  return x;
}

template <class Real>
void Mlp<Real>::backward(Context& ctx, const Real* dy, Real* dx) {
  EMER_CHECK(n_ >= 1, "mlp: backward before forward");
  ArenaScope scope(ctx);
  int widest = 1;
  for (const Linear<Real>& layer : layers_) widest = std::max(widest, layer.in());
  const auto size = static_cast<std::size_t>(n_) * static_cast<std::size_t>(widest);
  Real* const buffers[2] = {ctx.scratch<Real>(size), ctx.scratch<Real>(size)};
  for (std::size_t k = layers_.size(); k-- > 0;) {
    Real* d_input = k > 0 ? buffers[k % 2] : dx;
    layers_[k].backward(ctx, n_, inputs_[k], activation(k), outputs_[k].data(), dy, d_input);
    if (d_input != nullptr && drop_p(k) > 0)
      drop(ctx, k, std::int64_t{n_} * layers_[k].in(), d_input, d_input);
    dy = d_input;
  }
}

template class Mlp<float>;
template class Mlp<double>;

}  // namespace emer
