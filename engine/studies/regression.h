// engine/studies/regression.h - how well valence and arousal of a song can be told from features of its music
// (method.md 5; options: ProbeOptions, B9 to B14): one fold to its scores, folds to a summary.
//
// Textbook: features standardised on the fold's training songs, C, gamma and epsilon chosen by the squared error of inner
// folds that are cut from them, Pearson's r. Released: features as they are, epsilon 0.1, every point of the grid scored
// on the test songs of every fold, the point with the best mean R^2 reported, R = sqrt(R^2). Each option works alone.
// Everything is a function of its arguments and the seed, whatever the number of threads (core/parallel.h).
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "engine/encode.h"
#include "engine/studies/svr.h"
#include "engine/studies_options.h"

namespace emer {

enum class FeatureSet { kEmbedding, kMeanLogVariance, kAll };
inline constexpr std::array<FeatureSet, 3> kFeatureSets = {FeatureSet::kEmbedding,
                                                           FeatureSet::kMeanLogVariance, FeatureSet::kAll};
const char* name_of(FeatureSet set);  // "embedding", "mean_log_variance", "all"

// Heads of the music encoder side by side. With the log-variance lost (B10) the two sets that hold it are left with the
// mean, and with embedding and mean.
FeatureRows music_features(const EncodedRows& encoded, FeatureSet set,
                           ProbeOptions::LogVariance log_variance);
// The music itself, as flatten_views() of engine/baselines.h has it: for the baselines.
FeatureRows raw_music_features(const Dataset& dataset, const std::vector<std::int64_t>& rows);

struct SongTargets {
  std::vector<double> valence, arousal;  // [rows]
};
// `dataset`: as prepared; neither standardised nor strided. Target::kByDataset: the last rating where the data set's name
// begins with "pmemo", else the mean. Columns::kArousalFirst swaps the two names and nothing else.
SongTargets song_targets(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                         const ProbeOptions& options);

struct FoldTarget {
  std::string name;                 // "valence"
  std::vector<double> train, test;  // one a row of the features
};
struct FoldData {
  FeatureRows train, test;
  std::vector<FoldTarget> targets;
};
FoldData fold_data(FeatureRows train, FeatureRows test, const SongTargets& train_targets,
                   const SongTargets& test_targets);

struct SvrGrid {
  std::vector<double> c, gamma, epsilon;  // gamma 0 = scale; epsilon only where it is selected
  double tolerance = 1e-3;
};

struct GridPoint {
  double c = 0.0, gamma = 0.0, epsilon = 0.0;  // of svr; gamma 0 = scale
  double penalty = 0.0;                        // of ridge
  bool operator==(const GridPoint&) const = default;
};
// Epsilon 0.1 alone where it is not selected. Error(kUsage) for an empty list or a value that is none.
std::vector<GridPoint> grid_points(const SvrGrid& grid, const ProbeOptions& options);

// NaN = undefined: R^2 where all test songs have the same target, r there and where all predictions are the same.
struct TestScores {
  double rmse = 0.0;
  double r = 0.0;  // Pearson's
  double r2 = 0.0;
};
TestScores score_predictions(std::span<const double> truth, std::span<const double> predicted);

struct PointOutcome {
  GridPoint point;
  double inner_error =
      0.0;  // mean squared error over held-out training songs; NaN where nothing was held out
  TestScores test;
};

struct FoldOutcome {
  std::string target;  // FoldTarget::name
  std::string method;  // "svr", "ridge", "mean"
  int train_songs = 0, test_songs = 0, width = 0;
  ProbeOptions::Selection selection = ProbeOptions::Selection::kNested;
  std::vector<PointOutcome> points;  // kNested: the chosen one; kTestFolds: all of the grid, in its order
};

// Rows of each of `folds` held-out parts of `songs` rows: numpy_permutation(seed) cut as numpy.array_split does.
std::vector<std::vector<int>> inner_folds(int songs, int folds, std::uint32_t seed);

// One outcome for each target. The seed draws the inner folds. Error(kUsage) for too few songs for the inner folds,
// Error(kRunFailed) for a feature or target that is not finite.
std::vector<FoldOutcome> regress_fold(const FoldData& fold, const SvrGrid& grid, const ProbeOptions& options,
                                      std::uint32_t seed);

// Baselines on the same folds. Ridge regression on standardised features, penalty |B|^2 chosen by inner folds; the mean
// of the training songs.
inline constexpr std::array<double, 8> kRidgePenalties = {0.1, 1, 10, 30, 100, 300, 1000, 3000};
std::vector<FoldOutcome> ridge_fold(const FoldData& fold, std::span<const double> penalties, int inner,
                                    std::uint32_t seed);
std::vector<FoldOutcome> mean_fold(const FoldData& fold);

// Over those folds where it is defined.
struct OverFolds {
  int folds = 0;
  double mean = 0.0;       // NaN for no fold
  double deviation = 0.0;  // of the sample, n - 1; NaN for fewer than 2 folds
};

struct RegressionSummary {
  std::string target, method;
  int folds = 0;
  OverFolds rmse, r, r2;
  std::vector<TestScores> of_folds;  // r as the option says
  std::vector<GridPoint> points;     // kNested: of each fold; kTestFolds: the one
  std::vector<std::string> notes;    // what was undefined, in how many folds, and why
};
// Outcomes of one target and method, one a fold, made with the same options. B11 and B12 are decided here: the best point
// over folds, and what R is. Where no fold has an R^2, the point with the lowest mean RMSE is taken, with a note. Throws
// Error(kRunFailed) where the outcomes do not belong together.
RegressionSummary summarise_folds(std::span<const FoldOutcome> outcomes, const ProbeOptions& options);

nlohmann::ordered_json to_json(const FoldOutcome& outcome);
// Throws Error(kInput) naming `label` and the place for what to_json() does not write.
FoldOutcome fold_outcome_from_json(const nlohmann::ordered_json& json, const std::string& label);

}  // namespace emer
