// emer evaluate and emer search from outside: what interchange.md promises to others' checks.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/safetensors.h"
#include "tests/engine/command_run.h"

namespace emer {
namespace {

using nlohmann::json;
using test::refused;
using test::run_emer;

class EvaluateInputs : public ::testing::Test {
 protected:
  std::string config(const std::string& eval) {
    test::write_text(folder_ / "eval.yaml", "eval: {" + eval + "}\n");
    return " --config " + (folder_ / "eval.yaml");
  }
  // The golden inputs but for tensors whose name contains `without`; `change` sees the rest.
  template <class Change>
  std::string inputs(const std::string& without, const Change& change) {
    const auto file = SafetensorsFile::open(test::golden("evaluation.inputs.safetensors"));
    SafetensorsWriter writer;
    for (const TensorInfo& info : file.tensors()) {
      if (info.name.find(without) != std::string::npos) continue;
      std::vector<double> values = file.read<double>(info.name);
      std::vector<std::int64_t> shape = info.shape;
      change(info.name, shape, values);
      writer.add(info.name, shape, std::span<const double>(values));
    }
    writer.write(folder_ / "inputs.safetensors");
    return "evaluate --inputs " + (folder_ / "inputs.safetensors");
  }
  std::string inputs(const std::string& without) {
    return inputs(without, [](const std::string&, auto&, auto&) {});
  }
  test::TemporaryFolder folder_;
};

TEST_F(EvaluateInputs, PrintsTheGoldenRanksAsJson) {
  const json expected = json::parse(test::read_text(test::golden("evaluation.expected.json")));
  const std::string call =
      "evaluate --inputs " + test::golden("evaluation.inputs.safetensors") +
      config("lambda: 0.3, standardise_terms: false, tie_rule: by_index, kl_orientation: released");
  for (const auto& [set, key] :
       {std::pair{" --set eval.bootstrap=20 --json", "lambda 0.3 released"},
        std::pair{" --set eval.kl_orientation=query --set eval.lambda=1.0", "lambda 1.0 query"}}) {
    const auto result = run_emer(folder_, call + set);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    const json got = json::parse(result.out);
    for (const char* direction : {"m2e", "e2m"}) {
      EXPECT_EQ(got[direction]["ranks"], expected[key][direction]["ranks"]) << key;
      EXPECT_DOUBLE_EQ(got[direction]["mrr"], expected[key][direction]["mrr"]) << key;
      EXPECT_TRUE(got[direction]["recall_at"].contains("10"));
    }
  }
}

TEST_F(EvaluateInputs, NeedsOnlyWhatLambdaUses) {
  EXPECT_EQ(run_emer(folder_, inputs(".embedding") + config("lambda: 0")).exit_code, 0);
  EXPECT_TRUE(
      refused(run_emer(folder_, inputs(".embedding") + config("lambda: 1")), 3, "train.music.embedding"));
  EXPECT_EQ(run_emer(folder_, inputs("log_variance") + config("lambda: 1")).exit_code, 0);
  EXPECT_TRUE(
      refused(run_emer(folder_, inputs("log_variance") + config("lambda: 0")), 3, "test.music.log_variance"));
}

TEST_F(EvaluateInputs, WrongInputsAreOneLineAndTheRightExitCode) {
  const std::string good = inputs("nothing of that name");
  EXPECT_TRUE(refused(run_emer(folder_, good), 2, "--config"));
  EXPECT_TRUE(refused(run_emer(folder_, good + config("lambda: 2")), 2, "eval.lambda"));
  EXPECT_TRUE(refused(run_emer(folder_, good + config("lamda: 0.2")), 2, "lambda"));
  EXPECT_TRUE(refused(run_emer(folder_, good + config("lambda: 0.2") + " --baselines"), 2, "--baselines"));
  EXPECT_TRUE(refused(run_emer(folder_, good + " some/run" + config("lambda: 0.2")), 2, "not both"));
  EXPECT_TRUE(refused(run_emer(folder_, "evaluate --inputs /nonexistent" + config("lambda: 0.2")), 3,
                      "/nonexistent"));
  EXPECT_TRUE(refused(run_emer(folder_, "evaluate"), 2, "checkpoint"));
  EXPECT_TRUE(refused(run_emer(folder_, "evaluate /nonexistent"), 3, "/nonexistent"));

  const std::string fewer =
      inputs("nothing of that name", [](const std::string& name, auto& shape, auto& values) {
        if (name == "test.music.mean") shape[0] -= 1, values.resize(values.size() - 6);
      });
  EXPECT_TRUE(refused(run_emer(folder_, fewer + config("lambda: 0.2")), 3, "test."));
  const std::string nan = inputs("nothing of that name", [](const std::string& name, auto&, auto& values) {
    if (name == "test.emotion.log_variance") values[6 * 4] = std::numeric_limits<double>::quiet_NaN();
  });
  EXPECT_TRUE(refused(run_emer(folder_, nan + config("lambda: 0.2")), 1, "emotion item 4"));
}

// One small trained run, looked at from every side.
class TrainedRun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new test::TemporaryFolder;
    const Config config = test::small_config(test::small_data(*folder_), {"train.epochs=2"});
    train({.config = config, .run_folder = run()});
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string run() { return *folder_ / "run"; }
  static test::CommandResult emer(const std::string& arguments) { return run_emer(*folder_, arguments); }
  static inline test::TemporaryFolder* folder_ = nullptr;
};

TEST_F(TrainedRun, EvaluatesTheSplitAndKeepsTheResult) {
  const auto result =
      emer("evaluate " + run() + "/checkpoints/last --json --baselines --set eval.bootstrap=10");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json printed = json::parse(result.out);
  EXPECT_EQ(printed["m2e"]["ranks"].size(), 8u);  // a fifth of 40 songs
  EXPECT_TRUE(printed["baselines"].contains("ridge"));
  EXPECT_EQ(json::parse(test::read_text(run() + "/checkpoints/last/evaluation.json")), printed);

  const auto validation = emer("evaluate " + run() + "/checkpoints/last --split validation");
  ASSERT_EQ(validation.exit_code, 0) << validation.err;
  EXPECT_NE(validation.out.find("6 validation songs"), std::string::npos) << validation.out;
  EXPECT_NE(validation.out.find("chance"), std::string::npos);
  EXPECT_EQ(json::parse(test::read_text(run() + "/checkpoints/last/evaluation.json")), printed)
      << "another split must not replace the test result";
}

// The embeddings that are written, scored through --inputs, give the ranks of the checkpoint.
TEST_F(TrainedRun, WrittenEmbeddingsScoreTheSame) {
  const std::string file = *folder_ / "embeddings.safetensors";
  const auto direct = emer("evaluate " + run() + " --json --set eval.bootstrap=0 --embeddings " + file);
  ASSERT_EQ(direct.exit_code, 0) << direct.err;
  const auto embeddings = SafetensorsFile::open(file);
  const auto ids = embeddings.read<std::int64_t>("song_id", {40});
  const Split split = load_split(run() + "/split.json");
  SafetensorsWriter inputs;
  for (const std::string view : {"music.", "emotion."})
    for (const std::string head : {"embedding", "mean", "log_variance"})
      for (const auto& [part, songs] : {std::pair{"train.", &split.train}, std::pair{"test.", &split.test}}) {
        const auto all = embeddings.read<float>(view + head, {40, 5});
        std::vector<float> chosen;
        for (const std::int64_t id : *songs) {
          const auto row = std::find(ids.begin(), ids.end(), id) - ids.begin();
          chosen.insert(chosen.end(), all.begin() + row * 5, all.begin() + row * 5 + 5);
        }
        inputs.add(part + view + head, {static_cast<std::int64_t>(songs->size()), 5},
                   std::span<const float>(chosen));
      }
  inputs.write(*folder_ / "again.safetensors");
  const auto again = emer("evaluate --json --inputs " + (*folder_ / "again.safetensors") + " --config " +
                          run() + "/config.yaml --set eval.bootstrap=0");
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(json::parse(again.out)["m2e"], json::parse(direct.out)["m2e"]);
  EXPECT_EQ(json::parse(again.out)["e2m"], json::parse(direct.out)["e2m"]);
}

TEST_F(TrainedRun, EmbeddingsOfAnUnknownKindAreRefused) {
  EXPECT_TRUE(
      refused(emer("evaluate " + run() + " --embeddings " + (*folder_ / "e.npz")), 2, ".npy or .csv"));
  EXPECT_FALSE(std::filesystem::exists(*folder_ / "e.npz"));
}

TEST_F(TrainedRun, SearchAnswersEveryKindOfQuery) {
  const std::string search = "search " + run() + " --json --top 3 ";
  for (const std::string query : {"--song 7", "--song 7 --emotion-of", "--emotion '0.1,0.2'",
                                  "--emotion '0.1,0.2; 0,0'", "--song 7 --split test"}) {
    const auto result = emer(search + query);
    ASSERT_EQ(result.exit_code, 0) << query << result.err;
    const json got = json::parse(result.out);
    ASSERT_EQ(got["answers"].size(), 3u) << query;
    EXPECT_EQ(got["answers"][2]["rank"], 3);
    EXPECT_GT(got["answers"][2]["score"], got["answers"][0]["score"]);
  }
  // A song of the data set and the same song of its file are one query.
  const json own = json::parse(emer(search + "--song 7").out);
  const json file = json::parse(emer(search + "--song 7 --music " + (*folder_ / "songs.safetensors")).out);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(own["answers"][i]["song_id"], file["answers"][i]["song_id"]);
}

TEST_F(TrainedRun, SearchRefusesWithOneLine) {
  const std::string search = "search " + run() + " ";
  EXPECT_TRUE(refused(emer(search), 2, "one query"));
  EXPECT_TRUE(refused(emer(search + "--song 7 --emotion 0,0"), 2, "one query"));
  EXPECT_TRUE(refused(emer(search + "--emotion '0.1,0.2;x,1'"), 2, "valence of step 2 (character 9)"));
  EXPECT_TRUE(refused(emer(search + "--song 777"), 2, "777"));
  EXPECT_TRUE(refused(emer(search + "--music " + (*folder_ / "songs.safetensors")), 2, "--song"));
  EXPECT_TRUE(refused(emer(search + "--music /nonexistent.csv"), 3, "/nonexistent.csv"));
  EXPECT_TRUE(refused(emer(search + "--song 7 --top 0"), 2, "--top"));
  EXPECT_TRUE(refused(emer("search /nonexistent --song 7"), 3, "/nonexistent"));
  const auto warned = emer(search + "--emotion 0.5,7");
  EXPECT_EQ(warned.exit_code, 0);
  EXPECT_NE(warned.err.find("arousal of step 1 is 7"), std::string::npos) << warned.err;
}

}  // namespace
}  // namespace emer
