// engine/reproduce/analysis_tables.h - the detailed analysis as measured, and the tables made of it. For
// gather_analysis() of engine/reproduce/experiment_parts.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/statistics.h"

namespace emer::analysis_results {

inline constexpr const char* kChance = "random order";

struct Named {
  const char *key, *title;
};
inline constexpr Named kSides[] = {{"textbook", "textbook"}, {"released", "as released"}};
inline constexpr Named kDirections[] = {{"m2e", "music to emotion"},
                                        {"m2e_standardised", "music to emotion, standardised features"},
                                        {"e2m", "emotion to music"}};

// One direction of one run, as measured.
struct Queries {
  std::vector<double> rank, group, category, cosine, precision, entropy, retrieved;
  double map = 0.0;
  std::vector<std::int64_t> zero_features;
};

// One row of the tables: a model, or the order of chance, over its seeds.
struct Entry {
  const Named* side;
  const Named* direction;
  std::string model;
  std::vector<std::pair<const MeasuredRun*, Queries>> runs;  // one a seed
};

// Of all sides and directions, chance first. Throws Error(kInput) naming run and place for values out of their range.
std::vector<Entry> entries_of(MeasuredRuns runs, const std::string& data);
bool by_categories(const Entry& entry);

std::vector<std::int64_t> ids(const nlohmann::ordered_json& values, const std::string& path,
                              const std::string& label);
std::vector<double> defined(const std::vector<double>& values);  // without NaN
// A value of every query, seed by seed; group < 0 takes all. Seeds without one are left out.
std::vector<std::vector<double>> by_seed(const Entry& entry, std::vector<double> Queries::*value, int group);
Summary summarised(const std::vector<std::vector<double>>& seeds, int resamples);  // NaN for no seeds

ResultTable cosine_table(const ExperimentPlan& plan, const StudyData& data, const std::vector<Entry>& entries,
                         const std::string& measured);
ResultTable group_table(const StudyData& data, const std::vector<Entry>& entries,
                        const std::string& measured);
ResultTable category_table(const ExperimentPlan& plan, const StudyData& data,
                           const std::vector<Entry>& entries, const std::string& measured);
// Of the runs of one model.
ResultTable switch_table(const StudyData& data, const std::string& model, MeasuredRuns runs,
                         const std::string& measured);

}  // namespace emer::analysis_results
