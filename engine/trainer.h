// engine/trainer.h - one training run: from a configuration to a run folder (interchange.md, "Run folder").
//
// A run is a pure function of configuration, data, --init and --schedule: shuffles, dropout and weights are
// functions of the seed, the epoch and the step. Stopping at any step and resuming gives the same weights,
// bit for bit, and the same metrics (but for times and speeds).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/communicator.h"
#include "engine/config.h"

namespace emer {

struct TrainRequest {
  Config config{};
  std::string run_folder{};
  bool resume = false;  // go on from checkpoints/last; the configuration may only raise train.epochs
  // Go on from the newest checkpoint that is whole, start where there is none: what a job that is started again wants.
  // `init` counts for the start only.
  bool resume_or_start = false;
  std::string init{};      // weights to start from; empty = initialise from the seed
  std::string schedule{};  // batches to use; empty = shuffle
  // The ranks that share every batch; each calls train() with the same request but for its own communicator.
  std::shared_ptr<Communicator> communicator = local_communicator();
  // Asked after every step; true saves `last` and ends the run with Error(kStopped). May be empty.
  std::function<bool()> should_stop{};
  // The run ends likewise early enough that another step and the save are done by then.
  std::optional<std::chrono::steady_clock::time_point> stop_before{};
};

struct TrainResult {
  std::int64_t epoch = 0;  // the last one trained
  std::int64_t step = 0;
  double loss = 0.0;  // of the last step; NaN where no step was left to do
  bool stopped_early = false;
};

// Throws Error(kUsage) for a run folder that has checkpoints (without resume), a changed configuration (with
// it) and what this version cannot do; Error(kInput) for data, weights, schedule and checkpoints;
// Error(kRunFailed) with step, loss parts and last good checkpoint where loss or gradient stop being finite;
// Error(kStopped).
TrainResult train(const TrainRequest& request);

}  // namespace emer
