// engine/report/run_charts.h - a run's charts as Vega-Lite specifications.
#pragma once

#include <vector>

#include "engine/report/page.h"
#include "engine/report/retrieval_map.h"
#include "engine/report/run_data.h"
#include "engine/scoring.h"

namespace emer::report {

// Loss and its parts, gradient norm, throughput, learning rate over steps; no chart for what is nowhere finite.
std::vector<Chart> training_charts(const RunData& run);
// MRR and AR after each validation, both ways; none without validations.
std::vector<Chart> validation_charts(const RunData& run);
// Histogram and share of queries found among the first k, both ways, with chance.
std::vector<Chart> rank_charts(const EvaluationFigures& evaluation);
Chart correlation_chart(const std::vector<double>& correlations, double threshold);
// Queries and answers in the valence-arousal plane, one direction.
Chart map_chart(const RetrievalMap& map, Direction direction);

// To six significant digits: what is drawn needs no more, and the page stays small.
double shortened(double value);

}  // namespace emer::report
