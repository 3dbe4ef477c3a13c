// engine/reproduce/result_rows.h - what the tables of the experiments have in common: whose ranks, in which columns, and
// what they were measured on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/measure.h"
#include "engine/reproduce/statistics.h"
#include "engine/reproduce/tables.h"

namespace emer {

inline constexpr std::uint64_t kTableSeed = 1;  // of every bootstrap in a table

// Ranks of every query of each seed's run; one direction of one evaluation of one model.
using RanksBySeed = std::map<std::int64_t, std::vector<double>>;

struct RankMetric {
  const char* key;
  const char* title;
  const char* unit;
  int digits;
  double (*of)(double rank);  // of one query; the metric is the mean over queries
};
// mrr, ar, r1, r5, r10.
const std::vector<RankMetric>& rank_metrics();
const RankMetric& rank_metric(const std::string& key);

std::vector<std::vector<double>> values_by_seed(const RanksBySeed& ranks, const RankMetric& metric);
Summary summarise_ranks_by_seed(const RanksBySeed& ranks, const RankMetric& metric, int resamples);
// Over the seeds that both have; n = 0 and NaN where there are none.
PairedComparison compare_ranks(const RanksBySeed& variant, const RanksBySeed& base, const RankMetric& metric,
                               int resamples);
double mean_median_rank(const RanksBySeed& ranks);

// Adds `path`/ranks of a run's values to the ranks of its seed. Throws Error(kInput) naming the run for ranks that are
// not at least 1.
void add_ranks(RanksBySeed& to, const MeasuredRun& run, const std::string& path);

// Ids of tables take letters, digits and _: anything else becomes _.
std::string as_id(std::string text);

Cell cell(double value);  // nothing where it is not finite
// mean, sd, low, high.
void add_columns(std::vector<Column>& columns, const std::string& key, const std::string& title,
                 const std::string& unit, int digits);
void add_cells(std::vector<Cell>& row, const Summary& summary);
// difference, low, high, p (sign flips), p adjusted.
void add_difference_columns(std::vector<Column>& columns, const std::string& key, const std::string& title,
                            const std::string& unit, int digits);
void add_cells(std::vector<Cell>& row, const PairedComparison& comparison, double adjusted_p);
// p of the t test and of the signed ranks, for tables that are not listed.
void add_test_columns(std::vector<Column>& columns, const std::string& key);
void add_test_cells(std::vector<Cell>& row, const PairedComparison& comparison);

// "released" of "released, loss.lambda=0.3", and the rest.
std::string model_of(const PlannedRun& run);
std::string change_of(const PlannedRun& run);
// Models of a plan's runs on a data set, in order of appearance.
std::vector<std::string> models_of(MeasuredRuns runs, const std::string& data);

// What a table was measured on: the data's label, the models' sizes and epochs, preset, seeds, songs ranked; says first
// and loudly where the features are generated. `protocol` is the experiment's own end of it.
std::string measured_on(const ExperimentPlan& plan, const StudyData& data, MeasuredRuns runs,
                        const std::string& protocol);
// Generated features; not the paper's data.
void add_data_remarks(ExperimentResults& results, const StudyData& data);

}  // namespace emer
