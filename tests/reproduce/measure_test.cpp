// What is measured on a run against what `emer evaluate` says of it, and what happens to measures over time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/run_outputs.h"
#include "tests/engine/command_run.h"
#include "tests/reproduce/study_runs.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using nlohmann::json;

class Measures : public ::testing::Test {
 protected:
  ExperimentPlan plan(const std::string& name, const std::vector<std::string>& overrides = {}) {
    const std::string data = test::small_data(folder_);
    ExperimentPlan plan{name, "small", {test::invented_songs(data)}, {}, {}};
    plan.runs.push_back(test::planned(data, "textbook", 7, overrides));
    plan.settings.lambdas = {0.3, 1};
    plan.settings.thresholds = {0, 0.4};
    plan.settings.resamples = 50;
    return plan;
  }
  json evaluate(const ExperimentPlan& plan, const std::string& set) {
    const auto result = test::run_emer(folder_, "evaluate " + run_folder(folder_.path(), plan.runs[0]) +
                                                    "/checkpoints/last --json --set eval.bootstrap=0" + set);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json::parse(result.out);
  }
  test::TemporaryFolder folder_;
};

const std::string kReleased =
    " --set eval.kl_orientation=released --set eval.tie_rule=by_index --set eval.standardise_terms=false";

TEST_F(Measures, RetrievalRanksAreThoseOfEmerEvaluate) {
  const ExperimentPlan p = plan("retrieval", {"train.epochs=6"});
  test::train_runs(p, folder_.path());
  measure_run(p, p.runs[0], folder_.path(), 1);
  const auto values = test::measured_values(p, p.runs[0], folder_.path());
  for (const auto& [key, set] : {std::pair{"corrected", std::string()}, std::pair{"released", kReleased}}) {
    const json program = evaluate(p, set);
    for (const char* direction : {"m2e", "e2m"})
      EXPECT_EQ(json(values["evaluations"][key][direction]["ranks"]).get<std::vector<double>>(),
                program[direction]["ranks"].get<std::vector<double>>())
          << key << " " << direction;
  }
  EXPECT_EQ(values["test_songs"], 8);
  EXPECT_EQ(values["train_songs"], 32);
  EXPECT_EQ(values["step"], 24);  // 32 songs by 10, 6 times
  for (const char* baseline : {"ridge", "cca", "svr"})
    EXPECT_EQ(values["baselines"][baseline]["m2e"]["ranks"].size(), 8u) << baseline;
}

TEST_F(Measures, LambdaIsScoredAsTrainedAndByTheKlTermAlone) {
  const ExperimentPlan p = plan("lambda", {"loss.lambda=0.25"});
  test::train_runs(p, folder_.path());
  measure_run(p, p.runs[0], folder_.path(), 1);
  const auto values = test::measured_values(p, p.runs[0], folder_.path());
  const std::pair<const char*, std::string> ways[] = {{"corrected", " --set eval.lambda=0.25"},
                                                      {"corrected_kl", " --set eval.lambda=0"},
                                                      {"released", kReleased + " --set eval.lambda=0.25"},
                                                      {"released_kl", kReleased + " --set eval.lambda=0"}};
  for (const auto& [key, set] : ways)
    EXPECT_EQ(json(values["evaluations"][key]["e2m"]["ranks"]).get<std::vector<double>>(),
              evaluate(p, set)["e2m"]["ranks"].get<std::vector<double>>())
        << key;
  EXPECT_FALSE(values.contains("sweep"));  // of the runs trained at one half
}

TEST_F(Measures, EveryPointOfASweepIsTheEvaluationOfItsLambdaAndThreshold) {
  const ExperimentPlan p = plan("lambda");
  test::train_runs(p, folder_.path());
  measure_run(p, p.runs[0], folder_.path(), 1);
  const auto values = test::measured_values(p, p.runs[0], folder_.path());
  for (const auto& [key, set] : {std::pair{"corrected", std::string()}, std::pair{"released", kReleased}})
    for (std::size_t l = 0; l < 2; ++l)
      for (std::size_t t = 0; t < 2; ++t) {
        const json program =
            evaluate(p, fmt::format("{} --set eval.lambda={} --set eval.correlation_threshold={}", set,
                                    p.settings.lambdas[l], p.settings.thresholds[t]));
        const auto& sweep = values["sweep"][key];
        for (const char* direction : {"m2e", "e2m"}) {
          EXPECT_NEAR(sweep[direction]["mrr"][l][t].get<double>(), program[direction]["mrr"].get<double>(),
                      1e-12);
          EXPECT_NEAR(sweep[direction]["ar"][l][t].get<double>(), program[direction]["ar"].get<double>(),
                      1e-12);
        }
      }
}

TEST_F(Measures, DefectsAreJudgedFromBothSidesAndSwitchBySwitch) {
  ExperimentPlan p = plan("defects", {"compat=released", "data.emotion_stride=1"});
  p.runs[0].variant = "released";
  p.settings.svr_c = {1};
  p.settings.svr_gamma = {0};
  p.settings.svr_epsilon = {0.05, 0.1};
  test::train_runs(p, folder_.path());
  measure_run(p, p.runs[0], folder_.path(), 1);
  const auto values = test::measured_values(p, p.runs[0], folder_.path());
  const json turned = evaluate(p, " --set eval.kl_orientation=query");
  EXPECT_EQ(json(values["turned"]["eval.kl_orientation"]["m2e"]["ranks"]).get<std::vector<double>>(),
            turned["m2e"]["ranks"].get<std::vector<double>>());
  // The released probe calls valence arousal (B9), and R the root of R² (B12).
  const auto &released = values["probes"]["released"], &columns = values["turned"]["probe.columns"];
  EXPECT_EQ(columns["valence"], released["arousal"]);
  EXPECT_EQ(columns["arousal"], released["valence"]);
  const double r2 = released["valence"]["r2"].get<double>();
  EXPECT_DOUBLE_EQ(released["valence"]["r"].get<double>(), std::sqrt(std::max(r2, 0.0)));
  EXPECT_EQ(values["turned"]["probe.correlation"]["valence"]["r2"], released["valence"]["r2"]);

  p.runs[0].variant = "released, something";  // a changed run: only judged
  EXPECT_FALSE(is_measured(p, p.runs[0], folder_.path()));
  measure_run(p, p.runs[0], folder_.path(), 1);
  const auto changed = test::measured_values(p, p.runs[0], folder_.path());
  EXPECT_FALSE(changed.contains("turned"));
  EXPECT_EQ(changed["probes"], values["probes"]);
}

TEST_F(Measures, RegressionHoldsEveryFeatureSetOfBothProtocolsAndBaselines) {
  ExperimentPlan p = plan("regression", {"data.split={method: kfold, folds: 5, fold: 2, validation: 0}"});
  p.runs[0].fold = 2;
  p.settings.svr_c = {1};
  p.settings.svr_gamma = {0};
  p.settings.svr_epsilon = {0.1};
  test::train_runs(p, folder_.path());
  measure_run(p, p.runs[0], folder_.path(), 1);
  const auto values = test::measured_values(p, p.runs[0], folder_.path());
  for (const char* protocol : {"textbook", "released"}) {
    for (const char* set : {"embedding", "mean_log_variance", "all"})
      EXPECT_EQ(values["protocols"][protocol][set].size(), 2u) << protocol << set;
    for (const char* baseline : {"mean", "ridge", "svr"})
      EXPECT_EQ(values["baselines"][protocol][baseline].size(), 2u) << protocol << baseline;
  }
  check(gather(p, folder_.path()));
}

TEST_F(Measures, AreKeptUntilWhatTheyWereMadeFromChanges) {
  ExperimentPlan p = plan("retrieval");
  test::train_runs(p, folder_.path());
  const std::string path = measure_path(folder_.path(), "retrieval", p.runs[0]);
  EXPECT_FALSE(is_measured(p, p.runs[0], folder_.path()));
  measure_run(p, p.runs[0], folder_.path(), 1);
  EXPECT_TRUE(is_measured(p, p.runs[0], folder_.path()));
  const std::string first = test::read_text(path);
  const auto time = std::filesystem::last_write_time(path);
  measure_run(p, p.runs[0], folder_.path(), 1);
  EXPECT_EQ(std::filesystem::last_write_time(path), time);

  ExperimentPlan other = p;
  other.runs[0].config.eval.lambda = 0.0;
  EXPECT_FALSE(is_measured(other, other.runs[0], folder_.path()));
  other = p;
  other.data[0].checksum = "4567";
  EXPECT_FALSE(is_measured(other, other.runs[0], folder_.path()));

  // Half a file, as a full disk might leave one: measured again, to the same bytes.
  test::write_text(path, first.substr(0, first.size() / 2));
  EXPECT_FALSE(is_measured(p, p.runs[0], folder_.path()));
  EXPECT_TRUE(test::refuses(ErrorKind::kInput, {"1 of 1 runs", "retrieval.json", "not a whole JSON file"},
                            [&] { gather(p, folder_.path()); }));
  measure_run(p, p.runs[0], folder_.path(), 1);
  EXPECT_EQ(test::read_text(path), first);

  // The run goes on: its measures are of yesterday's weights.
  Config longer = p.runs[0].config;
  longer.train.epochs += 1;
  train({.config = longer, .run_folder = run_folder(folder_.path(), p.runs[0]), .resume = true});
  EXPECT_FALSE(is_measured(p, p.runs[0], folder_.path()));
}

TEST_F(Measures, AMissingRunIsNamed) {
  const ExperimentPlan p = plan("retrieval");
  EXPECT_TRUE(test::refuses(ErrorKind::kInput, {p.runs[0].id, "no complete checkpoint"},
                            [&] { measure_run(p, p.runs[0], folder_.path(), 1); }));
  EXPECT_TRUE(
      test::refuses(ErrorKind::kInput, {"1 of 1 runs", p.runs[0].id}, [&] { gather(p, folder_.path()); }));
}

}  // namespace
}  // namespace emer
