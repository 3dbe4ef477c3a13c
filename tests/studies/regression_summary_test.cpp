// Folds to a summary, by hand arithmetic; outcomes through JSON and back.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/studies/regression.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

ProbeOptions released() {
  ProbeOptions o;
  o.selection = ProbeOptions::Selection::kTestFolds;
  o.correlation = ProbeOptions::Correlation::kRootR2;
  return o;
}

FoldOutcome fold_of(ProbeOptions::Selection selection, const std::vector<TestScores>& scores) {
  FoldOutcome outcome{"valence", "svr", 90, 10, 4, selection, {}};
  double c = 1;
  for (const TestScores& s : scores) outcome.points.push_back({{.c = c++, .epsilon = 0.1}, 0.5, s});
  return outcome;
}

FoldOutcome nested(const TestScores& scores) {
  return fold_of(ProbeOptions::Selection::kNested, {scores});
}
FoldOutcome by_test(const std::vector<TestScores>& scores) {
  return fold_of(ProbeOptions::Selection::kTestFolds, scores);
}

TEST(RegressionSummary, MeanAndDeviationOverFolds) {
  const std::vector<FoldOutcome> folds = {nested({1, 0.5, 0.25}), nested({2, 0.75, 0.5}),
                                          nested({6, 0.25, -0.75})};
  const RegressionSummary s = summarise_folds(folds, {});
  EXPECT_EQ(s.folds, 3);
  EXPECT_DOUBLE_EQ(s.rmse.mean, 3.0);
  EXPECT_DOUBLE_EQ(s.rmse.deviation, std::sqrt((4.0 + 1.0 + 9.0) / 2.0));
  EXPECT_DOUBLE_EQ(s.r.mean, 0.5);
  EXPECT_DOUBLE_EQ(s.r2.mean, 0.0);
  EXPECT_EQ(s.points.size(), 3u);
  EXPECT_TRUE(s.notes.empty());
  ProbeOptions root;
  root.correlation = ProbeOptions::Correlation::kRootR2;
  // The mean of the roots, 0 where R^2 is negative.
  EXPECT_DOUBLE_EQ(summarise_folds(folds, root).r.mean, (0.5 + std::sqrt(0.5) + 0.0) / 3.0);
}

TEST(RegressionSummary, ReleasedChoiceIsTheBestMeanOverFolds) {
  // Point 1 wins fold 1, point 3 fold 2; point 2 has the best mean.
  const std::vector<FoldOutcome> folds = {by_test({{1, 0, 0.9}, {2, 0, 0.8}, {3, 0, 0.1}}),
                                          by_test({{4, 0, 0.2}, {5, 0, 0.8}, {6, 0, 0.85}})};
  const RegressionSummary s = summarise_folds(folds, released());
  ASSERT_EQ(s.points.size(), 1u);
  EXPECT_EQ(s.points[0].c, 2);
  EXPECT_DOUBLE_EQ(s.r2.mean, 0.8);
  EXPECT_DOUBLE_EQ(s.rmse.mean, 3.5);
  EXPECT_DOUBLE_EQ(s.r.mean, std::sqrt(0.8));
  EXPECT_EQ(s.of_folds[1].rmse, 5);
}

TEST(RegressionSummary, UndefinedFoldsAreLeftOutAndCounted) {
  const std::vector<FoldOutcome> folds = {nested({1, 0.5, 0.25}), nested({3, kNaN, kNaN}),
                                          nested({5, kNaN, 0.75})};
  const RegressionSummary s = summarise_folds(folds, {});
  EXPECT_DOUBLE_EQ(s.rmse.mean, 3.0);
  EXPECT_EQ(s.rmse.folds, 3);
  EXPECT_DOUBLE_EQ(s.r2.mean, 0.5);
  EXPECT_EQ(s.r2.folds, 2);
  EXPECT_DOUBLE_EQ(s.r.mean, 0.5);
  EXPECT_EQ(s.r.folds, 1);
  EXPECT_TRUE(std::isnan(s.r.deviation));
  ASSERT_EQ(s.notes.size(), 2u);
  EXPECT_TRUE(test::contains(s.notes[0], "R and R^2 undefined in 1 of 3 folds (fold 2)"));
  EXPECT_TRUE(test::contains(s.notes[0], "the same target"));
  EXPECT_TRUE(test::contains(s.notes[1], "R undefined in 1 of 3 folds (fold 3)"));
  EXPECT_TRUE(test::contains(s.notes[1], "the same prediction"));
}

TEST(RegressionSummary, NoFoldWithAnRSquared) {
  const std::vector<FoldOutcome> folds = {by_test({{3, kNaN, kNaN}, {1, kNaN, kNaN}}),
                                          by_test({{3, kNaN, kNaN}, {2, kNaN, kNaN}})};
  const RegressionSummary s = summarise_folds(folds, released());
  EXPECT_EQ(s.points[0].c, 2);
  EXPECT_DOUBLE_EQ(s.rmse.mean, 1.5);
  EXPECT_TRUE(std::isnan(s.r2.mean));
  EXPECT_TRUE(std::isnan(s.r.mean));
  EXPECT_EQ(s.r2.folds, 0);
  EXPECT_TRUE(test::contains(s.notes[0], "chosen by RMSE"));
}

TEST(RegressionSummary, RefusesFoldsThatDoNotBelongTogether) {
  const FoldOutcome a = nested({1, 0, 0}), grid = by_test({{1, 0, 0}, {1, 0, 0}});
  FoldOutcome arousal = a, ridge = a;
  arousal.target = "arousal";
  ridge.method = "ridge";
  const auto of = [](std::vector<FoldOutcome> folds, ProbeOptions o = {}) {
    return [folds, o] { summarise_folds(folds, o); };
  };
  EXPECT_NO_THROW(of({a, a})());
  for (const FoldOutcome& other : {arousal, ridge, grid})
    EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"fold 2", "measure"}, of({a, other})));
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"fold 1"}, of({a}, released())));
  FoldOutcome moved = grid;
  moved.points[1].point.gamma = 5;
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"fold 2"}, of({grid, moved}, released())));
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"no folds"}, of({})));
}

TEST(RegressionJson, OutcomesReadBackAsTheyWere) {
  FoldOutcome outcome = by_test({{0.125, -0.5, 1.0 / 3}, {2, kNaN, kNaN}});
  outcome.points[0].inner_error = kNaN;
  outcome.points[1].point = {.c = 512, .gamma = 0, .epsilon = 0.05, .penalty = 30};
  const std::string text = to_json(outcome).dump();
  const FoldOutcome back = fold_outcome_from_json(nlohmann::ordered_json::parse(text), "here");
  EXPECT_EQ(to_json(back).dump(), text);
  EXPECT_EQ(back.points[0].test.r2, 1.0 / 3);
  EXPECT_TRUE(std::isnan(back.points[0].inner_error));
  EXPECT_TRUE(std::isnan(back.points[1].test.r));
  EXPECT_EQ(back.points[1].point, outcome.points[1].point);
  EXPECT_EQ(back.selection, ProbeOptions::Selection::kTestFolds);
  EXPECT_EQ(back.width, 4);
}

TEST(RegressionJson, RefusesOtherThings) {
  const nlohmann::ordered_json good = to_json(nested({1, 0.5, 0.25}));
  const auto with = [&](const char* pointer, const nlohmann::ordered_json& value) {
    nlohmann::ordered_json changed = good;
    changed[nlohmann::ordered_json::json_pointer(pointer)] = value;
    return [changed] { fold_outcome_from_json(changed, "file.json"); };
  };
  EXPECT_NO_THROW(with("/target", "arousal")());
  EXPECT_TRUE(test::refuses_input({"file.json", "target"}, with("/target", 1)));
  EXPECT_TRUE(test::refuses_input({"method"}, with("/method", "svm")));
  EXPECT_TRUE(test::refuses_input({"test_songs"}, with("/test_songs", 0)));
  EXPECT_TRUE(test::refuses_input({"test_songs"}, with("/test_songs", 2.5)));
  EXPECT_TRUE(test::refuses_input({"selection"}, with("/selection", "both")));
  EXPECT_TRUE(test::refuses_input({"points"}, with("/points", nlohmann::ordered_json::array())));
  EXPECT_TRUE(test::refuses_input({"points[0]"}, with("/points/0", 3)));
  EXPECT_TRUE(test::refuses_input({"points[0].rmse"}, with("/points/0/rmse", -1)));
  EXPECT_TRUE(test::refuses_input({"points[0].rmse"}, with("/points/0/rmse", nullptr)));
  EXPECT_TRUE(test::refuses_input({"points[0].r2"}, with("/points/0/r2", 1.5)));
  EXPECT_TRUE(test::refuses_input({"points[0].r"}, with("/points/0/r", "x")));
  EXPECT_TRUE(test::refuses_input({"not an object"}, [] { fold_outcome_from_json(1, "file.json"); }));
  nlohmann::ordered_json less = good;
  less["points"][0].erase("gamma");
  EXPECT_TRUE(
      test::refuses_input({"points[0].gamma", "missing"}, [&] { fold_outcome_from_json(less, "x"); }));
}

}  // namespace
}  // namespace emer
