#include "engine/evaluation_report.h"

#include <gtest/gtest.h>

namespace emer {
namespace {

EvaluationReport small_report(int bootstrap) {
  EvaluationReport report;
  report.source = "somewhere";
  report.split = "test";
  report.songs = 2;
  report.config.eval.bootstrap = bootstrap;
  report.config.eval.lambda = 0.25;
  report.result.m2e = summarise_ranks({1, 1.5}, report.config.eval, Direction::kMusicToEmotion);
  report.result.e2m = summarise_ranks({2, 2}, report.config.eval, Direction::kEmotionToMusic);
  return report;
}

// The shape others rely on (interchange.md).
TEST(EvaluationReport, JsonHasTheAgreedShape) {
  const auto json = nlohmann::json::parse(to_json(small_report(100)).dump());
  for (const char* direction : {"m2e", "e2m"})
    for (const char* key : {"mrr", "ar", "median_rank", "recall_at", "ranks"})
      ASSERT_TRUE(json.at(direction).contains(key)) << direction << " " << key;
  EXPECT_DOUBLE_EQ(json["m2e"]["mrr"], (1 + 1 / 1.5) / 2);
  EXPECT_DOUBLE_EQ(json["m2e"]["ar"], 1.25);
  EXPECT_DOUBLE_EQ(json["e2m"]["recall_at"]["1"], 0.0);
  EXPECT_DOUBLE_EQ(json["e2m"]["recall_at"]["5"], 1.0);
  EXPECT_DOUBLE_EQ(json["e2m"]["recall_at"]["10"], 1.0);
  EXPECT_TRUE(json["e2m"]["ranks"][0].is_number_integer());
  EXPECT_EQ(json["m2e"]["ranks"].dump(), "[1,1.5]");
  EXPECT_EQ(json["eval"]["lambda"], 0.25);
  EXPECT_EQ(json["eval"]["kl_orientation"], "query");
  EXPECT_EQ(json["eval"]["standardise_terms"], true);
  EXPECT_DOUBLE_EQ(json["chance"]["mrr"], 0.75);
  EXPECT_EQ(json["e2m"]["ar_interval"], nlohmann::json::parse("[2.0, 2.0]"));
  EXPECT_TRUE(to_json(small_report(0))["m2e"]["mrr_interval"].is_null());
}

TEST(EvaluationReport, TableShowsWhatWasInForceAndChance) {
  EvaluationReport report = small_report(0);
  report.baselines.push_back(
      {"ridge", "ridge regression, as described", {report.result.m2e, report.result.e2m}});
  const std::string table = to_table(report);
  for (const char* part :
       {"somewhere", "lambda 0.25", "kl_orientation query", "M2E", "E2M", "chance", "ridge M2E",
        "as described", "0.8333", "1.2", "0.7500", "among the first 10 of 2 in 100.0% of queries"})
    EXPECT_NE(table.find(part), std::string::npos) << part << " is missing from\n" << table;
}

}  // namespace
}  // namespace emer
