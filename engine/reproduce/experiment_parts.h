// engine/reproduce/experiment_parts.h - one experiment each: what it measures on a run, and its tables. For
// engine/reproduce/experiments.cpp and tests.
#pragma once

#include <span>
#include <string>

#include "engine/reproduce/measure.h"
#include "engine/reproduce/plan.h"
#include "engine/reproduce/tables.h"

namespace emer {

using MeasuredRuns = std::span<const MeasuredRun>;

nlohmann::ordered_json measure_retrieval(const ExperimentPlan& plan, const PlannedRun& run,
                                         const std::string& out, int threads);
ExperimentResults gather_retrieval(const ExperimentPlan& plan, MeasuredRuns runs);

nlohmann::ordered_json measure_analysis(const ExperimentPlan& plan, const PlannedRun& run,
                                        const std::string& out, int threads);
ExperimentResults gather_analysis(const ExperimentPlan& plan, MeasuredRuns runs);

nlohmann::ordered_json measure_lambda(const ExperimentPlan& plan, const PlannedRun& run,
                                      const std::string& out, int threads);
ExperimentResults gather_lambda(const ExperimentPlan& plan, MeasuredRuns runs);

nlohmann::ordered_json measure_regression(const ExperimentPlan& plan, const PlannedRun& run,
                                          const std::string& out, int threads);
ExperimentResults gather_regression(const ExperimentPlan& plan, MeasuredRuns runs);

nlohmann::ordered_json measure_defects(const ExperimentPlan& plan, const PlannedRun& run,
                                       const std::string& out, int threads);
ExperimentResults gather_defects(const ExperimentPlan& plan, MeasuredRuns runs);

}  // namespace emer
