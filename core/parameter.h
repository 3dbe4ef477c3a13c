// core/parameter.h - a trainable array under its exchanged name (method.md section 7), with its gradient.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace emer {

template <class Real>
struct Parameter {
  std::string name;    // "music_encoder.dense1.weight"
  Tensor<Real> value;  // shape as in exchanged files
  // Same shape; layers and losses ACCUMULATE into it, the trainer zeroes it. Empty where the parameter is frozen.
  Tensor<Real> gradient;
  bool decay = false;  // weight decay applies: matrices yes, biases and scalars no
  // Set by who sums gradients over ranks while backward goes on; null where nobody waits.
  std::function<void()> on_gradient_complete;

  // Layers and losses call it when a backward pass adds nothing more: on CUDA, when the last addition is enqueued.
  void gradient_is_complete() const {
    if (on_gradient_complete) on_gradient_complete();
  }

  Parameter() = default;
  Parameter(Context& ctx, std::string name_, Shape shape, bool decay_)
      : name(std::move(name_)), value(ctx, shape), gradient(ctx, shape), decay(decay_) {
    value.zero(ctx);
    gradient.zero(ctx);
  }
};

template <class Real>
using ParameterList = std::vector<Parameter<Real>*>;

}  // namespace emer
