// engine/step.h - one forward and backward pass over a batch: the loss, and gradients in the parameters.
#pragma once

#include <cstdint>
#include <span>

#include "core/context.h"
#include "core/tensor.h"
#include "engine/gather.h"
#include "engine/model.h"

namespace emer {

template <class Real>
class TrainingStep {
 public:
  // random_patches: train.random_patches.
  explicit TrainingStep(const LossOptions& options, int random_patches = 0)
      : options_(options), random_patches_(random_patches) {}

  // Zeroes every parameter's gradient, then fills it. `dropout.view` is set here. Waits for the loss values.
  LossValues forward_backward(Context& ctx, DualEncoder<Real>& model, const Dataset& dataset,
                              std::span<const std::int64_t> rows, DropoutKey dropout);
  // The loss alone, dropout off. The parameters' gradients are left zero.
  LossValues loss(Context& ctx, DualEncoder<Real>& model, const Dataset& dataset,
                  std::span<const std::int64_t> rows);

  // The same over rows that only the device knows. ACCUMULATES into the parameters' gradients and waits for
  // nothing: the values stay in model.loss().
  void accumulate_gradients(Context& ctx, DualEncoder<Real>& model, const ResidentData& data,
                            const DeviceRows& rows, DropoutKey dropout);

 private:
  void forward(Context& ctx, DualEncoder<Real>& model, int n, DropoutKey dropout);
  void backward(Context& ctx, DualEncoder<Real>& model);
  PatchStretch stretch(const DropoutKey& key) const {
    return {.patches = random_patches_, .seed = key.seed, .step = key.step};
  }
  LossOptions options_;
  int random_patches_;
  BatchGather<Real> batch_;
  Tensor<Real> gradients_[6];
  PairGradients<Real> heads_;
};

// 2-norm over all gradients, summed in double in a fixed order. Waits for the device.
template <class Real>
double gradient_norm(Context& ctx, const ParameterList<Real>& parameters);

}  // namespace emer
