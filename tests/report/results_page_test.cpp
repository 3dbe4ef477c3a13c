#include "engine/report/results_page.h"

#include <gtest/gtest.h>

#include <set>

namespace emer::report {
namespace {

ResultsFile results() {
  ResultsFile file;
  file.origin = {"emer 1 (abc)", "2026-11-23T03:10:00Z", "emer reproduce all --quick"};
  file.environment = {{"cpu", "a CPU"}, {"build", {{"compiler", "GNU"}}}};
  file.data = {{"deam", "data/deam.safetensors", "DEAM, 3 songs", "abc", false, true, {}}};
  ResultTable shown{"lambda_deam",
                    "Balance",
                    "DEAM, 3 songs, 2 seeds",
                    "",
                    {{"lambda", "lambda", "", 1}, {"mrr", "MRR", "", 4}},
                    {{0.0, 0.25}, {1.0, 0.5}}};
  ResultTable data_only = shown;
  data_only.id = "lambda_points";
  data_only.title = "Points only";
  data_only.listed = false;
  Figure figure;
  figure.kind = Figure::Kind::kLine;
  figure.id = "lambda deam";
  figure.title = "Balance drawn";
  figure.table = "lambda_points";
  figure.x = "lambda";
  figure.y = "mrr";
  Figure same_id = figure;
  same_id.id = "lambda-deam";
  file.experiments = {
      {"lambda", "quick", {"One thing was left out."}, {shown, data_only}, {figure, same_id}}};
  return file;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

TEST(ResultsPage, TablesFiguresAndRemarksSayWhatTheyWereMeasuredOn) {
  const Page page = results_page(results());
  const std::string html = to_html(page, "");
  EXPECT_EQ(count(html, "<b>Measured on:</b> DEAM, 3 songs, 2 seeds"), 1u);
  EXPECT_EQ(count(html, "<h3>Points only</h3>"), 0u);
  EXPECT_EQ(count(html, "One thing was left out."), 1u);
  EXPECT_EQ(count(html, ">generated: say nothing about music</td>"), 1u);
  EXPECT_EQ(count(html, "emer reproduce all --quick"), 2u);
  EXPECT_EQ(count(html, "<dt>build.compiler</dt><dd>GNU</dd>"), 1u);
  EXPECT_EQ(count(html, "data-v=\"0.25\">0.2500</td>"), 1u);
  for (const Chart* chart : charts_of(page))
    EXPECT_NE(chart->caption.find("Measured on: DEAM, 3 songs, 2 seeds"), std::string::npos);
}

TEST(ResultsPage, ChartsHaveDifferentIds) {
  const Page page = results_page(results());
  const std::vector<const Chart*> charts = charts_of(page);
  ASSERT_EQ(charts.size(), 2u);
  EXPECT_EQ(charts[0]->id, "lambda-deam");
  EXPECT_EQ(charts[1]->id, "lambda-deam-2");
}

TEST(ResultsPage, NothingMeasuredIsStillAPage) {
  ResultsFile none;
  none.environment = nlohmann::ordered_json::object();
  EXPECT_EQ(charts_of(results_page(none)).size(), 0u);
  EXPECT_EQ(count(to_html(results_page(none), ""), "<h1>"), 1u);
}

}  // namespace
}  // namespace emer::report
