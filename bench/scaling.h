// bench/scaling.h - what a world of ranks takes for exchanges, losses and whole steps, split into compute, communication
// and waiting.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/communicator.h"

namespace emer::bench {

// One thing to measure; the same list on every rank.
struct ScalingCase {
  std::string
      what;  // all_reduce, all_gather, reduce_scatter (count: floats of a rank's share); cca, kl, step
  std::int64_t count = 0;  // floats, or songs of the batch of all ranks
  int dimensions = 0;      // of the embeddings; 0 for exchanges
};

// Of a repetition, medians. Seconds are those of the rank that takes longest, or, where said, the mean over ranks.
struct ScalingResult {
  ScalingCase one;
  int repetitions = 0;
  double seconds = 0.0;  // wall, with what overlaps overlapped
  double split_seconds =
      0.0;               // wall, without overlap: compute + communication + waiting of the same repetitions
  double compute = 0.0;  // mean over ranks
  double communication = 0.0;  // mean over ranks
  double waiting = 0.0;        // mean over ranks: for others that are not there yet
  double cpu_seconds =
      0.0;  // of a rank's own thread: what a machine with fewer cores than ranks does not stretch
  double calls = 0.0, bytes = 0.0;  // of one rank
  double parameters = 0.0;          // step: of the model
};

// Every rank calls it with the same arguments and gets the same result. Error(kRunFailed) where ranks disagree about a
// loss: a number that is wrong is not timed.
ScalingResult measure_scaling(const std::shared_ptr<Communicator>& world, const ScalingCase& one,
                              double seconds);

}  // namespace emer::bench
