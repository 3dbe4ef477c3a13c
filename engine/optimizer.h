// engine/optimizer.h - Adam in three forms, learning-rate schedules, clipping by norm, a moving average of
// the weights.
//
// On several ranks every rank makes the same calls. With a reduction that leaves sums each keeps the whole state and
// updates all weights; with one that leaves shares (ZeRO-1) each keeps the state of its own parts, updates those and
// gathers the others' weights. Both give the same bits where the communicator's sums are in rank order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/parameter.h"
#include "engine/config.h"
#include "engine/gradient_reduction.h"
#include "engine/optimizer_file.h"
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
  // each parameter's learning rate; empty = 1 for all. reduction: of these parameters' gradients, where ranks share
  // batches; it must outlive this.
  Optimizer(Context& ctx, const ParameterList<float>& parameters, const TrainConfig& train,
            const std::vector<float>& rate_scales = {}, GradientReduction<float>* reduction = nullptr);

  // One update from the gradients as the reduction leaves them, times gradient_scale; kernels/adam_update.h has the
  // formulas. Weight decay (adamw) touches parameters with `decay` only. Then the moving average.
  void step(Context& ctx, double learning_rate, double gradient_scale);
  // The same, with what changes from step to step read from device memory, and gradients cleared behind it: for
  // recorded work (core/work_graph.h). Does not count: count_steps() says how many such steps have run.
  void step_from(Context& ctx, const StepScalars* scalars);
  void count_steps(std::int64_t steps) { steps_ += steps; }
  std::int64_t steps() const { return steps_; }
  // *total (device) = squared 2-norm of all gradients, for recorded work. Each rank sums its own parts, then ranks add up.
  void sum_squared_gradients(Context& ctx, double* total);
  double gradient_norm(Context& ctx);  // the root of it; waits for the device

  bool has_average() const { return average_.size() > 0; }
  // Exchanges weights and averages; calling it again puts them back.
  void swap_average(Context& ctx);

  // `path`: `m.<name>`, `v.<name>` float32, `step` int64 [1]. Several ranks with more than shard_above bytes of state
  // write a shard each, else rank 0 writes alone. Ranks exchange what they must before anything is written. Returns the
  // files, of all ranks.
  static constexpr std::size_t kShardAbove = std::size_t{1} << 30;
  std::vector<std::string> save(Context& ctx, const std::string& path,
                                std::size_t shard_above = kShardAbove) const;
  void load(Context& ctx, const std::string& path);  // either form
  // The averaged weights under the parameters' names, frozen ones as they are. Rank 0 writes.
  void save_average(Context& ctx, const std::string& path) const;
  void load_average(Context& ctx, const std::string& path);
  // Starts the average from the weights as they are now.
  void reset_average(Context& ctx);

 private:
  // Elements of a parameter with their place in m_, v_, average_.
  struct Piece {
    std::size_t parameter = 0;
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::int64_t at = 0;
    float* gradient = nullptr;
  };
  bool is_sharded() const { return reduction_ != nullptr && reduction_->leaves_shares(); }
  void make_pieces();
  std::vector<AdamArray<float>> arrays(const std::vector<Piece>& pieces);
  AdamUpdateAll<float> update(Context& ctx);  // all but what changes from step to step
  std::vector<StateArray> state_arrays() const;
  static std::vector<StateRange> ranges(const std::vector<Piece>& pieces);
  std::vector<std::vector<float>> to_host(Context& ctx, const Tensor<float>& state,
                                          const std::vector<Piece>& pieces) const;
  std::vector<std::vector<float>> whole_on_first(Context& ctx, const Tensor<float>& state) const;
  void from_host(Context& ctx, Tensor<float>& state, const std::vector<std::vector<float>>& values);

  ParameterList<float> all_, parameters_;  // parameters_: those that are trained
  std::vector<float> rate_scales_;         // of parameters_
  TrainConfig train_;
  GradientReduction<float>* reduction_;  // null on one rank
  std::int64_t steps_ = 0;
  std::vector<Piece> pieces_;  // what this rank keeps the state of: all, or its own parts
  std::vector<Piece> own_;     // of these, its own parts: what it sums the squares of, and writes as a shard
  Tensor<float> m_, v_, average_;
  AdamTable<float> table_, own_table_;  // of pieces_; of own_ where they are not the same
};

}  // namespace emer
