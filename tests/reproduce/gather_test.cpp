// Tables of measures written by hand, against arithmetic by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/result_rows.h"
#include "tests/reproduce/study_runs.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

Json both(const std::vector<double>& m2e, const std::vector<double>& e2m) {
  return {{"m2e", {{"ranks", m2e}}}, {"e2m", {{"ranks", e2m}}}};
}

struct Study {
  ExperimentPlan plan;
  std::vector<Json> values;
  std::vector<MeasuredRun> measured() const {
    std::vector<MeasuredRun> runs;
    for (std::size_t i = 0; i < values.size(); ++i) runs.push_back({&plan.runs[i], values[i]});
    return runs;
  }
};

Study study(const std::string& name) {
  Study s;
  s.plan = {name, "small", {test::invented_songs("songs.safetensors")}, {}, {}};
  s.plan.settings.resamples = 200;
  return s;
}

// Four songs, two seeds: MRR .5 and .75, AR 2.75 and 1.5; ridge .375 and .5, 3 and 2.75.
Study retrieval() {
  Study s = study("retrieval");
  for (const int seed : {1, 2}) s.plan.runs.push_back(test::planned("songs.safetensors", "textbook", seed));
  const std::vector<double> first = {1, 2, 4, 4}, second = {1, 1, 2, 2}, worst = {4, 4, 4, 4};
  Json one, two;
  one["evaluations"] = {{"corrected", both(first, worst)}, {"released", both(worst, first)}};
  two["evaluations"] = {{"corrected", both(second, worst)}, {"released", both(worst, second)}};
  one["baselines"] = {
      {"ridge", both({2, 2, 4, 4}, worst)}, {"cca", both(worst, worst)}, {"svr", both(worst, worst)}};
  two["baselines"] = {
      {"ridge", both({1, 2, 4, 4}, worst)}, {"cca", both(worst, worst)}, {"svr", both(worst, worst)}};
  s.values = {one, two};
  return s;
}

TEST(GatherRetrieval, MeansDeviationsAndRecallOverSeeds) {
  const Study s = retrieval();
  const ExperimentResults results = gather_retrieval(s.plan, s.measured());
  const ResultTable& table = test::table_named(results, "retrieval_deam_corrected_m2e");
  const auto row = test::row_of(table, {"textbook"});
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "mrr"), 0.625);
  EXPECT_NEAR(test::number_in(table, row, "mrr_sd"), 0.25 / std::sqrt(2.0), 1e-15);
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "ar"), 2.125);
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "median"), 0.5 * (3.0 + 1.5));
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "r1"), 0.5 * (0.25 + 0.5));
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "r5"), 1.0);
  EXPECT_LE(test::number_in(table, row, "mrr_low"), 0.625);
  EXPECT_GE(test::number_in(table, row, "mrr_high"), 0.625);
  const auto chance = test::row_of(table, {"chance"});
  EXPECT_DOUBLE_EQ(test::number_in(table, chance, "mrr"), (1 + 1 / 2.0 + 1 / 3.0 + 1 / 4.0) / 4);
  EXPECT_DOUBLE_EQ(test::number_in(table, chance, "ar"), 2.5);
  // The other three blocks hold what their measures hold.
  const ResultTable& released = test::table_named(results, "retrieval_deam_released_e2m");
  EXPECT_DOUBLE_EQ(test::number_in(released, test::row_of(released, {"textbook"}), "mrr"), 0.625);
  for (const char* id : {"retrieval_deam_corrected_e2m", "retrieval_deam_released_m2e"}) {
    const ResultTable& other = test::table_named(results, id);
    EXPECT_DOUBLE_EQ(test::number_in(other, test::row_of(other, {"textbook"}), "mrr"), 0.25) << id;
  }
}

TEST(GatherRetrieval, ComparesWithRidgeOnTheSameSongs) {
  const Study s = retrieval();
  const ExperimentResults results = gather_retrieval(s.plan, s.measured());
  const ResultTable& table = test::table_named(results, "retrieval_deam_against_ridge");
  const auto row = test::row_of(table, {"corrected evaluation", "music to emotion", "textbook"});
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "mrr_change"), 0.5 * (0.125 + 0.25));
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "ar_change"), 0.5 * (-0.25 - 1.25));
  // Of the four sign flips of (.125, .25) two reach the mean.
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "mrr_p"), 0.5);
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "mrr_p_holm"), 1.0);
}

TEST(GatherRetrieval, SaysWhatItWasMeasuredOn) {
  Study s = retrieval();
  for (const ResultTable& table : gather_retrieval(s.plan, s.measured()).tables) {
    EXPECT_TRUE(test::contains(table.measured, "40 invented songs; preset small")) << table.id;
    EXPECT_TRUE(
        test::contains(table.measured, "textbook (music MLP 12-10, emotion BiGRU 6 + 12-10, d 5, 2 epochs"));
    EXPECT_TRUE(test::contains(table.measured, "seeds 1, 2"));
  }
  s.plan.data[0].generated = true;
  const ExperimentResults generated = gather_retrieval(s.plan, s.measured());
  for (const ResultTable& table : generated.tables)
    EXPECT_EQ(table.measured.rfind("GENERATED FEATURES: SAYS NOTHING ABOUT MUSIC. ", 0), 0u) << table.id;
  EXPECT_TRUE(test::contains(generated.remarks[0], "say nothing about music"));
}

TEST(GatherRetrieval, OnlyThePapersOwnDataGoWithoutTheRemark) {
  Study s = retrieval();
  const ExperimentResults other = gather_retrieval(s.plan, s.measured());
  ASSERT_EQ(other.remarks.size(), 1u);
  EXPECT_TRUE(test::contains(other.remarks[0], "not the paper's own features and ratings"));
  s.plan.data[0].as_published = true;
  EXPECT_TRUE(gather_retrieval(s.plan, s.measured()).remarks.empty());
}

TEST(GatherRetrieval, EveryTableKeepsTheRules) {
  const Study s = retrieval();
  check(gather_retrieval(s.plan, s.measured()));
}

TEST(GatherRetrieval, MeasuresThatCannotBeAreRefused) {
  for (const auto& [ranks, what] : {std::pair{std::vector<double>{1, 2, 0, 4}, "rank of 0"},
                                    std::pair{std::vector<double>{1, 2, 5, 4}, "rank of 5"},
                                    std::pair{std::vector<double>{}, "no ranks"}}) {
    Study s = retrieval();
    s.values[0]["evaluations"]["corrected"]["m2e"]["ranks"] = ranks;
    EXPECT_TRUE(
        test::refuses_input({"tiny-textbook-s1", what}, [&] { gather_retrieval(s.plan, s.measured()); }));
  }
  Study s = retrieval();
  s.values[1]["evaluations"].erase("released");
  EXPECT_TRUE(test::refuses_input({"tiny-textbook-s2", "evaluations/released"},
                                  [&] { gather_retrieval(s.plan, s.measured()); }));
}

// Trained at 0, .5 and 1 on one seed; only the middle one is swept.
TEST(GatherLambda, RowsAreTheTrainedLambdasAndTheSweepIsAGrid) {
  Study s = study("lambda");
  const std::vector<double> ranks[] = {{4, 4, 4, 4}, {1, 2, 4, 4}, {2, 2, 2, 2}};
  for (int i = 0; i < 3; ++i) {
    s.plan.runs.push_back(test::planned("songs.safetensors", fmt::format("released, loss.lambda={}", 0.5 * i),
                                        1, {fmt::format("loss.lambda={}", 0.5 * i)}));
    Json values;
    for (const char* key : {"corrected", "released", "corrected_kl", "released_kl"})
      values["evaluations"][key] = both(ranks[i], {1, 1, 1, 1});
    s.values.push_back(values);
  }
  Json sweep = {{"lambdas", {0, 1}}, {"thresholds", {0, 0.4}}};
  for (const char* direction : {"m2e", "e2m"})
    sweep[direction] = {{"mrr", {{0.1, 0.2}, {0.3, 0.4}}}, {"ar", {{10, 20}, {30, 40}}}};
  sweep["e2m"]["mrr"] = {{0.5, 0.6}, {0.7, 0.8}};
  s.values[1]["sweep"] = {{"corrected", sweep}, {"released", sweep}};
  const ExperimentResults results = gather_lambda(s.plan, s.measured());
  check(results);

  const ResultTable& trained = test::table_named(results, "lambda_deam_released_corrected");
  ASSERT_EQ(trained.rows.size(), 6u);
  const double mrr[] = {0.25, 0.5, 0.5};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(std::get<double>(trained.rows[i][1]), 0.5 * static_cast<double>(i));
    EXPECT_DOUBLE_EQ(test::number_in(trained, trained.rows[i], "mrr"), mrr[i]);
    EXPECT_DOUBLE_EQ(test::number_in(trained, trained.rows[i + 3], "mrr"), 1.0);
  }
  const ResultTable& grid = test::table_named(results, "lambda_deam_released_sweep_corrected_m2e_mrr");
  ASSERT_EQ(grid.rows.size(), 2u);
  EXPECT_EQ(grid.columns.back().title, "0.4");
  EXPECT_EQ(std::get<double>(grid.rows[1][1]), 0.3);
  EXPECT_EQ(std::get<double>(grid.rows[1][2]), 0.4);
  const ResultTable& e2m = test::table_named(results, "lambda_deam_released_sweep_corrected_e2m_mrr");
  EXPECT_EQ(std::get<double>(e2m.rows[1][1]), 0.7);
  const ResultTable& every = test::table_named(results, "lambda_deam_released_sweep_corrected");
  ASSERT_EQ(every.rows.size(), 8u);
  EXPECT_EQ(test::number_in(every, every.rows[1], "ar"), 20.0);
  EXPECT_EQ(test::number_in(every, every.rows[6], "mrr"), 0.7);
  const ResultTable& alone = test::table_named(results, "lambda_deam_alone");
  const auto cca = test::row_of(alone, {"corrected", "music to emotion", "released: CCA alone"});
  EXPECT_DOUBLE_EQ(test::number_in(alone, cca, "ar"), 2.0);

  // A model of one lambda is a baseline.
  Study one = s;
  one.plan.runs.push_back(test::planned("songs.safetensors", "contrastive", 1, {"loss.lambda=0"}));
  one.values.push_back(s.values[2]);
  const ExperimentResults more = gather_lambda(one.plan, one.measured());
  EXPECT_EQ(more.tables.size(), results.tables.size());
  const ResultTable& beside = test::table_named(more, "lambda_deam_alone");
  EXPECT_DOUBLE_EQ(
      test::number_in(beside, test::row_of(beside, {"corrected", "music to emotion", "contrastive"}), "ar"),
      2.0);

  s.values[1]["sweep"]["corrected"]["m2e"]["mrr"][0].erase(0);
  EXPECT_TRUE(test::refuses_input({"one value a threshold"}, [&] { gather_lambda(s.plan, s.measured()); }));
}

}  // namespace
}  // namespace emer
