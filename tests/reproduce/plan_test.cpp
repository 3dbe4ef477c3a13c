// The committed plans of configs/paper: what they train, how runs are named and shared, and what is refused.
#include "engine/reproduce/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/engine/run_support.h"
#include "tests/reproduce/plan_folder.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

const std::string kConfigs = EMER_SOURCE_DIR "/configs/paper";

class PaperPlans : public ::testing::Test {
 protected:
  PaperPlans() {
    save_dataset(make_synthetic({.songs = 20, .seed = 1, .width = 6}), folder_ / "deam.safetensors");
    save_dataset(make_synthetic({.songs = 20, .seed = 2, .width = 6, .sequence = true}),
                 folder_ / "pmemo.safetensors");
    test::write_text(folder_ / "arousal_over_valence.safetensors", "another file");
    deam_.name = "deam";
    deam_.path = folder_ / "deam.safetensors";
    deam_.checksum = "d0";
    pmemo_.name = "pmemo";
    pmemo_.path = folder_ / "pmemo.safetensors";
    pmemo_.checksum = "e0";
  }
  ExperimentPlan load(const std::string& experiment, const std::string& preset,
                      const std::vector<StudyData>& data,
                      const std::vector<std::string>& overrides = {}) const {
    return load_plan(kConfigs, experiment, preset, data, overrides);
  }
  StudyData deam_with_variant() const {
    StudyData data = deam_;
    data.variants["deam_short_valence=released"] = folder_ / "arousal_over_valence.safetensors";
    return data;
  }

  test::TemporaryFolder folder_;
  StudyData deam_, pmemo_;
};

std::map<std::string, int> variants(const ExperimentPlan& plan, const std::string& data) {
  std::map<std::string, int> counts;
  for (const PlannedRun& run : plan.runs)
    if (run.data == data) ++counts[run.variant];
  return counts;
}

std::set<std::string> ids(const ExperimentPlan& plan) {
  std::set<std::string> all;
  for (const PlannedRun& run : plan.runs) all.insert(run.id);
  return all;
}

const PlannedRun& find(const ExperimentPlan& plan, const std::string& data, const std::string& variant,
                       std::int64_t seed, int fold = -1) {
  for (const PlannedRun& run : plan.runs)
    if (run.data == data && run.variant == variant && run.seed == seed && run.fold == fold) return run;
  throw std::runtime_error("the plan has no run " + variant);
}

bool includes(const std::set<std::string>& all, const std::set<std::string>& part) {
  return std::includes(all.begin(), all.end(), part.begin(), part.end());
}

std::vector<std::string> keys_of(const std::vector<std::string>& differing) {
  std::vector<std::string> keys;
  for (const std::string& text : differing) keys.push_back(text.substr(0, text.find(' ')));
  return keys;
}

using Keys = std::vector<std::string>;

// Ids are names of folders, and stand for one training each: in all experiments and presets together.
TEST_F(PaperPlans, IdsAreNamesOfFoldersAndStandForOneTraining) {
  std::map<std::string, std::string> identities;
  std::set<std::string> names;
  for (const char* preset : {"published", "small", "quick"}) {
    for (const char* experiment : {"retrieval", "lambda", "regression", "analysis", "defects"}) {
      for (const PlannedRun& run : load(experiment, preset, {deam_with_variant(), pmemo_}).runs) {
        EXPECT_EQ(
            run.id.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."),
            std::string::npos)
            << run.id;
        EXPECT_LT(run.id.size(), 200U) << run.id;
        const std::string identity = training_identity(run.config, run.data_checksum);
        EXPECT_EQ(identities.emplace(run.id, identity).first->second, identity) << run.id;
        EXPECT_EQ(run.config.data.split.seed, run.seed);
        EXPECT_EQ(run.config.train.seed, run.seed);
      }
    }
  }
  for (const auto& [id, identity] : identities)
    EXPECT_TRUE(names.insert(id.substr(0, id.size() - 9)).second) << id;
}

TEST_F(PaperPlans, RetrievalTrainsFourModelsOnDeamAndTwoOnPmemo) {
  const ExperimentPlan plan = load("retrieval", "small", {deam_, pmemo_});
  EXPECT_EQ(
      variants(plan, "deam"),
      (std::map<std::string, int>{{"released", 5}, {"textbook", 5}, {"recipe", 5}, {"contrastive", 5}}));
  EXPECT_EQ(variants(plan, "pmemo"), (std::map<std::string, int>{{"released", 5}, {"textbook", 5}}));
  EXPECT_EQ(plan.settings.resamples, 2000);
  EXPECT_EQ(find(plan, "deam", "released", 9999).config.compat, Compat::kReleased);
  EXPECT_EQ(find(plan, "deam", "textbook", 9999).config.model.dropout, 0.5);
  EXPECT_EQ(find(plan, "pmemo", "released", 1).config.model.music.kind, ViewKind::kBiGru);
}

TEST_F(PaperPlans, PublishedIsThePapersConfiguration) {
  const ExperimentPlan plan = load("retrieval", "published", {deam_, pmemo_});
  for (const char* data : {"deam", "pmemo"}) {
    const Config& c = find(plan, data, "released", 9999).config;
    EXPECT_EQ(c.train.epochs, 10001);
    EXPECT_EQ(c.train.batch_size, 512);
    EXPECT_EQ(c.train.learning_rate, 1e-5);
    EXPECT_EQ(c.train.optimizer, OptimizerKind::kAdamTf);
    EXPECT_EQ(c.model.embedding_dim, 1024);
    EXPECT_EQ(c.model.gru_hidden, 512);
    EXPECT_EQ(c.model.emotion.widths, (std::vector<int>{512, 512, 512, 1024}));
    EXPECT_EQ(c.loss.lambda, 0.5);
    EXPECT_FALSE(c.data.standardise);
  }
  EXPECT_EQ(find(plan, "deam", "released", 9999).config.model.music.widths,
            (std::vector<int>{256, 512, 512, 1024}));
  EXPECT_EQ(find(load("regression", "published", {deam_}), "deam", "released", 9999, 0).config.train.epochs,
            5001);
}

// A folder of results made by this version is found by the next one: ids may change only where trainings do.
TEST_F(PaperPlans, IdsStayWhatTheyAre) {
  const ExperimentPlan plan = load("defects", "small", {deam_});
  EXPECT_EQ(find(plan, "deam", "released", 9999).id, "deam-small-released-s9999-ed93a8c8");
  EXPECT_EQ(find(plan, "deam", "released, model.dropout", 3).id,
            "deam-small-released-model.dropout_0.5-s3-a3bc91b8");
  EXPECT_EQ(find(load("regression", "quick", {deam_}), "deam", "textbook", 9999, 4).id,
            "deam-quick-textbook-s9999-f4-c27b9e9f");
}

TEST_F(PaperPlans, ExperimentsShareRuns) {
  for (const char* preset : {"published", "small", "quick"}) {
    const std::set<std::string> retrieval = ids(load("retrieval", preset, {deam_, pmemo_}));
    EXPECT_TRUE(includes(retrieval, ids(load("analysis", preset, {deam_, pmemo_}))));
    const ExperimentPlan lambda = load("lambda", preset, {deam_});
    EXPECT_TRUE(retrieval.count(find(lambda, "deam", "released, loss.lambda 0.5", 9999).id));
    EXPECT_TRUE(retrieval.count(find(lambda, "deam", "recipe, loss.lambda 0.5", 1).id));
    const ExperimentPlan defects = load("defects", preset, {deam_});
    EXPECT_TRUE(retrieval.count(find(defects, "deam", "released", 1).id));
    EXPECT_TRUE(retrieval.count(find(defects, "deam", "textbook", 1).id));
  }
}

TEST_F(PaperPlans, LambdaVariesLambdaAlone) {
  const ExperimentPlan plan = load("lambda", "small", {deam_});
  EXPECT_EQ(plan.runs.size(), (2U * 11 + 1) * 5);  // and the contrastive encoder beside them
  EXPECT_EQ(plan.settings.lambdas.size(), 11U);
  EXPECT_EQ(plan.settings.thresholds.back(), 0.9);
  for (const PlannedRun& run : plan.runs) {
    const std::string model = run.variant.substr(0, run.variant.find(','));
    if (model == "contrastive") continue;
    const Keys keys =
        keys_of(differing_keys(find(plan, "deam", model + ", loss.lambda 0.5", run.seed).config, run.config));
    EXPECT_EQ(keys, run.config.loss.lambda == 0.5 ? Keys{} : Keys{"loss.lambda"}) << run.id;
  }
}

TEST_F(PaperPlans, RegressionHasTenFolds) {
  const ExperimentPlan plan = load("regression", "quick", {deam_, pmemo_});
  EXPECT_EQ(plan.runs.size(), 2U * 2 * 10);
  EXPECT_EQ(plan.settings.svr_c, (std::vector<double>{1, 32}));
  EXPECT_EQ(load("regression", "published", {deam_}).settings.svr_gamma,
            (std::vector<double>{0.5, 1, 2, 32, 0}));
  for (int fold = 0; fold < 10; ++fold) {
    const Config& c = find(plan, "pmemo", "textbook", 9999, fold).config;
    EXPECT_EQ(c.data.split.method, "kfold");
    EXPECT_EQ(c.data.split.folds, 10);
    EXPECT_EQ(c.data.split.fold, fold);
  }
}

// From either side every switch alone, and nothing else with it.
TEST_F(PaperPlans, DefectsTurnOneSwitchAtATime) {
  const Keys switches = {"data.deam_short_valence", "loss.cca.centring",      "loss.cca.correlation",
                         "loss.cca.penalty",        "loss.kl.norm_broadcast", "model.dropout",
                         "model.gru.activation",    "model.gru.variant"};
  const ExperimentPlan plan = load("defects", "small", {deam_with_variant()});
  for (const char* base : {"released", "textbook"}) {
    Keys turned;
    for (const PlannedRun& run : plan.runs) {
      if (run.variant.rfind(std::string(base) + ", ", 0) != 0) continue;
      Keys keys = keys_of(differing_keys(find(plan, "deam", base, run.seed).config, run.config));
      const std::string key = run.variant.substr(run.variant.find(' ') + 1);
      if (key == "data.deam_short_valence") keys.erase(std::find(keys.begin(), keys.end(), "data.path"));
      EXPECT_EQ(keys, Keys{key}) << run.id;
      if (run.seed == 9999 && key != "loss.kl.reduction") turned.push_back(key);
    }
    std::sort(turned.begin(), turned.end());
    EXPECT_EQ(turned, switches) << base;
  }
  for (const auto& [variant, seeds] : variants(plan, "deam")) EXPECT_EQ(seeds, 10) << variant;
  // All switches of the training together are all that the two ends differ in.
  Keys ends = keys_of(differing_keys(find(plan, "deam", "released", 9999).config,
                                     find(plan, "deam", "textbook", 9999).config));
  ends.erase(std::remove_if(ends.begin(), ends.end(),
                            [](const std::string& key) {
                              return key.rfind("eval.", 0) == 0 || key.rfind("probe.", 0) == 0 ||
                                     key.rfind("analysis.", 0) == 0 || key == "compat" ||
                                     key == "data.path" || key == "data.rater_mean" ||
                                     key == "data.resampler";
                            }),
             ends.end());
  std::sort(ends.begin(), ends.end());
  EXPECT_EQ(ends, Keys(switches.begin() + 1, switches.end()));  // both have the sound ratings
  EXPECT_FALSE(variants(plan, "deam").count("textbook without dropout"));
  EXPECT_TRUE(variants(load("defects", "published", {deam_}), "deam")
                  .count("textbook without dropout, loss.cca.penalty"));
}

TEST_F(PaperPlans, AVariantOfTheDataIsAnotherFile) {
  const ExperimentPlan with = load("defects", "small", {deam_with_variant()}),
                       without = load("defects", "small", {deam_});
  const PlannedRun& base = find(with, "deam", "released", 9999);
  EXPECT_EQ(base.config.data.path, deam_.path);
  EXPECT_EQ(base.data_checksum, "d0");
  EXPECT_EQ(base.id, find(without, "deam", "released", 9999).id);
  const PlannedRun& turned = find(with, "deam", "released, data.deam_short_valence", 9999);
  EXPECT_EQ(turned.config.data.path, folder_ / "arousal_over_valence.safetensors");
  EXPECT_EQ(turned.config.data.deam_short_valence, DataConfig::ShortValence::kReleased);
  EXPECT_EQ(turned.data_checksum,  // of "another file"
            "100ef6a71bac925f709fe9c114c60460bf6e472cfdb9d44bd8adf1698135260f");
  EXPECT_FALSE(variants(without, "deam").count("released, data.deam_short_valence"));
}

TEST_F(PaperPlans, SequencesHaveNoModelsOfSongVectors) {
  StudyData sequences = pmemo_;
  sequences.name = "deam";
  EXPECT_EQ(variants(load("retrieval", "quick", {sequences}), "deam"),
            (std::map<std::string, int>{{"released", 2}, {"textbook", 2}}));
}

TEST_F(PaperPlans, OverridesReachEveryRunButNotWhatVaries) {
  const std::vector<std::string> set = {"train.epochs=3", "loss.lambda=0.7"};
  for (const PlannedRun& run : load("lambda", "quick", {deam_}, set).runs)
    EXPECT_EQ(run.config.train.epochs, 3);
  EXPECT_EQ(
      find(load("lambda", "quick", {deam_}, set), "deam", "released, loss.lambda 0.25", 1).config.loss.lambda,
      0.25);
  EXPECT_EQ(find(load("retrieval", "quick", {deam_}, set), "deam", "released", 1).config.loss.lambda, 0.7);
}

TEST_F(PaperPlans, OnlyWhatIsTrainedChangesAnId) {
  const auto id = [&](const std::vector<std::string>& set, const StudyData& data) {
    return find(load("retrieval", "quick", {data}, set), "deam", "released", 1).id;
  };
  const std::string usual = id({}, deam_);
  for (const char* set : {"eval.lambda=0.1", "probe.inner_folds=5", "analysis.top=0.1", "threads=3",
                          "device=cpu", "train.log_every=7", "distributed.timeout=20", "data.path=elsewhere"})
    EXPECT_EQ(id({set}, deam_), usual) << set;
  for (const char* set : {"train.epochs=3", "model.gru.hidden=8", "data.clip=2", "distributed.bucket_mb=1"})
    EXPECT_NE(id({set}, deam_), usual) << set;
  StudyData other = deam_;
  other.checksum = "d1";
  EXPECT_NE(id({}, other), usual);
  test::TemporaryFolder elsewhere;
  std::filesystem::copy(deam_.path, elsewhere / "moved.safetensors");
  other = deam_;
  other.path = elsewhere / "moved.safetensors";
  EXPECT_EQ(id({}, other), usual);
}

TEST_F(PaperPlans, RefusesWhatIsNotThere) {
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"no preset 'tiny'", "published, quick, small"},
                            [&] { load("retrieval", "tiny", {deam_}); }));
  StudyData other = deam_;
  other.name = "amg1608";
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"no model for the data set 'amg1608'", "deam, pmemo"},
                            [&] { load("retrieval", "quick", {other}); }));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {folder_ / "models.yaml", "--configs"},
                            [&] { load_plan(folder_.path(), "retrieval", "quick", {deam_}, {}); }));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"--set train.epochs=none"},
                            [&] { load("retrieval", "quick", {deam_}, {"train.epochs=none"}); }));
}

struct BadPlan {
  const char* file;
  const char* text;
  const char* said;
};

class PlanErrors : public ::testing::TestWithParam<BadPlan> {};

TEST_P(PlanErrors, NameFileLineAndColumn) {
  const test::TemporaryFolder folder;
  test::write_tiny_plan(folder.path());
  const StudyData data = test::tiny_data(folder);
  ASSERT_EQ(load_plan(folder.path(), "retrieval", "quick", {data}, {}).runs.size(), 2U);
  test::write_text(folder / GetParam().file, GetParam().text);
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {(folder / GetParam().file) + GetParam().said},
                            [&] { load_plan(folder.path(), "retrieval", "quick", {data}, {}); }));
}

#define PRESETS "presets: {quick: {seeds: [1]}}\n"
INSTANTIATE_TEST_SUITE_P(
    Plans, PlanErrors,
    ::testing::Values(
        BadPlan{"retrieval.yaml", "", ": the file is null; it must be a section"},
        BadPlan{"retrieval.yaml", "runs: [{model: released}]\n", ": it needs runs and presets"},
        BadPlan{"retrieval.yaml", "run: []\n", ":1:1: the file has no key 'run'; did you mean 'runs'?"},
        BadPlan{"retrieval.yaml", "runs: []\n" PRESETS,
                ":1:7: runs is a list; it must be a list that is not empty"},
        BadPlan{"retrieval.yaml", "runs:\n  - modle: released\n" PRESETS,
                ":2:5: an entry of runs has no key 'modle'; did you mean 'model'?"},
        BadPlan{"retrieval.yaml", "runs:\n  - {name: x}\n" PRESETS, ":2:5: an entry of runs names no model"},
        BadPlan{"retrieval.yaml", "runs:\n  - {model: relaesed}\n" PRESETS,
                ":2:5: models.yaml has no model 'relaesed'; it has released, textbook"},
        BadPlan{"retrieval.yaml", "runs:\n  - {model: released, alone: {los.lambda: 1}}\n" PRESETS,
                ":2:31: unknown key 'los.lambda'; did you mean 'loss.lambda'?"},
        BadPlan{"retrieval.yaml", "runs:\n  - {model: released, alone: {loss.lambda: 2}}\n" PRESETS,
                ":2:31: loss.lambda is '2'; it must be number >= 0 and <= 1"},
        BadPlan{"retrieval.yaml", "runs:\n  - {model: released, each: {loss.lambda: 1}}\n" PRESETS,
                ":2:43: each.loss.lambda is '1'; it must be a list that is not empty"},
        BadPlan{"retrieval.yaml",
                "runs:\n  - {model: released, each: {loss.lambda: [1], train.ema: [0]}}\n" PRESETS,
                ":2:48: each varies one key; it has two"},
        BadPlan{"retrieval.yaml",
                "runs:\n  - {model: released, each: {loss.lambda: [1]}, alone: {train.ema: 0}}\n" PRESETS,
                ":2:5: an entry of runs has alone and each; write two entries"},
        BadPlan{"retrieval.yaml", "runs:\n  - {model: released, presets: [tiny]}\n" PRESETS,
                ":2:5: an entry of runs names the preset 'tiny', which this file does not have"},
        BadPlan{"retrieval.yaml", "runs: [{model: released}]\npresets: {quick: {folds: 3}}\n",
                ":2:18: quick has no seeds"},
        BadPlan{"retrieval.yaml", "runs: [{model: released}]\npresets: {quick: {seeds: [1, 2, 1]}}\n",
                ":2:33: quick.seeds lists 1 twice"},
        BadPlan{"retrieval.yaml", "runs: [{model: released}]\npresets: {quick: {seeds: [-1]}}\n",
                ":2:27: a seed is '-1'; it must be an integer from 0 to 4294967295"},
        BadPlan{"retrieval.yaml", "runs: [{model: released}]\n" PRESETS "settings: {lambdas: [0.5, 1.5]}\n",
                ":3:27: an item of lambdas is '1.5'; it must be a number from 0 to 1"},
        BadPlan{"retrieval.yaml", "runs: [{model: released}]\n" PRESETS "settings: {lambda: [0.5]}\n",
                ":3:12: settings has no key 'lambda'; did you mean 'lambdas'?"},
        BadPlan{"retrieval.yaml", "runs: [{model: released}]\nruns: [{model: released}]\n" PRESETS,
                ":2:1: the file gives 'runs' twice"},
        BadPlan{"retrieval.yaml", "runs: [\n", ":2:1: not valid YAML"},
        BadPlan{"models.yaml", "models: {released: {deam: tiny.yaml}}\n", ": it needs models and presets"},
        BadPlan{"models.yaml", "models: {released: {set: {compat: released}}}\npresets: {quick: {}}\n",
                ":1:20: released has no configuration"},
        BadPlan{"models.yaml",
                "models: {released: {deam: tiny.yaml, vectors_only: 1}}\npresets: {quick: {}}\n",
                ":1:52: released.vectors_only is '1'; it must be true or false"},
        BadPlan{"models.yaml",
                "models: {released: {deam: tiny.yaml}, textbook: {deam: tiny.yaml}}\n"
                "presets: {quick: {tiny.yaml: {train.epochs: many}}}\n",
                ":2:31: train.epochs is 'many'; it must be integer >= 1"}));

}  // namespace
}  // namespace emer
