// engine/report/run_page.h - the report of a run folder.
#pragma once

#include <string>

#include "engine/report/page.h"

namespace emer::report {

// Reads the run; opens its checkpoint and data set where they can be read (`data_path`: a data set that is not where
// the configuration says). Throws Error(kInput) where there is no run (run_data.h); what is missing in one becomes a
// remark.
Page run_page(const std::string& folder, const std::string& data_path = "");

// Facts of environment.json, nested keys joined by a point.
Facts environment_facts(const nlohmann::ordered_json& environment);

}  // namespace emer::report
