// engine/reproduce/study_baselines.h - retrieval without learning to embed, on the split of a run: single-direction
// regressions from music to ratings, and linear CCA.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/reproduce/plan.h"

namespace emer {

struct StudyBaseline {
  const char* name;   // "ridge"
  const char* title;  // for tables
};
// In the order of tables.
const std::vector<StudyBaseline>& study_baselines();

// {"ridge": {"m2e": {"ranks"}, "e2m": {"ranks"}}, …} of the run's test songs: raw features and ratings of the study's own
// prepared file, fitted on all songs that are not test songs (nothing is chosen, so none are held back).
nlohmann::ordered_json measure_baselines(const StudyData& data, const PlannedRun& run);

}  // namespace emer
