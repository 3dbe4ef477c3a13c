// engine/training_run.h - what train() of engine/trainer.h holds while it runs, on one rank.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/context.h"
#include "engine/agreement.h"
#include "engine/batches.h"
#include "engine/checkpoint.h"
#include "engine/device_steps.h"
#include "engine/gradient_reduction.h"
#include "engine/metrics.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/prepared_data.h"
#include "engine/run_lock.h"
#include "engine/step.h"
#include "engine/trainer.h"

namespace emer {

class TrainingRun {
 public:
  explicit TrainingRun(const TrainRequest& request)
      : request_(request),
        config_(request.config),
        checkpoints_(request.run_folder + "/checkpoints"),
        step_(request.config.loss, request.config.train.random_patches, request.config.train.chunk_size) {}

  TrainResult train();

 private:
  using Clock = std::chrono::steady_clock;

  // training_run_open.cpp
  void open();
  void lock_folder();
  void restore(const std::string& checkpoint);
  void write_run_files() const;
  void notes();

  // trainer.cpp
  std::int64_t total_steps() const;
  bool finished() const;
  void one_step();
  void device_window();
  std::vector<PlannedStep> plan_window() const;
  void finish_step(const StepMetrics& metrics);
  void end_of_epoch();
  void validate_epoch(std::int64_t epoch);
  void save_numbered(std::int64_t epoch, bool replace);
  void save(const std::string& name);
  bool time_is_up() const;
  bool save_is_due() const;
  void agree_on_boundary(bool stop);
  bool is_first() const { return ctx_->communicator().rank() == 0; }
  void note(const std::string& line) {
    if (progress_) progress_->note(line);
  }
  [[noreturn]] void diverged(std::int64_t step, std::int64_t epoch, const std::string& facts) const;

  const TrainRequest& request_;
  Config config_;
  std::string checkpoints_;
  std::string device_choice_;  // which device, and why
  std::unique_ptr<Context> ctx_;
  std::unique_ptr<ThreadShare> threads_;
  PreparedData data_;
  std::unique_ptr<DualEncoder<float>> model_;
  ParameterList<float> parameters_;
  std::unique_ptr<GradientReduction<float>> reduction_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<Batches> batches_;
  TrainingStep<float> step_;
  std::unique_ptr<DeviceSteps> device_steps_;  // CUDA
  BoundaryDecision boundary_;                  // of the last step boundary
  std::int64_t window_ = 1;                    // steps of the next window, as this rank's clock has it
  TrainingState state_;
  std::optional<RunLock> lock_;             // rank 0
  std::unique_ptr<MetricsLog> log_;         // rank 0
  std::unique_ptr<Progress> progress_;      // rank 0
  std::optional<Clock::time_point> saved_;  // `last`, by this process or the one it goes on from
  bool went_on_from_last_ = false;
  std::chrono::duration<double> save_took_{0.0}, longest_save_{0.0}, restore_took_{0.0};
  std::chrono::duration<double> longest_step_{
      0.0};  // or window of steps, with the validation and saves after it
  LossValues last_loss_{.loss = std::numeric_limits<double>::quiet_NaN()};
};

}  // namespace emer
