#include "engine/report/run_charts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace emer::report {
namespace {

RunData run_of(int steps, int per_epoch) {
  RunData run;
  for (int i = 1; i <= steps; ++i)
    run.metrics.steps.push_back(
        {i, 1 + (i - 1) / per_epoch, 1000.0 / i, -2.0 - i, 10.0 + i, 1e-5, 3.0, 100.0, 1e9 + i});
  return run;
}

const Chart& named(const std::vector<Chart>& charts, const std::string& id) {
  for (const Chart& chart : charts)
    if (chart.id == id) return chart;
  throw std::runtime_error("no chart " + id);
}

std::map<double, double> series(const Chart& chart, const std::string& name) {
  std::map<double, double> out;
  for (const ordered_json& layer : chart.spec["layer"])
    for (const ordered_json& row : layer["data"]["values"])
      if (row.value("series", "") == name) out[row["step"]] = row["value"];
  return out;
}

TEST(RunCharts, CurvesHoldTheStepsAndTheMeansOfEpochs) {
  const std::vector<Chart> charts = training_charts(run_of(6, 3));
  EXPECT_EQ(charts.size(), 6u);
  const Chart& loss = named(charts, "loss");
  const auto steps = series(loss, "each step");
  ASSERT_EQ(steps.size(), 6u);
  EXPECT_EQ(steps.at(1), 1000.0);
  EXPECT_NEAR(steps.at(6), 166.667, 1e-3);
  const auto means = series(loss, "mean of the epoch");
  ASSERT_EQ(means.size(), 2u);
  EXPECT_NEAR(means.at(3), (1000.0 + 500.0 + 1000.0 / 3) / 3, 1e-3);
  EXPECT_TRUE(series(named(charts, "learning-rate"), "mean of the epoch").empty());
}

TEST(RunCharts, ScalesAreLogarithmicWhereThatSaysMoreAndCan) {
  const std::vector<Chart> charts = training_charts(run_of(100, 10));
  const auto scale = [&](const char* id) {
    return named(charts, id).spec["layer"][0]["encoding"]["y"]["scale"].value("type", "linear");
  };
  EXPECT_EQ(scale("loss"), "log");
  EXPECT_EQ(scale("loss-cca"), "linear");       // negative
  EXPECT_EQ(scale("gradient-norm"), "linear");  // constant
}

TEST(RunCharts, ValuesThatAreNoNumbersAreMarkedAndCounted) {
  RunData run = run_of(10, 10);
  run.metrics.steps[3].loss = std::nan("");
  run.metrics.steps[7].loss = INFINITY;
  const Chart loss = named(training_charts(run), "loss");
  EXPECT_NE(loss.caption.find("2 of 10 steps"), std::string::npos) << loss.caption;
  EXPECT_EQ(loss.spec["layer"].back()["data"]["values"], ordered_json::parse(R"([{"step":4},{"step":8}])"));
  EXPECT_EQ(series(loss, "each step").size(), 8u);
}

TEST(RunCharts, WhatIsNowhereANumberHasNoChart) {
  RunData run = run_of(5, 1);
  for (auto& step : run.metrics.steps) step.loss_cca = std::nan("");
  EXPECT_EQ(training_charts(run).size(), 5u);
  EXPECT_TRUE(training_charts(RunData()).empty());
  EXPECT_TRUE(validation_charts(run).empty());
}

TEST(RunCharts, HundredThousandStepsStaySmall) {
  std::size_t bytes = 0;
  for (const Chart& chart : training_charts(run_of(100000, 3))) bytes += chart.spec.dump().size();
  EXPECT_LT(bytes, 1500000u);
}

EvaluationFigures ranks_of(std::vector<double> m2e, std::vector<double> e2m) {
  EvaluationFigures e;
  e.songs = static_cast<int>(m2e.size());
  e.direction[0].ranks = std::move(m2e);
  e.direction[1].ranks = std::move(e2m);
  return e;
}

// Four songs, so four bins of one rank each.
TEST(RunCharts, RanksAreCountedByHand) {
  const std::vector<Chart> charts = rank_charts(ranks_of({1, 1, 2, 4}, {2.5, 2.5, 2.5, 2.5}));
  std::map<std::string, std::map<double, int>> bars;
  for (const ordered_json& row : charts[0].spec["layer"][0]["data"]["values"])
    bars[row["direction"]][row["from"]] = row["queries"];
  EXPECT_EQ(bars["music to emotion"], (std::map<double, int>{{0, 2}, {25, 1}, {50, 0}, {75, 1}}));
  EXPECT_EQ(bars["emotion to music"], (std::map<double, int>{{0, 0}, {25, 0}, {50, 4}, {75, 0}}));
  EXPECT_EQ(charts[0].spec["layer"][1]["data"]["values"][0]["queries"], 1.0);  // chance
  std::map<std::string, std::map<double, double>> found;
  for (const ordered_json& row : charts[1].spec["layer"][1]["data"]["values"])
    found[row["direction"]][row["k"]] = row["share"];
  EXPECT_EQ(found["music to emotion"], (std::map<double, double>{{1, 0.5}, {2, 0.75}, {4, 1}}));
  EXPECT_EQ(found["emotion to music"], (std::map<double, double>{{1, 0}, {2.5, 1}}));
}

TEST(RunCharts, CorrelationsBelowTheThresholdAreLeftOut) {
  const Chart chart = correlation_chart({0.9, 0.4, 0.3}, 0.4);
  EXPECT_NE(chart.caption.find("2 of 3"), std::string::npos);
  EXPECT_EQ(chart.spec["layer"][0]["data"]["values"][1]["use"], "used");
  EXPECT_EQ(chart.spec["layer"][0]["data"]["values"][2]["use"], "left out");
}

TEST(RunCharts, TheMapHoldsSongsRanksAndAnswers) {
  RetrievalMap map;
  map.songs = {{7, "Title <b>", 0.5, -0.25, {{0.4, -0.2}, {0.6, -0.3}}},
               {9, "", -0.5, 0.125, {{-0.5, 0.125}}}};
  map.queries[0] = {{0, 2.0, {1, 0}}, {1, 1.0, {1, 0}}};
  map.queries[1] = {{0, 1.0, {0, 1}}};
  const Chart chart = map_chart(map, Direction::kMusicToEmotion);
  const ordered_json& songs = chart.spec["datasets"]["songs"];
  ASSERT_EQ(songs.size(), 2u);
  EXPECT_EQ(songs[0]["song"], "Title <b> (song 7)");
  EXPECT_EQ(songs[0]["valence"], 0.5);
  EXPECT_EQ(songs[0]["rank"], 2.0);
  EXPECT_EQ(songs[0]["v"], ordered_json::parse("[0.4,0.6]"));
  EXPECT_EQ(songs[1]["song"], "song 9");
  EXPECT_FALSE(songs[1].contains("v"));
  EXPECT_EQ(chart.spec["datasets"]["answers"],
            ordered_json::parse(R"([{"query":0,"place":1,"found":1},{"query":0,"place":2,"found":0},
                                    {"query":1,"place":1,"found":1},{"query":1,"place":2,"found":0}])"));
  // The song that is not among the queries of the other direction has no rank there.
  EXPECT_FALSE(map_chart(map, Direction::kEmotionToMusic).spec["datasets"]["songs"][1].contains("rank"));
}

TEST(Shortened, SixDigits) {
  EXPECT_EQ(shortened(687748.4767), 687748.0);
  EXPECT_EQ(shortened(0.000123456789), 0.000123457);
  EXPECT_EQ(shortened(-1.0 / 3), -0.333333);
  EXPECT_EQ(shortened(0.0), 0.0);
  EXPECT_TRUE(std::isnan(shortened(std::nan(""))));
}

}  // namespace
}  // namespace emer::report
