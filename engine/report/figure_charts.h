// engine/report/figure_charts.h - figures of results (engine/reproduce/tables.h) as Vega-Lite specifications.
#pragma once

#include <string>
#include <vector>

#include "engine/report/page.h"

namespace emer::report {

// One chart for each value of the figure's facet, all with the same scale of values; one where there is no facet. No
// charts where no row has what is drawn. Throws Error(kInput) for a figure that names a column its table does not have.
std::vector<Chart> figure_charts(const Figure& figure, const ResultTable& table);

}  // namespace emer::report
