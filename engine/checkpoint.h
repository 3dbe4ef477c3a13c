// engine/checkpoint.h - a folder that holds all a run needs to go on (interchange.md, "Checkpoint").
//
// A checkpoint is written under NAME.new, state.json last, and then takes NAME's place: NAME becomes
// NAME.old, NAME.new becomes NAME, NAME.old goes. At every moment one of the three is complete, and
// find_complete() knows the order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/context.h"
#include "engine/config.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/prepared_data.h"

namespace emer {

struct BestMetric {
  double value = 0.0;
  std::int64_t epoch = 0;
};

// Where a run stands. Random numbers are functions of seed, epoch and step, so these are their whole state.
struct TrainingState {
  std::int64_t epoch = 1;     // the one in progress, from 1
  std::int64_t position = 0;  // its batches that are done
  std::int64_t step = 0;      // optimiser steps that are done
  std::optional<BestMetric> best;
  int validations_without_improvement = 0;
  bool stopped_early = false;
  std::int64_t schedule_batches = 0;  // of --schedule; 0 = shuffled
};

struct CheckpointContents {
  const Config& config;
  const PreparedData& data;
  const ParameterList<float>& parameters;
  const Optimizer& optimizer;
  const TrainingState& state;
  std::size_t shard_optimizer_above = Optimizer::kShardAbove;  // bytes, Optimizer::save()
};

// Writes `folder`/`name`, replacing it. All ranks call: rank 0 writes, and others their shards of the optimiser's state
// where it is large. Throws Error(kRunFailed) where the disk refuses: on every rank, whichever could not write, and what
// was there before is still there.
void save_checkpoint(Context& ctx, const std::string& folder, const std::string& name,
                     const CheckpointContents& contents);

bool is_complete_checkpoint(const std::string& path);  // has a state.json
// `folder`/`name`, or what an interrupted replacement left of it; empty where there is none.
std::string find_complete(const std::string& folder, const std::string& name);

// Each throws Error(kInput) naming file and fault.
TrainingState load_state(const std::string& checkpoint);
Standardisations load_standardisation(const std::string& checkpoint);  // identities where there is no file

}  // namespace emer
