// engine/metrics.h - what a run tells: metrics.jsonl, TensorBoard curves, and the console.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "core/tensorboard.h"
#include "engine/validation.h"

namespace emer {

struct StepMetrics {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  LossValues loss;
  double learning_rate = 0.0;
  double gradient_norm = 0.0;
  double songs_per_second = 0.0;
};

// metrics.jsonl, one object a line with round-trip digits (interchange.md, "Run folder"), and TensorBoard's
// events. `time` is seconds since 1970. Lines are flushed one by one.
class MetricsLog {
 public:
  // Keeps the lines of steps up to keep_steps, drops the rest: 0 starts anew, a resumed run gives its step.
  MetricsLog(const std::string& run_folder, std::int64_t keep_steps);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  void write_step(const StepMetrics& metrics);
  void write_validation(std::int64_t step, std::int64_t epoch, const ValidationResult& result);
  // Before a checkpoint is written: a run that goes on from it repeats none of the lines up to here, so they must not
  // be lost with the power.
  void flush_to_disk();
  // Error(kRunFailed) where the file was removed under the run: what is written would be lost unnoticed.
  void require_in_place() const;

 private:
  void write_line(const std::string& line);
  std::string path_;
  std::FILE* file_ = nullptr;
  TensorBoardWriter events_;
};

// Progress on standard output: a bar that redraws itself on a terminal, else a line every `log_every` steps.
class Progress {
 public:
  Progress(std::int64_t total_steps, std::int64_t epochs, std::int64_t first_step, int log_every);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void step(const StepMetrics& metrics);
  void note(const std::string& line);

 private:
  std::string left(std::int64_t step) const;  // time, "0:01:30"
  void end_bar();
  bool terminal_;
  bool bar_open_ = false;
  std::int64_t total_, epochs_, first_;
  int log_every_;
  std::chrono::steady_clock::time_point begin_, drawn_;
};

}  // namespace emer
