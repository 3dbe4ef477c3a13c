// engine/report/results_page.h - the report of `emer reproduce`'s results.
#pragma once

#include "engine/report/page.h"
#include "engine/reproduce/results_file.h"

namespace emer::report {

Page results_page(const ResultsFile& results);

}  // namespace emer::report
