// emer reproduce from a data set to every table, on models that train in a blink.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "engine/reproduce/results_file.h"
#include "tests/engine/command_run.h"
#include "tests/reproduce/plan_folder.h"
#include "tests/reproduce/study_runs.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

class ReproduceCommand : public ::testing::Test {
 protected:
  ReproduceCommand() {
    test::write_tiny_plan(folder_.path(), "2");
    test::tiny_data(folder_);
    const std::string presets = "presets:\n  quick: {seeds: [7, 8]}\n", end = "settings: {resamples: 50}\n";
    write("retrieval", "runs:\n  - model: textbook\n" + presets + end);
    write("analysis", "runs:\n  - model: textbook\n" + presets + end);
    write("lambda", "runs:\n  - model: textbook\n    each: {loss.lambda: [0, 0.5]}\n" + presets +
                        "settings: {lambdas: [0, 1], thresholds: [0, 0.4], resamples: 50}\n");
    write("regression",
          "runs:\n  - model: textbook\npresets:\n  quick: {seeds: [7], folds: 2}\n"
          "settings: {svr_c: [1], svr_gamma: [0], svr_epsilon: [0.1], resamples: 50}\n");
    write("defects", "runs:\n  - model: textbook\n    alone: {model.dropout: 0}\n" + presets +
                         "settings: {svr_c: [1], svr_gamma: [0], svr_epsilon: [0.1], resamples: 50}\n");
  }
  void write(const std::string& experiment, const std::string& text) {
    test::write_text(folder_ / (experiment + ".yaml"), text);
  }
  test::CommandResult reproduce(const std::string& what, const std::string& more = "") {
    return test::run_emer(folder_, "reproduce " + what + " --quick --jobs 2 --data " +
                                       (folder_ / "deam.safetensors") + " --configs " + folder_.path() +
                                       " --out " + out_ + " --set device=cpu" + more);
  }
  // Time of the last change of every file below the runs.
  std::map<std::string, fs::file_time_type> runs() const {
    std::map<std::string, fs::file_time_type> files;
    for (const auto& entry : fs::recursive_directory_iterator(out_ + "/runs"))
      if (entry.is_regular_file()) files[entry.path().string()] = entry.last_write_time();
    return files;
  }
  test::TemporaryFolder folder_;
  const std::string out_ = folder_ / "out";
};

TEST_F(ReproduceCommand, AllOfItOnceAndNothingTwice) {
  const auto first = reproduce("all");
  ASSERT_EQ(first.exit_code, 0) << first.err << first.out;
  const ResultsFile results = load_results(out_);
  EXPECT_TRUE(test::contains(results.origin.command, " --configs " + folder_.path()))
      << results.origin.command;
  std::set<std::string> names;
  for (const ExperimentResults& experiment : results.experiments) {
    names.insert(experiment.name);
    EXPECT_FALSE(experiment.tables.empty()) << experiment.name;
    EXPECT_FALSE(experiment.figures.empty()) << experiment.name;
    EXPECT_TRUE(fs::exists(out_ + "/" + experiment.name + ".md")) << experiment.name;
    for (const ResultTable& table : experiment.tables) {
      if (table.id != "regression_deam_literature") {
        EXPECT_TRUE(test::contains(table.measured, "40 ")) << table.id;
      }
      EXPECT_TRUE(fs::exists(out_ + "/" + table.id + ".csv")) << table.id;
    }
  }
  EXPECT_EQ(names, (std::set<std::string>{"retrieval", "lambda", "regression", "analysis", "defects"}));

  const auto before = runs();
  const auto again = reproduce("all");
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(runs(), before);
  const ResultsFile same = load_results(out_);
  ASSERT_EQ(same.experiments.size(), results.experiments.size());
  for (std::size_t i = 0; i < same.experiments.size(); ++i)
    EXPECT_EQ(to_json(same.experiments[i]), to_json(results.experiments[i]));

  // One measure lost, one damaged: these two are made again, to the same bytes, and nothing else is touched.
  std::vector<std::string> measures;
  for (const auto& [path, time] : before)
    if (path.find("/retrieval.json") != std::string::npos) measures.push_back(path);
  ASSERT_EQ(measures.size(), 2u);
  const std::string lost = test::read_text(measures[0]), damaged = test::read_text(measures[1]);
  fs::remove(measures[0]);
  test::write_text(measures[1], damaged.substr(0, 100));
  const auto mended = reproduce("retrieval");
  ASSERT_EQ(mended.exit_code, 0) << mended.err;
  EXPECT_EQ(test::read_text(measures[0]), lost);
  EXPECT_EQ(test::read_text(measures[1]), damaged);
  for (const auto& [path, time] : runs())
    if (path.find("retrieval.") == std::string::npos) {
      EXPECT_EQ(time, before.at(path)) << path;
    }

  // Another training under the same results is refused, and nothing is touched.
  const auto last = runs();
  const auto other = reproduce("retrieval", " --set model.embedding_dim=6");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_TRUE(test::contains(other.err, "model.embedding_dim (5 -> 6)"));
  EXPECT_EQ(runs(), last);
}

TEST_F(ReproduceCommand, DamagedResultsAreNamedBeforeAnythingIsTrained) {
  fs::create_directories(out_);
  test::write_text(out_ + "/results.json", "{");
  const auto result = reproduce("retrieval");
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_TRUE(test::contains(result.err, "results.json"));
  EXPECT_TRUE(test::contains(result.err, "move it away"));
  EXPECT_FALSE(fs::exists(out_ + "/runs"));
  EXPECT_EQ(test::read_text(out_ + "/results.json"), "{");
}

TEST_F(ReproduceCommand, AWeightsFileThatIsDamagedIsNamed) {
  ASSERT_EQ(reproduce("retrieval").exit_code, 0);
  std::string run;
  for (const auto& [path, time] : runs())
    if (path.find("/last/model.safetensors") != std::string::npos) run = path;
  ASSERT_FALSE(run.empty());
  std::string bytes = test::read_text(run);
  bytes[bytes.size() - 1] = static_cast<char>(bytes[bytes.size() - 1] ^ 1);
  test::write_text(run, bytes);
  const auto result = reproduce("retrieval");
  EXPECT_NE(result.exit_code, 0);
  EXPECT_TRUE(test::contains(result.err, "retrieval.log"));
  const std::string folder = fs::path(run).parent_path().parent_path().parent_path().string();
  EXPECT_TRUE(test::contains(test::read_text(folder + "/retrieval.log"), "model.safetensors"));
}

}  // namespace
}  // namespace emer
