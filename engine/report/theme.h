// engine/report/theme.h - how charts look: one configuration of Vega-Lite for the page, whose colours are CSS variables
// (so that light, dark and print need no redrawing), and one for figures of papers.
#pragma once

#include <nlohmann/json.hpp>

namespace emer::report {

nlohmann::ordered_json page_theme();
nlohmann::ordered_json print_theme();

}  // namespace emer::report
