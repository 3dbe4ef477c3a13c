// layers/mlp.h - dense1 .. denseL, an activation after each, dropout on the input and after all but the last.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/step_scalars.h"
#include "layers/linear.h"

namespace emer {

// One mask per layer: 0 the input, k behind dense k (kernels/dropout.h).
struct DropoutPlan {
  float input_p = 0.0f;
  float p = 0.0f;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint64_t view = 0;
  std::int64_t first_row = 0;            // of the global batch, the one that the rows begin with
  const StepScalars* scalars = nullptr;  // kernels/dropout.h
};

template <class Real>
class Mlp {
 public:
  // widths: of dense1 .. denseL, at least one. Parameters are <prefix>.dense<k>.weight and .bias.
  Mlp(Context& ctx, const std::string& prefix, int in, const std::vector<int>& widths, Activation activation,
      Activation last_activation);

  void append_parameters(std::vector<InitialisedParameter<Real>*>& list);

  // [n, last width], valid until the next forward. x [n, in] must live until backward returns.
  const Real* forward(Context& ctx, int n, const Real* x, const DropoutPlan& plan);
  // For the last forward. dy [n, last width]; dx [n, in], overwritten, or null. Parameter gradients
  // accumulate.
  void backward(Context& ctx, const Real* dy, Real* dx);

 private:
  Activation activation(std::size_t layer) const {
    return layer + 1 == layers_.size() ? last_activation_ : activation_;
  }
  float drop_p(std::size_t layer) const { return layer == 0 ? plan_.input_p : plan_.p; }
  void drop(Context& ctx, std::size_t layer, std::int64_t count, const Real* x, Real* y) const;

  std::vector<Linear<Real>> layers_;
  std::vector<Tensor<Real>> outputs_;        // [k] of dense k+1, behind the activation
  std::vector<Tensor<Real>> dropped_;        // [k] input of dense k+1 where dropout acts on it
  std::vector<const Real*> inputs_;          // [k] what dense k+1 read
  Activation activation_, last_activation_;  // behind all but the last layer, and behind the last
  DropoutPlan plan_;
  int n_ = 0;
};

}  // namespace emer
