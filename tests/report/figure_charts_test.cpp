#include "engine/report/figure_charts.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/refusal.h"

namespace emer::report {
namespace {

using Kind = Figure::Kind;

ResultTable table() {
  return {"t",
          "T",
          "ten songs",
          "",
          {{"name", "name", "", -1},
           {"part", "part", "", -1},
           {"v", "value", "rank", 3},
           {"low", "low", "", 3},
           {"high", "high", "", 3},
           {"k", "k", "", -1}},
          {{std::string("a"), std::string("one"), 1.5, 1.0, 2.0, std::int64_t{1}},
           {std::string("b"), std::string("one"), -0.5, -1.0, 0.0, std::int64_t{2}},
           {std::string("b"), std::string("two"), 4.0, std::monostate(), 5.0, std::int64_t{3}},
           {std::string("c"), std::string("two"), std::monostate(), 1.0, 2.0, std::int64_t{4}}}};
}

Figure figure(Kind kind) {
  Figure f;
  f.kind = kind;
  f.id = "F 1";
  f.title = "Title";
  f.table = "t";
  f.x = "v";
  f.y = "name";
  return f;
}

TEST(FigureCharts, OneChartForEachFacetAndNoRowWithoutAValue) {
  Figure f = figure(Kind::kInterval);
  f.low = "low";
  f.high = "high";
  f.facet = "part";
  f.tooltip = {"k"};
  const std::vector<Chart> charts = figure_charts(f, table());
  ASSERT_EQ(charts.size(), 2u);
  EXPECT_EQ(charts[0].id, "f-1-one");
  EXPECT_EQ(charts[1].title, "Title: two");
  EXPECT_EQ(
      charts[0].spec["data"]["values"],
      ordered_json::parse(
          R"([{"x":1.5,"y":"a","low":1.0,"high":2.0,"t0":"1"},{"x":-0.5,"y":"b","low":-1.0,"high":0.0,"t0":"2"}])"));
  EXPECT_EQ(charts[1].spec["data"]["values"],
            ordered_json::parse(R"([{"x":4.0,"y":"b","high":5.0,"t0":"3"}])"));
  // One scale for both: -1 to 5 and a margin.
  for (const Chart& chart : charts) {
    const ordered_json& domain = chart.spec["layer"].back()["encoding"]["x"]["scale"]["domain"];
    EXPECT_LT(domain[0].get<double>(), -1.0);
    EXPECT_GT(domain[1].get<double>(), 5.0);
  }
}

TEST(FigureCharts, EveryKindDrawsItsRows) {
  for (const Kind kind :
       {Kind::kInterval, Kind::kBar, Kind::kLine, Kind::kBox, Kind::kHistogram, Kind::kCdf, Kind::kScatter}) {
    Figure f = figure(kind);
    if (kind == Kind::kLine || kind == Kind::kScatter) f.x = "k", f.y = "v";
    if (kind == Kind::kBox) f.x = "name", f.y = "v";
    if (kind == Kind::kHistogram || kind == Kind::kCdf) f.y = "";
    f.color = "part";
    const std::vector<Chart> charts = figure_charts(f, table());
    ASSERT_EQ(charts.size(), 1u);
    const ordered_json& rows = charts[0].spec["data"]["values"];
    ASSERT_EQ(rows.size(), 3u) << static_cast<int>(kind);
    std::multiset<double> values;
    for (const ordered_json& row : rows) values.insert(row[f.y == "v" ? "y" : "x"].get<double>());
    EXPECT_EQ(values, (std::multiset<double>{-0.5, 1.5, 4.0}));
  }
}

// The narrowest chart leaves some 280 pixels: long names stand below each other.
TEST(FigureCharts, LegendsStayInsideTheChart) {
  Figure f = figure(Kind::kLine);
  f.x = "k";
  f.y = "v";
  f.color = "name";
  ResultTable t = table();
  const auto columns = [&] {
    const std::vector<Chart> charts = figure_charts(f, t);
    return charts.at(0).spec["layer"][0]["encoding"]["color"]["legend"]["columns"].get<int>();
  };
  EXPECT_GE(columns(), 3);
  for (auto& row : t.rows) row[0] = std::get<std::string>(row[0]) + std::string(18, 'x');
  EXPECT_EQ(columns(), 1);
}

TEST(FigureCharts, ManyNumbersHaveAScaleOfColoursOfTheirOwn) {
  Figure f = figure(Kind::kLine);
  f.x = "v";
  f.y = "v";
  f.color = "k";
  ResultTable t = table();
  EXPECT_FALSE(figure_charts(f, t).at(0).spec["layer"][0]["encoding"]["color"]["scale"].contains("scheme"));
  for (std::int64_t k = 5; k < 12; ++k)
    t.rows.push_back({std::string("a"), std::string("one"), 1.5, 1.0, 2.0, k});
  EXPECT_TRUE(figure_charts(f, t).at(0).spec["layer"][0]["encoding"]["color"]["scale"].contains("scheme"));
  t.rows.back().back() = std::string("a name");
  EXPECT_FALSE(figure_charts(f, t).at(0).spec["layer"][0]["encoding"]["color"]["scale"].contains("scheme"));
}

TEST(FigureCharts, ATableWithNothingToDrawHasNoCharts) {
  ResultTable empty = table();
  empty.rows.resize(0);
  EXPECT_TRUE(figure_charts(figure(Kind::kBar), empty).empty());
}

TEST(FigureCharts, AColumnThatIsNotThereIsRefused) {
  Figure f = figure(Kind::kBar);
  f.color = "colour";
  EXPECT_TRUE(test::refuses_input({"F 1", "colour", "'t'"}, [&] { figure_charts(f, table()); }));
}

}  // namespace
}  // namespace emer::report
