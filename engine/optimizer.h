// engine/optimizer.h - Adam in three forms, learning-rate schedules, clipping by norm, a moving average of
// the weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/parameter.h"
#include "engine/config.h"
#include "kernels/adam_table.h"
#include "kernels/adam_update_all.h"

namespace emer {

// Learning rate of step t (from 1). Warm-up: rate * t / w for t <= w = warmup_epochs * steps_per_epoch. Then
// constant, or rate * (f + (1 - f) * (1 + cos(pi * (t - w) / (total - w))) / 2) with f = schedule.final.
double learning_rate_at(const TrainConfig& train, std::int64_t t, std::int64_t steps_per_epoch,
                        std::int64_t total_steps);

// What the gradient is multiplied by: clip_norm / norm where norm is above a clip_norm > 0, else 1.
double clip_scale(double norm, double clip_norm);

class Optimizer {
 public:
  // Parameters whose gradient is empty are frozen: they are not updated and have no state. rate_scales: what multiplies
  // each parameter's learning rate; empty = 1 for all.
  Optimizer(Context& ctx, const ParameterList<float>& parameters, const TrainConfig& train,
            const std::vector<float>& rate_scales = {});

  // One update from the parameters' gradients, times gradient_scale; kernels/adam_update.h has the formulas.
  // Weight decay (adamw) touches parameters with `decay` only. Then the moving average.
  void step(Context& ctx, double learning_rate, double gradient_scale);
  // The same, with what changes from step to step read from device memory, and gradients cleared behind it: for
  // recorded work (core/work_graph.h). Does not count: count_steps() says how many such steps have run.
  void step_from(Context& ctx, const StepScalars* scalars);
  void count_steps(std::int64_t steps) { steps_ += steps; }
  std::int64_t steps() const { return steps_; }
  // *total (device) = squared 2-norm of all gradients, for recorded work.
  void sum_squared_gradients(Context& ctx, double* total);

  bool has_average() const { return !average_.empty(); }
  // Exchanges weights and averages, as pointers; calling it again puts them back. On CUDA the next step outside a
  // recording copies the table of pointers anew where it finds them changed, so between two calls that cancel out
  // nothing is lost.
  void swap_average();

  // `m.<name>`, `v.<name>` float32, `step` int64 [1]; atomic.
  void save(Context& ctx, const std::string& path) const;
  void load(Context& ctx, const std::string& path);
  // The averaged weights under the parameters' names, frozen ones as they are.
  void save_average(Context& ctx, const std::string& path) const;
  void load_average(Context& ctx, const std::string& path);
  // Starts the average from the weights as they are now.
  void reset_average(Context& ctx);

 private:
  AdamUpdateAll<float> update(Context& ctx);  // all but what changes from step to step

  ParameterList<float> all_, parameters_;  // parameters_: those that are trained
  std::vector<float> rate_scales_;         // of parameters_
  TrainConfig train_;
  std::int64_t steps_ = 0;
  std::vector<Tensor<float>> m_, v_, average_;
  AdamTable<float> table_;
};

}  // namespace emer
