// The regression study: against scikit-learn's nested selection on a stored fold (tests/goldens/svr.py), against hand
// arithmetic, and what may and may not look at the test songs.
#include "engine/studies/regression.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "core/parallel.h"
#include "data/split.h"
#include "tests/studies/stored_fold.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

SongTargets stored_targets(const std::string& name) {
  const std::vector<double> both = stored().read<double>(name, {-1, 2});
  SongTargets targets;
  for (std::size_t i = 0; i < both.size(); i += 2) {
    targets.valence.push_back(both[i]);
    targets.arousal.push_back(both[i + 1]);
  }
  return targets;
}

FoldData stored_fold() {
  return fold_data(stored_rows("train"), stored_rows("test"), stored_targets("train_targets"),
                   stored_targets("test_targets"));
}

// The grid of tests/goldens/svr.py, solved as exactly as there.
SvrGrid stored_grid() {
  return {.c = {0.5, 2, 32, 512}, .gamma = {0, 0.5, 2}, .epsilon = {0.05, 0.1, 0.2}, .tolerance = 1e-10};
}
constexpr std::uint32_t kStoredSeed = 20;

ProbeOptions released() {
  ProbeOptions o;
  o.selection = ProbeOptions::Selection::kTestFolds;
  o.correlation = ProbeOptions::Correlation::kRootR2;
  o.scale_inputs = false;
  o.select_epsilon = false;
  return o;
}

void expect_scores(const TestScores& got, const double* rmse_r_r2) {
  EXPECT_NEAR(got.rmse, rmse_r_r2[0], 1e-6);
  EXPECT_NEAR(got.r, rmse_r_r2[1], 1e-6);
  EXPECT_NEAR(got.r2, rmse_r_r2[2], 1e-6);
}

TEST(RegressionStoredFold, NestedSelectionIsScikitLearns) {
  const std::vector<FoldOutcome> outcomes = regress_fold(stored_fold(), stored_grid(), {}, kStoredSeed);
  const std::vector<double> grid = stored().read<double>("grid", {-1, 3});
  const std::vector<double> errors =
      stored().read<double>("nested.errors", {2, static_cast<std::int64_t>(grid.size() / 3)});
  const std::vector<double> scores = stored().read<double>("nested.scores", {2, 3});
  const std::vector<std::int64_t> best = stored().read<std::int64_t>("nested.best");
  ASSERT_EQ(outcomes.size(), 2u);
  for (std::size_t t = 0; t < 2; ++t) {
    ASSERT_EQ(outcomes[t].points.size(), 1u);
    const PointOutcome& chosen = outcomes[t].points[0];
    const std::size_t at = static_cast<std::size_t>(best[t]);
    EXPECT_EQ(chosen.point.c, grid[3 * at]);
    EXPECT_EQ(chosen.point.gamma, grid[3 * at + 1]);
    EXPECT_EQ(chosen.point.epsilon, grid[3 * at + 2]);
    EXPECT_NEAR(chosen.inner_error, errors[t * grid.size() / 3 + at], 1e-6);
    expect_scores(chosen.test, &scores[3 * t]);
  }
  EXPECT_EQ(outcomes[0].target, "valence");
  EXPECT_EQ(outcomes[1].target, "arousal");
  EXPECT_EQ(outcomes[0].train_songs, 160);
  EXPECT_EQ(outcomes[0].test_songs, 40);
  EXPECT_EQ(outcomes[0].width, 24);
}

TEST(RegressionStoredFold, EveryPointOfTheReleasedGridIsScikitLearns) {
  const std::vector<FoldOutcome> outcomes =
      regress_fold(stored_fold(), stored_grid(), released(), kStoredSeed);
  const std::vector<double> points = stored().read<double>("released.points", {-1, 3});
  const std::vector<double> scores = stored().read<double>("released.scores", {-1, 2, 3});
  for (std::size_t t = 0; t < 2; ++t) {
    ASSERT_EQ(outcomes[t].points.size(), points.size() / 3);
    for (std::size_t p = 0; p < points.size() / 3; ++p) {
      EXPECT_EQ(outcomes[t].points[p].point.c, points[3 * p]);
      EXPECT_EQ(outcomes[t].points[p].point.gamma, points[3 * p + 1]);
      EXPECT_EQ(outcomes[t].points[p].point.epsilon, 0.1);
      EXPECT_TRUE(std::isnan(outcomes[t].points[p].inner_error));
      expect_scores(outcomes[t].points[p].test, &scores[3 * (2 * p + t)]);
    }
  }
}

// Predictions of both agree to 1e-6, so r does to 1e-6 / their deviation: nothing can be asked of the r of predictions
// that are all but the same, which the largest gamma makes.
TEST(RegressionStoredFold, DefaultToleranceScoresAreScikitLearnsToo) {
  const std::vector<double> points = stored().read<double>("points", {-1, 3});
  const std::vector<double> want = stored().read<double>("default.scores", {-1, 2, 3});
  ProbeOptions options = released();
  options.select_epsilon = true;
  int compared = 0;
  for (std::size_t p = 0; p < points.size() / 3; ++p) {
    const SvrGrid one{.c = {points[3 * p]}, .gamma = {points[3 * p + 1]}, .epsilon = {points[3 * p + 2]}};
    const std::vector<FoldOutcome> outcomes = regress_fold(stored_fold(), one, options, kStoredSeed);
    for (std::size_t t = 0; t < 2; ++t) {
      const TestScores& got = outcomes[t].points[0].test;
      const double* scores = &want[3 * (2 * p + t)];
      EXPECT_NEAR(got.rmse, scores[0], 1e-6);
      EXPECT_NEAR(got.r2, scores[2], 1e-6);
      if (points[3 * p + 1] == 32.0) continue;
      EXPECT_NEAR(got.r, scores[1], 1e-6);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 20);
}

TEST(RegressionStoredFold, RidgeIsScikitLearns) {
  const std::vector<double> penalties = stored().read<double>("penalties"),
                            scores = stored().read<double>("ridge.scores", {2, 3}),
                            errors = stored().read<double>("ridge.errors", {2, -1});
  const std::vector<std::int64_t> best = stored().read<std::int64_t>("ridge.best");
  const std::vector<FoldOutcome> outcomes = ridge_fold(stored_fold(), penalties, 3, kStoredSeed);
  for (std::size_t t = 0; t < 2; ++t) {
    const std::size_t at = static_cast<std::size_t>(best[t]);
    EXPECT_EQ(outcomes[t].method, "ridge");
    EXPECT_EQ(outcomes[t].points[0].point.penalty, penalties[at]);
    EXPECT_NEAR(outcomes[t].points[0].inner_error, errors[t * penalties.size() + at], 1e-9);
    expect_scores(outcomes[t].points[0].test, &scores[3 * t]);
  }
}

TEST(Regression, ScoresByHand) {
  // Errors 1, 0, -1, 0; truth about its mean 2.5: -1.5 -.5 .5 1.5 (squares 5); predictions about 2.5: -.5 -.5 -.5 1.5
  // (squares 3), products .75 + .25 - .25 + 2.25 = 3.
  const TestScores s = score_predictions(std::vector<double>{1, 2, 3, 4}, std::vector<double>{2, 2, 2, 4});
  EXPECT_DOUBLE_EQ(s.rmse, std::sqrt(0.5));
  EXPECT_DOUBLE_EQ(s.r2, 1.0 - 2.0 / 5.0);
  EXPECT_DOUBLE_EQ(s.r, 3.0 / std::sqrt(15.0));
}

TEST(Regression, ConstantsLeaveScoresUndefined) {
  const TestScores target =
      score_predictions(std::vector<double>{0.3, 0.3, 0.3}, std::vector<double>{1, 2, 3});
  EXPECT_NEAR(target.rmse, std::sqrt((0.49 + 2.89 + 7.29) / 3), 1e-12);
  EXPECT_TRUE(std::isnan(target.r));
  EXPECT_TRUE(std::isnan(target.r2));
  const TestScores prediction = score_predictions(std::vector<double>{1, 2, 3}, std::vector<double>{2, 2, 2});
  EXPECT_TRUE(std::isnan(prediction.r));
  EXPECT_DOUBLE_EQ(prediction.r2, 0.0);
}

TEST(Regression, InnerFoldsAreSpeltOut) {
  // numpy.array_split(numpy.random.RandomState(3).permutation(11), 3)
  EXPECT_EQ(inner_folds(11, 3, 3), (std::vector<std::vector<int>>{{5, 4, 1, 2}, {9, 6, 7, 0}, {3, 8, 10}}));
}

TEST(Regression, TenFoldsOfASeedAreSpeltOut) {
  Dataset songs;
  songs.name = "numbered";
  for (int i = 0; i < 25; ++i) songs.song_id.push_back(100 + i);
  const std::vector<std::vector<std::int64_t>> want = {
      {102, 111, 107}, {121, 110, 109}, {118, 123, 104}, {119, 100, 124}, {103, 120, 114},
      {101, 108},      {112, 116},      {106, 105},      {113, 115},      {117, 122}};
  std::set<std::int64_t> seen;
  for (int fold = 0; fold < 10; ++fold) {
    const Split split = make_split(songs, {.method = "kfold", .seed = 9999, .folds = 10, .fold = fold});
    EXPECT_EQ(split.test, want[static_cast<std::size_t>(fold)]) << "fold " << fold;
    EXPECT_EQ(split.train.size() + split.test.size(), 25u);
    seen.insert(split.test.begin(), split.test.end());
  }
  EXPECT_EQ(seen.size(), 25u);
}

FoldData with_test_targets(FoldData fold, double slope) {
  for (FoldTarget& target : fold.targets)
    for (std::size_t i = 0; i < target.test.size(); ++i)
      target.test[i] = slope * fold.test.values[i * static_cast<std::size_t>(fold.test.width)];
  return fold;
}

TEST(Regression, TestTargetsReachTheReleasedChoiceOnly) {
  const SvrGrid grid{.c = {0.5, 32, 512}, .gamma = {0, 0.02, 2}, .epsilon = {0.05, 0.1}};
  const FoldData fold = stored_fold();
  ProbeOptions by_test = released();
  const auto choice = [&](const FoldData& data, const ProbeOptions& options) {
    std::vector<FoldOutcome> outcomes = regress_fold(data, grid, options, 1);
    return summarise_folds(std::span(outcomes).first(1), options).points;
  };
  bool released_moved = false;
  for (const double slope : {-1.0, 3.0, 30.0}) {
    const FoldData other = with_test_targets(fold, slope);
    EXPECT_EQ(choice(other, {}), choice(fold, {}));
    released_moved = released_moved || choice(other, by_test) != choice(fold, by_test);
  }
  EXPECT_TRUE(released_moved);
}

TEST(Regression, TestFeaturesDoNotReachTheScaling) {
  constexpr int kSongs = 3;
  FoldData fold = stored_fold();
  fold.test.rows = kSongs;
  fold.test.values.resize(static_cast<std::size_t>(kSongs * fold.test.width));
  for (FoldTarget& target : fold.targets) target.test.resize(kSongs);
  const SvrGrid grid{.c = {1}, .gamma = {0}, .epsilon = {0.1}};
  const std::vector<FoldOutcome> both = regress_fold(fold, grid, {}, 1);
  // One test song alone is predicted as among the others.
  FoldData one = fold;
  one.test.rows = 1;
  one.test.values.resize(static_cast<std::size_t>(one.test.width));
  double error = 0.0;
  for (int song = 0; song < fold.test.rows; ++song) {
    const std::size_t width = static_cast<std::size_t>(fold.test.width), at = static_cast<std::size_t>(song);
    std::copy_n(fold.test.values.begin() + static_cast<std::ptrdiff_t>(at * width), width,
                one.test.values.begin());
    for (std::size_t t = 0; t < 2; ++t) one.targets[t].test = {fold.targets[t].test[at]};
    const double rmse = regress_fold(one, grid, {}, 1)[0].points[0].test.rmse;
    error += rmse * rmse / fold.test.rows;
  }
  EXPECT_NEAR(std::sqrt(error), both[0].points[0].test.rmse, 1e-9);
}

TEST(Regression, EachSwitchWorksAlone) {
  const SvrGrid grid{.c = {0.5, 32}, .gamma = {0, 0.5}, .epsilon = {0.02, 0.3}};
  const FoldData fold = stored_fold();
  const auto points = [&](const ProbeOptions& o) { return regress_fold(fold, grid, o, 1)[0].points; };
  ProbeOptions o;
  const std::vector<PointOutcome> textbook = points(o);
  ASSERT_EQ(textbook.size(), 1u);
  o.select_epsilon = false;
  EXPECT_EQ(points(o)[0].point.epsilon, 0.1);
  EXPECT_NE(textbook[0].point.epsilon, 0.1);
  o = {};
  o.scale_inputs = false;
  EXPECT_NE(points(o)[0].test.rmse, textbook[0].test.rmse);
  o = {};
  o.selection = ProbeOptions::Selection::kTestFolds;
  EXPECT_EQ(points(o).size(), 8u);
  o = {};
  o.inner_folds = 5;
  EXPECT_NE(points(o)[0].inner_error, textbook[0].inner_error);
}

TEST(Regression, ThreadsDoNotChangeBits) {
  const int before = thread_count();
  const SvrGrid grid{.c = {0.5, 32}, .gamma = {0, 0.5}, .epsilon = {0.1}};
  std::vector<nlohmann::ordered_json> results;
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    results.push_back(to_json(regress_fold(stored_fold(), grid, {}, 1)[1]));
  }
  set_thread_count(before);
  EXPECT_EQ(results[0], results[1]);
}

TEST(Regression, MeanOfTheTrainingSongs) {
  FoldData fold{{3, 1, {1, 2, 3}}, {2, 1, {4, 5}}, {{"valence", {1, 2, 6}, {3, 5}}}};
  const std::vector<FoldOutcome> outcomes = mean_fold(fold);
  EXPECT_DOUBLE_EQ(outcomes[0].points[0].test.rmse, std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(outcomes[0].points[0].test.r2, 1.0 - 4.0 / 2.0);
  EXPECT_TRUE(std::isnan(outcomes[0].points[0].test.r));
}

TEST(Regression, ConstantTargetsAndFeaturesDoNotCrash) {
  FoldData fold = stored_fold();
  std::fill(fold.targets[0].train.begin(), fold.targets[0].train.end(), 0.25);
  std::fill(fold.targets[1].test.begin(), fold.targets[1].test.end(), 0.25);
  const SvrGrid grid{.c = {1}, .gamma = {0}, .epsilon = {0.1}};
  for (const ProbeOptions& options : {ProbeOptions{}, released()}) {
    const std::vector<FoldOutcome> outcomes = regress_fold(fold, grid, options, 1);
    EXPECT_TRUE(std::isnan(outcomes[0].points[0].test.r));  // every prediction is .25
    EXPECT_TRUE(std::isfinite(outcomes[0].points[0].test.r2));
    EXPECT_TRUE(std::isnan(outcomes[1].points[0].test.r2));
    EXPECT_TRUE(std::isfinite(outcomes[1].points[0].test.rmse));
  }
  std::fill(fold.train.values.begin(), fold.train.values.end(), 7.0);
  std::fill(fold.test.values.begin(), fold.test.values.end(), 7.0);
  EXPECT_TRUE(std::isfinite(regress_fold(fold, grid, {}, 1)[0].points[0].test.rmse));
}

TEST(Regression, RefusesWhatCannotBeDone) {
  FoldData fold = stored_fold();
  const SvrGrid grid{.c = {1}, .gamma = {0}, .epsilon = {0.1}};
  const auto call = [&](const SvrGrid& g, const ProbeOptions& o = {}) {
    return [&fold, g, o] { regress_fold(fold, g, o, 1); };
  };
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"no values of epsilon"},
                            call({.c = {1}, .gamma = {0}, .epsilon = {}})));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"C is 0"}, call({.c = {0}, .gamma = {0}, .epsilon = {0}})));
  EXPECT_TRUE(
      test::refuses(ErrorKind::kUsage, {"gamma is -1"}, call({.c = {1}, .gamma = {-1}, .epsilon = {0}})));
  ProbeOptions many;
  many.inner_folds = 161;
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"160 training songs", "161 inner folds"}, call(grid, many)));
  fold.train.values[30] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"feature of song 2"}, call(grid)));
}

TEST(RegressionFeatures, HeadsSideBySide) {
  EncodedRows rows;
  rows.n = 2;
  rows.d = 2;
  rows.music_embedding = {1, 2, 3, 4};
  rows.music_mean = {5, 6, 7, 8};
  rows.music_log_variance = {9, 10, 11, 12};
  using Lost = ProbeOptions::LogVariance;
  const auto values = [&](FeatureSet set, Lost lost) { return music_features(rows, set, lost).values; };
  EXPECT_EQ(values(FeatureSet::kEmbedding, Lost::kUsed), (std::vector<double>{1, 2, 3, 4}));
  EXPECT_EQ(values(FeatureSet::kMeanLogVariance, Lost::kUsed),
            (std::vector<double>{5, 6, 9, 10, 7, 8, 11, 12}));
  EXPECT_EQ(values(FeatureSet::kAll, Lost::kUsed),
            (std::vector<double>{1, 2, 5, 6, 9, 10, 3, 4, 7, 8, 11, 12}));
  EXPECT_EQ(values(FeatureSet::kEmbedding, Lost::kLost), (std::vector<double>{1, 2, 3, 4}));
  EXPECT_EQ(values(FeatureSet::kMeanLogVariance, Lost::kLost), (std::vector<double>{5, 6, 7, 8}));
  EXPECT_EQ(values(FeatureSet::kAll, Lost::kLost), (std::vector<double>{1, 2, 5, 6, 3, 4, 7, 8}));
  EXPECT_EQ(music_features(rows, FeatureSet::kAll, Lost::kUsed).width, 6);
}

TEST(RegressionTargets, MeanLastAndColumns) {
  Dataset d;
  d.name = "deam";
  d.song_id = {1, 2};
  d.emotion_steps = 3;
  d.emotion_length = {3, 2};
  d.emotion = {1, -1, 2, -2, 6, -3, 0.5f, 4, 1.5f, 8, 0, 0};
  ProbeOptions o;
  using Values = std::vector<double>;
  const auto both = [&](std::vector<std::int64_t> rows) {
    const SongTargets t = song_targets(d, rows, o);
    return std::pair(t.valence, t.arousal);
  };
  EXPECT_EQ(both({0, 1}), std::pair(Values({3, 1}), Values({-2, 6})));
  o.target = ProbeOptions::Target::kLast;
  EXPECT_EQ(both({1, 0}), std::pair(Values({1.5, 6}), Values({8, -3})));
  o.target = ProbeOptions::Target::kByDataset;
  EXPECT_EQ(both({1}), std::pair(Values({1}), Values({6})));
  d.name = "pmemo";
  EXPECT_EQ(both({1}), std::pair(Values({1.5}), Values({8})));
  o.columns = ProbeOptions::Columns::kArousalFirst;
  EXPECT_EQ(both({1}), std::pair(Values({8}), Values({1.5})));
}

}  // namespace
}  // namespace emer
