// engine/device_steps.h - training steps that the device runs on its own: data set, order of the epoch, gather, both
// encoders, loss, backward, optimiser and log stay in its memory, and the host looks at the log once a window.
//
// A step is recorded once per batch size and replayed (core/work_graph.h); what changes from step to step is read
// from a table that the host fills for a window of steps. A step whose loss or gradient is not finite, and every
// step behind it, leaves the weights alone (kernels/step_control.h), so that the host learns of it in time.
//
// On several ranks every rank makes the same calls with the same steps and does its share of each (engine/step.h). Loss,
// norm and verdict are those of the whole batch, and the same on all.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "core/collectives.h"
#include "core/context.h"
#include "core/tensor.h"
#include "core/work_graph.h"
#include "engine/batches.h"
#include "engine/config.h"
#include "engine/gradient_reduction.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/prepared_data.h"
#include "engine/resident_data.h"
#include "engine/step.h"
#include "kernels/step_control.h"

namespace emer {

struct PlannedStep {
  std::int64_t epoch = 0;     // from 1
  std::int64_t position = 0;  // batch of the epoch, from 0
  std::int64_t t = 0;         // optimiser step, from 1
  double learning_rate = 0.0;
};

struct StepOutcome {
  LossValues loss;
  double gradient_norm = 0.0;
  bool finite() const;
};

class DeviceSteps {
 public:
  // Keeps references to model, optimizer, batches and reduction, which several ranks need: that of the model's gradients.
  // `train` are the rows of data.dataset to train on.
  DeviceSteps(Context& ctx, const Config& config, DualEncoder<float>& model, Optimizer& optimizer,
              Batches& batches, const PreparedData& data, GradientReduction<float>* reduction = nullptr);

  // Runs the steps and waits for them; outcomes up to the first that is not finite, it included. From there on the
  // weights are as that step found them. The optimiser counts the steps that updated.
  std::vector<StepOutcome> run(std::span<const PlannedStep> steps);
  // What the step would do first, without the update: the verdict on the weights as they are.
  StepOutcome look(const PlannedStep& step);

  static constexpr std::int64_t kMaxWindow = 256;  // steps of one run()
  // Why steps are not recorded; empty where they are.
  const std::string& why_not_recorded() const { return why_not_recorded_; }

 private:
  std::vector<StepOutcome> window(std::span<const PlannedStep> steps, bool update);
  bool through_host() const { return ranks_of(ctx_) > 1 && !ctx_.communicator().on_device(); }
  std::vector<int> not_recorded(const std::vector<int>& sizes);
  void clear_gradients();
  void order_epoch(std::int64_t epoch);
  void enqueue(int n);
  void step(int n);

  Context& ctx_;
  const Config& config_;
  DualEncoder<float>& model_;
  Optimizer& optimizer_;
  Batches& batches_;
  GradientReduction<float>* reduction_;
  ResidentData data_;
  TrainingStep<float> training_step_;
  std::string why_not_recorded_;

  Tensor<std::int64_t> songs_;  // rows to train on
  Tensor<std::int64_t> order_;  // of the epoch, or the whole schedule
  std::int64_t order_epoch_ = 0;
  Tensor<StepScalars> table_, scalars_;
  Tensor<StepLog> log_;
  Tensor<std::int32_t> next_, stop_;
  Tensor<double> squares_;
  std::map<int, std::unique_ptr<WorkGraph>> graphs_;  // by batch size
};

}  // namespace emer
