// Tables of the defects and regression experiments from measures written by hand, against arithmetic by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/result_rows.h"
#include "engine/reproduce/switches.h"
#include "engine/studies/regression.h"
#include "tests/reproduce/study_runs.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

Json both(const std::vector<double>& m2e, const std::vector<double>& e2m) {
  return {{"m2e", {{"ranks", m2e}}}, {"e2m", {{"ranks", e2m}}}};
}

Json scores(double r2) {
  const Json one = {{"rmse", 0.2}, {"r", 0.5}, {"r2", std::isnan(r2) ? Json(nullptr) : Json(r2)}};
  return {{"valence", one}, {"arousal", one}};
}

Json judged(const std::vector<double>& textbook, const std::vector<double>& released, double r2) {
  Json values;
  values["evaluations"] = {{"textbook", both(textbook, textbook)}, {"released", both(released, released)}};
  values["probes"] = {{"textbook", scores(r2)}, {"released", scores(r2)}};
  return values;
}

struct Defects {
  ExperimentPlan plan{"defects", "small", {test::invented_songs("songs.safetensors")}, {}, {}};
  std::vector<Json> values;

  // Two seeds of the released model, unchanged and with dropout.
  Defects() {
    plan.settings.resamples = 100;
    for (const int seed : {1, 2})
      plan.runs.push_back(test::planned("songs.safetensors", "released", seed, {"compat=released"}));
    for (const int seed : {1, 2})
      plan.runs.push_back(test::planned("songs.safetensors", "released, model.dropout", seed,
                                        {"compat=released", "model.dropout=0.5"}));
    values = {judged({1, 2}, {2, 2}, 0.5), judged({2, 2}, {2, 2}, 0.25), judged({1, 1}, {2, 2}, 0.75),
              judged({1, 2}, {2, 2}, 0.75)};
    for (const std::size_t base : {0, 1}) {
      for (const std::string& key : switches_of("eval")) values[base]["turned"][key] = both({1, 1}, {1, 1});
      for (const std::string& key : switches_of("probe")) values[base]["turned"][key] = scores(0.5);
    }
  }
  ExperimentResults gather() const {
    std::vector<MeasuredRun> runs;
    for (std::size_t i = 0; i < values.size(); ++i) runs.push_back({&plan.runs[i], values[i]});
    ExperimentResults results = gather_defects(plan, runs);
    check(results);
    return results;
  }
};

TEST(Switches, AreThoseOfTheTwoSides) {
  EXPECT_EQ(switches_of("eval"),
            (std::vector<std::string>{"eval.kl_orientation", "eval.tie_rule", "eval.standardise_terms"}));
  EXPECT_EQ(switches_of("probe").size(), 7u);  // B9 to B14; B13 is two keys
  const Config released = on_side(parse_config("compat: textbook\n", "t"), "probe", Side::kReleased);
  EXPECT_EQ(differing_keys(released, parse_config("compat: released\n", "r")).empty(), false);
  for (const std::string& text : differing_keys(released, parse_config("compat: released\n", "r")))
    EXPECT_EQ(text.find("probe."), std::string::npos) << text;
  EXPECT_EQ(differing_keys(turned(released, "probe.selection", Side::kTextbook), released).size(), 1u);
}

TEST(GatherDefects, ChangesArePairedOverSeeds) {
  const ExperimentResults results = Defects().gather();
  // MRR of the base .75 and .5, with dropout 1 and .75; R² .5 and .25, with dropout .75 twice.
  const ResultTable& mrr = test::table_named(results, "defects_deam_released_by_textbook_mrr");
  const auto row = test::row_of(mrr, {"training", "model.dropout", "0 -> 0.5", "music to emotion"});
  EXPECT_DOUBLE_EQ(test::number_in(mrr, row, "base"), 0.625);
  EXPECT_DOUBLE_EQ(test::number_in(mrr, row, "value"), 0.875);
  EXPECT_DOUBLE_EQ(test::number_in(mrr, row, "mrr_change"), 0.25);
  EXPECT_DOUBLE_EQ(test::number_in(mrr, row, "mrr_p"), 0.5);
  const ResultTable& ar = test::table_named(results, "defects_deam_released_by_textbook_ar");
  EXPECT_DOUBLE_EQ(
      test::number_in(ar, test::row_of(ar, {"training", "model.dropout", "0 -> 0.5", "emotion to music"}),
                      "ar_change"),
      -0.5);
  const ResultTable& r2 = test::table_named(results, "defects_deam_released_by_textbook_r2");
  const auto r2_row = test::row_of(r2, {"training", "model.dropout", "0 -> 0.5", "valence"});
  EXPECT_DOUBLE_EQ(test::number_in(r2, r2_row, "r2_change"), 0.375);
  // Differences .5 and .25: t = 3 with one degree of freedom; both ranks of two on one side.
  EXPECT_NEAR(test::number_in(r2, r2_row, "r2_p_t"), 1 - 2 * std::atan(3.0) / std::acos(-1.0), 1e-12);
  EXPECT_DOUBLE_EQ(test::number_in(r2, r2_row, "r2_p_wilcoxon"), 0.5);
}

TEST(GatherDefects, SwitchesOfTheEvaluationBelongToTheirOwnJudge) {
  const ExperimentResults results = Defects().gather();
  const ResultTable& released = test::table_named(results, "defects_deam_released_by_released");
  const auto row = test::row_of(released, {"evaluation", "eval.tie_rule", "by_index -> mean"});
  EXPECT_EQ(std::get<std::string>(row[3]).rfind("+0.5000 [", 0), 0u) << std::get<std::string>(row[3]);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(row[7]));  // no R² of an evaluation switch
  const auto base = test::row_of(released, {"base", "released"});
  EXPECT_EQ(std::get<std::string>(base[3]), "0.5000");
  for (const auto& cells : test::table_named(results, "defects_deam_released_by_textbook").rows)
    EXPECT_NE(std::get<std::string>(cells[0]), "evaluation");
}

TEST(GatherDefects, PValuesAreAdjustedForAllRowsOfTheColumn) {
  const ExperimentResults results = Defects().gather();
  // Dropout changes nothing there, p = 1; each of the three switches of the evaluation has p = .5.
  const ResultTable& table = test::table_named(results, "defects_deam_released_by_released_mrr");
  const auto row =
      test::row_of(table, {"evaluation", "eval.tie_rule", "by_index -> mean", "music to emotion"});
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "mrr_p"), 0.5);
  EXPECT_DOUBLE_EQ(test::number_in(table, row, "mrr_p_holm"), 1.0);
}

TEST(GatherDefects, WhatCannotBeMeasuredIsSaid) {
  const ExperimentResults results = Defects().gather();
  const ResultTable& table = test::table_named(results, "defects_deam_released_by_textbook");
  for (const char* key : {"data.rater_mean", "data.resampler"}) {
    const auto row = test::row_of(table, {"data", key});
    EXPECT_EQ(std::get<std::string>(row[2]).rfind("not measured: needs ", 0), 0u);
    for (std::size_t i = 3; i < row.size(); ++i) EXPECT_TRUE(std::holds_alternative<std::monostate>(row[i]));
  }
}

TEST(GatherDefects, AnUndefinedScoreLeavesItsSeedOut) {
  Defects d;
  d.values[2]["probes"]["textbook"] = scores(std::numeric_limits<double>::quiet_NaN());
  const ExperimentResults results = d.gather();
  const ResultTable& r2 = test::table_named(results, "defects_deam_released_by_textbook_r2");
  const auto row = test::row_of(r2, {"training", "model.dropout", "0 -> 0.5", "valence"});
  EXPECT_EQ(std::get<std::int64_t>(row[4]), 1);
  EXPECT_DOUBLE_EQ(test::number_in(r2, row, "r2_change"), 0.5);
}

TEST(GatherDefects, ChangesWithoutTheUnchangedRunsAreRefused) {
  Defects d;
  std::vector<MeasuredRun> runs = {{&d.plan.runs[2], d.values[2]}};
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"released", "no unchanged one"},
                            [&] { gather_defects(d.plan, runs); }));
}

FoldOutcome outcome(const char* target, const char* method, double r2, double r) {
  FoldOutcome o;
  o.target = target;
  o.method = method;
  o.train_songs = 90;
  o.test_songs = 10;
  o.width = 5;
  o.points.push_back({{1.0, 0.0, 0.1, 0.0}, 0.01, {0.1, r, r2}});
  return o;
}

struct Regression {
  ExperimentPlan plan{"regression", "small", {test::invented_songs("songs.safetensors")}, {}, {}};
  std::vector<Json> values;

  // Two folds: R² .4 and .6 of valence; of arousal .5 and undefined.
  Regression() {
    plan.settings.resamples = 100;
    const double none = std::numeric_limits<double>::quiet_NaN();
    for (const int fold : {0, 1}) {
      PlannedRun run =
          test::planned("songs.safetensors", "textbook", 1, {fmt::format("data.split.fold={}", fold)});
      run.fold = fold;
      run.id += fmt::format("-f{}", fold);
      plan.runs.push_back(run);
      Json v;
      for (const char* protocol : {"textbook", "released"}) {
        const auto list = [&](const char* method, double less) {
          FoldOutcome valence = outcome("valence", method, (fold == 0 ? 0.4 : 0.6) - less, 0.7),
                      arousal =
                          outcome("arousal", method, fold == 0 ? 0.5 - less : none, fold == 0 ? 0.8 : none);
          if (std::string(protocol) == "released")
            for (FoldOutcome* o : {&valence, &arousal}) o->selection = ProbeOptions::Selection::kTestFolds;
          return Json::array({to_json(valence), to_json(arousal)});
        };
        for (const FeatureSet set : kFeatureSets) v["protocols"][protocol][name_of(set)] = list("svr", 0.0);
        v["baselines"][protocol] = {
            {"mean", list("mean", 0.3)}, {"ridge", list("ridge", 0.2)}, {"svr", list("svr", 0.1)}};
      }
      values.push_back(v);
    }
  }
  ExperimentResults gather() const {
    std::vector<MeasuredRun> runs;
    for (std::size_t i = 0; i < values.size(); ++i) runs.push_back({&plan.runs[i], values[i]});
    ExperimentResults results = gather_regression(plan, runs);
    check(results);
    return results;
  }
};

TEST(GatherRegression, MeansAndDeviationsOverFoldsWhereDefined) {
  const ExperimentResults results = Regression().gather();
  const ResultTable& table = test::table_named(results, "regression_deam_textbook");
  const auto valence = test::row_of(table, {"valence", "textbook: all"});
  EXPECT_DOUBLE_EQ(test::number_in(table, valence, "r2"), 0.5);
  EXPECT_NEAR(test::number_in(table, valence, "r2_sd"), 0.2 / std::sqrt(2.0), 1e-15);
  EXPECT_DOUBLE_EQ(test::number_in(table, valence, "r"), 0.7);
  EXPECT_EQ(std::get<std::int64_t>(valence[2]), 2);
  const auto arousal = test::row_of(table, {"arousal", "textbook: all"});
  EXPECT_DOUBLE_EQ(test::number_in(table, arousal, "r2"), 0.5);
  EXPECT_TRUE(std::isnan(test::number_in(table, arousal, "r2_sd")));
  bool told = false;
  for (const std::string& remark : results.remarks)
    told = told || (remark.find("arousal") != std::string::npos &&
                    remark.find("textbook protocol") != std::string::npos);
  EXPECT_TRUE(told);
}

TEST(GatherRegression, LearntFeaturesArePairedWithRawOnes) {
  const ExperimentResults results = Regression().gather();
  const ResultTable& table = test::table_named(results, "regression_deam_against_raw");
  const auto row = test::row_of(table, {"valence", "textbook: embedding"});
  EXPECT_NEAR(test::number_in(table, row, "r2_change"), 0.1, 1e-15);
}

TEST(GatherRegression, PublishedFiguresStandBesideOursWithTheirCaveats) {
  const ExperimentResults results = Regression().gather();
  const ResultTable& table = test::table_named(results, "regression_deam_published");
  EXPECT_TRUE(test::contains(table.measured, "the rows are not a comparison"));
  EXPECT_TRUE(test::contains(table.notes, "probably swapped"));
  const auto published = test::row_of(table, {"mean_log_variance", "valence", "published"});
  EXPECT_EQ(test::number_in(table, published, "r2"), 0.6669);
  // Protocol released: the root of R².
  const auto ours = test::row_of(table, {"embedding", "valence", "ours, model textbook"});
  EXPECT_NEAR(test::number_in(table, ours, "r"), 0.5 * (std::sqrt(0.4) + std::sqrt(0.6)), 1e-15);
}

TEST(GatherRegression, ADamagedOutcomeNamesItsRun) {
  Regression r;
  r.values[1]["protocols"]["textbook"]["all"][0].erase("points");
  EXPECT_TRUE(test::refuses_input({"tiny-textbook-s1-f1"}, [&] { r.gather(); }));
}

}  // namespace
}  // namespace emer
