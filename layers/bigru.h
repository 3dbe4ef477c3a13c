// layers/bigru.h - parameters and saved arrays of the bidirectional GRU (kernels/gru.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/gru.h"
#include "layers/initialise.h"

namespace emer {

template <class Real>
class BiGru {
 public:
  // <prefix>.gru.forward|backward.input_weight [3H, in], .recurrent_weight [3H, H], .bias [3H] and, for
  // kAfter, .recurrent_bias [3H]. sizes.max_steps is of no account: it comes with every forward.
  BiGru(Context& ctx, const std::string& prefix, const GruSizes& sizes);

  void append_parameters(std::vector<InitialisedParameter<Real>*>& list);

  // x [n, T, in] and lengths [n] on the context's device; lengths are checked on the CPU only (kernels/gru.h).
  // [n, 2H], valid until the next forward. keep: backward will follow, for which x and lengths must live on;
  // without it the saved arrays, by far the largest of the model, are not made.
  const Real* forward(Context& ctx, int n, int steps, const Real* x, const std::int32_t* lengths, bool keep);
  // dy [n, 2H]; dx [n, T, in], overwritten, 0 past the lengths, or null. Once per forward. Parameter gradients
  // accumulate.
  void backward(Context& ctx, const Real* dy, Real* dx);

 private:
  struct Direction {
    std::vector<InitialisedParameter<Real>> parameters;  // in the order above
    Tensor<Real> gates;
    Tensor<Real> states;
    GruWeights<Real> weights() const;
    GruWeightGradients<Real> gradients();
  };
  GruSizes sizes_;
  Direction directions_[2];
  GruSchedule schedule_;  // CPU only
  Tensor<Real> output_;
  int n_ = 0;
  const std::int32_t* lengths_ = nullptr;
  const Real* x_ = nullptr;  // of the last forward; null where backward may not follow
};

}  // namespace emer
