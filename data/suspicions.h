// data/suspicions.h - facts about a data set that are allowed and yet usually mean a mistake. All become
// warnings.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/import_report.h"

namespace emer {

// Pearson's correlation; 0 where one side is constant or there are fewer than two values.
double correlation(const std::vector<double>& x, const std::vector<double>& y);

// Each song's time mean of valence (column 0) or arousal (column 1).
std::vector<double> mean_rating(const Dataset& dataset, int column);

// Least and greatest rating, padding apart, of a data set of at least one song.
std::pair<float, float> rating_range(const Dataset& dataset);

// Columns that are constant, that carry a rating's name, or whose song means are, from ten songs on, a linear
// function of the mean ratings (multiple correlation with mean valence and mean arousal above .95).
void warn_about_features(const Dataset& dataset, const std::vector<std::string>& names, ImportReport& report);

// Ratings against the scale the source is published on.
void warn_about_scale(const Dataset& dataset, double low, double high, ImportReport& report);

}  // namespace emer
