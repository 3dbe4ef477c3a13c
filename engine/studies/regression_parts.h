// engine/studies/regression_parts.h - what the regressions of a fold share: standardised features, parts of the songs.
#pragma once

#include <vector>

#include "engine/studies/regression.h"

namespace emer::regression {

// Songs to fit on and songs to predict.
struct Part {
  FeatureRows train, test;
  std::vector<int> train_rows, test_rows;  // of the fold's training songs; empty for the whole fold
};

// Mean 0 and deviation 1 of the part's training songs; a constant feature only loses its mean.
void standardise(Part& part);

// The inner folds of the fold's training songs. Error(kUsage) where a part would be left with fewer than 2 songs.
std::vector<Part> inner_parts(const FeatureRows& songs, int folds, std::uint32_t seed);

std::vector<double> picked(const std::vector<double>& values, const std::vector<int>& rows);
double squared_error(const std::vector<double>& truth, const std::vector<double>& predicted);

// Throws as regress_fold() does.
void check_fold(const FoldData& fold);

FoldOutcome outcome_of(const FoldData& fold, const FoldTarget& target, const char* method);

}  // namespace emer::regression
