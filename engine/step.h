// engine/step.h - one forward and backward pass over a batch: the loss, and gradients in the parameters.
//
// On several ranks every rank is given the whole batch, encodes its own rows of it (core/shard.h), of which there may
// be none, and learns the same loss, that of the batch. The parameters' gradients are this rank's share of the batch's:
// their sum over ranks is the gradient (method.md section 3).
//
// With a chunk size c below the rank's rows the pass goes over them twice: all are encoded c at a time, of which only
// the heads are kept; the loss sees them all; then every chunk is encoded again, under the same dropout masks, and goes
// backward. So activations are those of c songs, and the loss and its gradients those of the whole batch: the same but
// for the order of sums.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/context.h"
#include "core/tensor.h"
#include "engine/gather.h"
#include "engine/model.h"

namespace emer {

template <class Real>
class TrainingStep {
 public:
  // random_patches: train.random_patches; chunk_size: train.chunk_size, 0 = all rows at once.
  explicit TrainingStep(const LossOptions& options, int random_patches = 0, int chunk_size = 0)
      : options_(options), random_patches_(random_patches), chunk_size_(chunk_size) {}

  // Zeroes every parameter's gradient, then fills it. `dropout.view` and `first_row` are set here. Waits for the loss
  // values.
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
  struct Pass {
    Context& ctx;
    DualEncoder<Real>& model;
    int total = 0;                                              // rows of the batch
    std::function<void(std::int64_t first, int count)> gather;  // rows of the batch, into batch_
    DropoutKey dropout;
    bool backward = true;
  };
  void run(const Pass& pass);
  PairBatch<Real> encode(const Pass& pass, std::int64_t first, int count, bool keep);
  void evaluate(const Pass& pass, PairBatch<Real> heads);
  void backward(const Pass& pass,
                std::int64_t from);  // of what encode() kept, `from` the first among the rank's rows

  PatchStretch stretch(const DropoutKey& key) const {
    return {.patches = random_patches_, .seed = key.seed, .step = key.step};
  }
  LossOptions options_;
  int random_patches_, chunk_size_;
  BatchGather<Real> batch_;
  Tensor<Real> heads_[6];  // of all the rank's rows, where they are not encoded at once
  Tensor<Real> gradients_[6];
};

// 2-norm over all gradients, summed in double in a fixed order. Waits for the device.
template <class Real>
double gradient_norm(Context& ctx, const ParameterList<Real>& parameters);

}  // namespace emer
