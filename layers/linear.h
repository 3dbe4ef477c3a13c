// layers/linear.h - parameters of a dense layer, and the calls of its kernels (kernels/linear.h).
#pragma once

#include <string>
#include <vector>

#include "kernels/linear.h"
#include "layers/initialise.h"

namespace emer {

template <class Real>
class Linear {
 public:
  // <name>.weight [out, in], <name>.bias [out].
  Linear(Context& ctx, const std::string& name, int in, int out)
      : in_(in),
        out_(out),
        weight_{Parameter<Real>(ctx, name + ".weight", {out, in}, true), Initial::kGlorotUniform},
        bias_{Parameter<Real>(ctx, name + ".bias", {out}, false), Initial::kZero} {}

  int in() const { return in_; }
  int out() const { return out_; }
  void append_parameters(std::vector<InitialisedParameter<Real>*>& list) {
    list.push_back(&weight_);
    list.push_back(&bias_);
  }

  // y [n, out], overwritten.
  void forward(Context& ctx, int n, const Real* x, Activation activation, Real* y) const {
    linear_forward<Real>(ctx, {.n = n,
                               .in = in_,
                               .out = out_,
                               .x = x,
                               .weight = weight_.parameter.value.data(),
                               .bias = bias_.parameter.value.data(),
                               .activation = activation,
                               .y = y});
  }
  // activation and y as in forward; y may be null with kNone. dx: null where not wanted. Once a pass: both parameters'
  // gradients are complete behind it.
  void backward(Context& ctx, int n, const Real* x, Activation activation, const Real* y, const Real* dy,
                Real* dx, bool accumulate_dx = false) {
    linear_backward<Real>(ctx, {.n = n,
                                .in = in_,
                                .out = out_,
                                .x = x,
                                .weight = weight_.parameter.value.data(),
                                .activation = activation,
                                .y = y,
                                .dy = dy,
                                .d_weight = weight_.parameter.gradient.data(),
                                .d_bias = bias_.parameter.gradient.data(),
                                .dx = dx,
                                .accumulate_dx = accumulate_dx});
    gradients_are_complete();
  }
  // A backward pass calls it where it leaves this layer out.
  void gradients_are_complete() const {
    bias_.parameter.gradient_is_complete();
    weight_.parameter.gradient_is_complete();
  }

 private:
  int in_;
  int out_;
  InitialisedParameter<Real> weight_;
  InitialisedParameter<Real> bias_;
};

}  // namespace emer
