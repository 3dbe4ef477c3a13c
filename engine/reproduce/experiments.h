// engine/reproduce/experiments.h - what each experiment measures on a finished run, and the tables it makes of all of
// them.
//
// A run's measures are OUT/runs/ID/<experiment>.json (engine/reproduce/measure.h), made once and kept; tables are made
// from these files alone.
#pragma once

#include <string>
#include <vector>

#include "engine/reproduce/plan.h"
#include "engine/reproduce/tables.h"

namespace emer {

// In the order in which `all` makes them.
std::vector<std::string> experiment_names();

// Opens the last checkpoint of OUT/runs/ID (the published protocol validates nothing, so there is no best one) and
// writes the run's measures; nothing is done where they are there and were made from the same. `run` is one of the
// plan's. threads = 0: all. Throws Error(kInput) for a run that is not there or cannot be read, Error(kRunFailed) for
// outputs that are not finite.
void measure_run(const ExperimentPlan& plan, const PlannedRun& run, const std::string& out, int threads);

// Whether OUT/runs/ID/<experiment>.json is there, whole, and was made from what is there now.
bool is_measured(const ExperimentPlan& plan, const PlannedRun& run, const std::string& out);

// The experiment's tables and figures. Throws Error(kInput) naming the runs whose measures are missing or were made from
// something else.
ExperimentResults gather(const ExperimentPlan& plan, const std::string& out);

}  // namespace emer
