// Trainings side by side: what is finished is not repeated, what was begun is gone on from, what is other is not touched.
#include "engine/reproduce/runner.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <thread>

#include "core/sha256.h"
#include "engine/checkpoint.h"
#include "engine/reproduce/plan.h"
#include "engine/reproduce/results_file.h"
#include "engine/run_lock.h"
#include "tests/engine/command_run.h"
#include "tests/engine/run_support.h"
#include "tests/reproduce/plan_folder.h"
#include "tests/support/process.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

class Runner : public ::testing::Test {
 protected:
  Runner() { test::write_tiny_plan(folder_.path()); }

  ExperimentPlan plan(const std::vector<std::string>& overrides = {},
                      const std::string& checksum = "c0") const {
    StudyData data = data_;
    data.checksum = checksum;
    std::vector<std::string> all = {"device=cpu", "threads=1"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return load_plan(folder_.path(), "retrieval", "quick", {data}, all);
  }
  RunnerOptions options(const std::string& out, int jobs = 2) const {
    return {.out = out, .program = EMER_PROGRAM, .jobs = jobs, .device = "cpu"};
  }
  // What it prints.
  static std::string train(const ExperimentPlan& plan, const RunnerOptions& options) {
    ::testing::internal::CaptureStdout();
    try {
      train_missing({plan}, options);
    } catch (...) {
      printed_ = ::testing::internal::GetCapturedStdout();
      throw;
    }
    return printed_ = ::testing::internal::GetCapturedStdout();
  }
  static std::string last(const std::string& out, const PlannedRun& run) {
    return out + "/runs/" + run.id + "/checkpoints/last";
  }
  // Path, time of the last change and size of everything in a folder.
  static std::map<std::string, std::pair<fs::file_time_type, std::uintmax_t>> snapshot(
      const std::string& folder) {
    std::map<std::string, std::pair<fs::file_time_type, std::uintmax_t>> files;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
      files[entry.path().string()] = {entry.last_write_time(),
                                      entry.is_regular_file() ? entry.file_size() : 0};
    return files;
  }

  test::TemporaryFolder folder_;
  const StudyData data_ = test::tiny_data(folder_);
  const std::string out_ = folder_ / "its 'out'";
  static std::string printed_;
};
std::string Runner::printed_;

TEST_F(Runner, TrainsEveryRunOnce) {
  const ExperimentPlan plan = this->plan();
  for (const PlannedRun& run : plan.runs) EXPECT_EQ(status_of(out_, run), RunStatus::kMissing);
  EXPECT_TRUE(test::contains(train(plan, options(out_)), "2 runs: 0 finished, 0 begun, 2 to start"));
  EXPECT_TRUE(test::contains(printed_, "[2/2] "));
  for (const PlannedRun& run : plan.runs) {
    EXPECT_EQ(status_of(out_, run), RunStatus::kFinished);
    EXPECT_EQ(load_state(last(out_, run)).epoch, 5);
    EXPECT_TRUE(differing_keys(load_config(out_ + "/runs/" + run.id + "/config.yaml"), run.config).empty());
    EXPECT_TRUE(test::contains(test::read_text(out_ + "/runs/" + run.id + "/train.log"), "done: epoch 4"));
  }
  const auto before = snapshot(out_);
  EXPECT_TRUE(test::contains(train(plan, options(out_)), "2 runs: 2 finished, 0 begun, 0 to start"));
  EXPECT_EQ(snapshot(out_), before);
}

// The same bits as the program gives by itself.
TEST_F(Runner, GoesOnWithWhatWasBegun) {
  const ExperimentPlan plan = this->plan();
  const std::string undisturbed = folder_ / "undisturbed";
  train(plan, options(undisturbed));
  fs::create_directories(out_ + "/runs");
  const PlannedRun& begun = plan.runs[1];
  int steps = 0;
  EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"stopped"}, [&] {
    emer::train({.config = begun.config, .run_folder = out_ + "/runs/" + begun.id, .should_stop = [&] {
                   return ++steps == 5;
                 }});
  }));
  EXPECT_EQ(status_of(out_, begun), RunStatus::kPartial);
  EXPECT_TRUE(test::contains(train(plan, options(out_)), "2 runs: 0 finished, 1 begun, 1 to start"));
  for (const PlannedRun& run : plan.runs) {
    EXPECT_EQ(status_of(out_, run), RunStatus::kFinished);
    EXPECT_EQ(test::tensor_values(last(out_, run) + "/model.safetensors"),
              test::tensor_values(last(undisturbed, run) + "/model.safetensors"));
  }
  EXPECT_TRUE(test::contains(test::read_text(out_ + "/runs/" + begun.id + "/train.log"), "step 5"));
}

// Keys that change nothing of the training may be other than when it began.
TEST_F(Runner, GoesOnWhereOnlyEvaluationChanged) {
  const PlannedRun begun = plan().runs[0];
  fs::create_directories(out_ + "/runs/" + begun.id);
  test::write_text(out_ + "/runs/" + begun.id + ".yaml", run_yaml(begun));
  int steps = 0;
  EXPECT_THROW(emer::train({.config = begun.config,
                            .run_folder = out_ + "/runs/" + begun.id,
                            .should_stop = [&] { return ++steps == 2; }}),
               Error);
  const ExperimentPlan now = plan({"eval.lambda=0.25", "train.log_every=5"});
  ASSERT_EQ(now.runs[0].id, begun.id);
  train(now, options(out_));
  EXPECT_EQ(status_of(out_, now.runs[0]), RunStatus::kFinished);
}

TEST_F(Runner, OtherConfigurationOrDataUnderOldResultsAreRefused) {
  train(plan(), options(out_));
  const auto before = snapshot(out_);
  const std::map<std::string, std::string> changes = {
      {"train.epochs", "3"}, {"model.embedding_dim", "6"}, {"data.clip", "2"}, {"loss.lambda", "0.2"}};
  for (const auto& [key, value] : changes) {
    const std::string& changed = key;
    const std::string set = key + "=" + value;
    EXPECT_TRUE(test::refuses(ErrorKind::kUsage,
                              {out_ + "/runs/deam-quick-released-s7", changed + " (", "another --out"},
                              [&] { train(plan({set}), options(out_)); }))
        << set;
  }
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"the data set's checksum (c0 -> c1)"},
                            [&] { train(plan({}, "c1"), options(out_)); }));
  EXPECT_EQ(snapshot(out_), before);
  // Where its configuration was edited by hand.
  const PlannedRun run = plan().runs[0];
  const std::string yaml = out_ + "/runs/" + run.id + ".yaml", text = test::read_text(yaml);
  test::write_text(yaml, text + "\n");
  EXPECT_EQ(status_of(out_, run), RunStatus::kFinished);
  test::write_text(yaml, std::string(text).replace(text.find("lambda: 0.5"), 11, "lambda: 0.4"));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"loss.lambda (0.4 -> 0.5)"}, [&] { status_of(out_, run); }));
}

TEST_F(Runner, ARunStoppedInItsLastEpochIsNotFinished) {
  const PlannedRun run = plan().runs[0];
  fs::create_directories(out_ + "/runs");
  int steps = 0;
  emer::train({.config = run.config, .run_folder = folder_ / "whole", .should_stop = [&] {
                 ++steps;
                 return false;
               }});
  const int last_but_one = steps - 1;
  steps = 0;
  EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"stopped"}, [&] {
    emer::train({.config = run.config, .run_folder = out_ + "/runs/" + run.id, .should_stop = [&] {
                   return ++steps == last_but_one;
                 }});
  }));
  EXPECT_EQ(load_state(last(out_, run)).epoch, run.config.train.epochs);
  EXPECT_EQ(status_of(out_, run), RunStatus::kPartial);
}

// What was asked for by mistake and never trained is in nobody's way.
TEST_F(Runner, AFolderWithoutACheckpointIsNoTraining) {
  const PlannedRun other = plan({"train.epochs=3"}).runs[0];
  fs::create_directories(out_ + "/runs/" + other.id);
  test::write_text(out_ + "/runs/" + other.id + ".yaml", run_yaml(other));
  EXPECT_EQ(status_of(out_, plan().runs[0]), RunStatus::kMissing);
}

TEST_F(Runner, ADamagedCheckpointIsNotFinished) {
  const ExperimentPlan plan = this->plan();
  train(plan, options(out_));
  test::write_text(last(out_, plan.runs[1]) + "/state.json", "{\"epoch\": 99");
  EXPECT_EQ(status_of(out_, plan.runs[1]), RunStatus::kPartial);
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"1 of 1 failed: " + plan.runs[1].id, "state.json"},
                            [&] { train(plan, options(out_)); }));
}

TEST_F(Runner, OneFailingRunStopsNoOther) {
  test::write_text(folder_ / "retrieval.yaml",
                   "runs:\n  - model: released\n  - {model: textbook, set: {train.learning_rate: 1.0e+30}}\n"
                   "presets: {quick: {seeds: [7]}}\n");
  const ExperimentPlan plan = this->plan();
  const auto failed = [&] {
    return test::refuses(
        ErrorKind::kRunFailed,
        {"1 of ", plan.runs[1].id, "diverged", out_ + "/runs/" + plan.runs[1].id + "/train.log",
         "the same command tries these again"},
        [&] { train(plan, options(out_)); });
  };
  EXPECT_TRUE(failed());
  EXPECT_TRUE(test::contains(printed_, "failed: "));
  EXPECT_EQ(status_of(out_, plan.runs[0]), RunStatus::kFinished);
  EXPECT_TRUE(failed());
  EXPECT_TRUE(test::contains(printed_, "2 runs: 1 finished"));
}

// Jobs of the shell: what the pool itself does.
class JobPool : public ::testing::Test {
 protected:
  Job shell(const std::string& name, const std::string& script) const {
    return {.name = name, .arguments = {"-c", script}, .log = folder_ / (name + ".log")};
  }
  void run(const std::vector<Job>& jobs, int side_by_side) const {
    ::testing::internal::CaptureStdout();
    try {
      run_jobs(jobs, {.out = folder_.path(), .program = "/bin/sh", .jobs = side_by_side, .device = "cpu"});
    } catch (...) {
      ::testing::internal::GetCapturedStdout();
      throw;
    }
    ::testing::internal::GetCapturedStdout();
  }
  test::TemporaryFolder folder_;
};

// Each ends only after the other has begun.
TEST_F(JobPool, RunsJobsSideBySide) {
  const auto meet = [&](const std::string& own, const std::string& other) {
    return "touch " + (folder_ / own) + "; for i in $(seq 600); do test -e " + (folder_ / other) +
           " && exit 0; sleep 0.05; done; exit 1";
  };
  run({shell("a", meet("a.here", "b.here")), shell("b", meet("b.here", "a.here"))}, 2);
}

TEST_F(JobPool, OneAtATimeWhereAskedFor) {
  const std::string alone = "mkdir " + (folder_ / "busy") + " && rmdir " + (folder_ / "busy");
  run(std::vector<Job>(6, shell("alone", alone)), 1);
}

TEST_F(JobPool, CoresAreShared) {
  ASSERT_EQ(::setenv("EMER_THREADS", "77", 1), 0);
  run({shell("threads", "echo $EMER_THREADS")}, 4096);  // more than there are cores: one thread each
  ::unsetenv("EMER_THREADS");
  EXPECT_EQ(test::read_text(folder_ / "threads.log"), "1\n");
}

using Texts = std::vector<std::string>;

TEST(JobSlots, OneACoreOrOneAGpu) {
  const std::vector<Texts> one_thread = {{"EMER_THREADS=1"}, {"EMER_THREADS=1"}, {"EMER_THREADS=1"}};
  EXPECT_EQ(slot_environments(0, 3, {}), one_thread);
  EXPECT_EQ(slot_environments(2, 9, {}), (std::vector<Texts>{{"EMER_THREADS=4"}, {"EMER_THREADS=4"}}));
  EXPECT_EQ(slot_environments(0, 16, {"0", "1"}),
            (std::vector<Texts>{{"EMER_THREADS=8", "CUDA_VISIBLE_DEVICES=0"},
                                {"EMER_THREADS=8", "CUDA_VISIBLE_DEVICES=1"}}));
  // More jobs than GPUs take turns on them; fewer leave some alone.
  EXPECT_EQ(slot_environments(3, 3, {"a", "b"})[2], (Texts{"EMER_THREADS=1", "CUDA_VISIBLE_DEVICES=a"}));
  EXPECT_EQ(slot_environments(1, 4, {"0", "1"}),
            (std::vector<Texts>{{"EMER_THREADS=4", "CUDA_VISIBLE_DEVICES=0"}}));
}

TEST(JobSlots, GpusAreCalledAsTheEnvironmentCallsThem) {
  EXPECT_EQ(gpu_names(2, ""), (Texts{"0", "1"}));
  EXPECT_EQ(gpu_names(2, "3,5"), (Texts{"3", "5"}));
  EXPECT_EQ(gpu_names(1, "GPU-1a2b,GPU-3c4d"), (Texts{"GPU-1a2b"}));
  EXPECT_EQ(gpu_names(0, "0"), Texts{});
}

TEST_F(JobPool, SaysWhyJobsFailed) {
  EXPECT_TRUE(test::refuses(
      ErrorKind::kRunFailed,
      {"4 of 5 failed", "killed (ended by signal 9 (Killed: out of memory?)", "nine (ended with exit code 9",
       "told (no such song; log " + (folder_ / "told.log"), "absent (ended with exit code 127"},
      [&] {
        run({shell("good", "true"), shell("killed", "kill -9 $$"), shell("nine", "exit 9"),
             shell("told", "echo step 1; echo 'emer: error: no such song' >&2; exit 3"),
             shell("absent", "exec /none")},
            2);
      }));
}

// As a cluster's scheduler does it, which signals every process by itself.
TEST_F(JobPool, OneThatWasStoppedStopsAll) {
  const auto stops_others = [&] {
    run({shell("patient",
               "trap 'exit 5' USR1; touch " + (folder_ / "ready") + "; while :; do sleep 0.05; done"),
         shell("stopped", "until test -e " + (folder_ / "ready") + "; do sleep 0.05; done; exit 5"),
         shell("never", "true")},
        2);
  };
  EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"0 of 3 done", "the same command goes on"}, stops_others));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "never.log"));
}

// What an earlier attempt said is not this one's reason.
TEST_F(JobPool, LogsAreAppendedTo) {
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"early"},
                            [&] { run({shell("job", "echo 'emer: error: early'; exit 1")}, 1); }));
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"ended with exit code 1;"},
                            [&] { run({shell("job", "exit 1")}, 1); }));
  EXPECT_EQ(test::read_text(folder_ / "job.log"), "emer: error: early\n");
}

TEST_F(JobPool, ALogThatCannotBeWrittenIsNamed) {
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"none/x.log"}, [&] {
    run({{.name = "x", .arguments = {"-c", "true"}, .log = folder_ / "none/x.log"}}, 1);
  }));
}

// emer reproduce itself.
class ReproduceCommand : public Runner {
 protected:
  std::vector<std::string> command(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {EMER_PROGRAM, "reproduce", "retrieval", "--quick",   "--data",
                                    data_.path,   "--out",     out_,        "--configs", folder_.path(),
                                    "--jobs",     "2",         "--set",     "device=cpu"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // Run folders that hold such a file, and something in it.
  int runs_with(const std::string& file) const {
    int count = 0;
    std::error_code none;
    for (const fs::directory_entry& entry : fs::directory_iterator(out_ + "/runs", none))
      count += test::read_text(entry.path().string() + "/" + file).empty() ? 0 : 1;
    return count;
  }
  // Waits for it: a minute at most.
  static bool comes_true(const std::function<bool()>& condition) {
    for (int i = 0; i < 2400; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
    }
    return false;
  }
};

TEST_F(ReproduceCommand, OneAtATimeInAFolder) {
  fs::create_directories(out_);
  const RunLock held(out_, std::chrono::seconds(0));
  const test::Finished refused = test::run_program(command());
  EXPECT_EQ(refused.code, 1);
  EXPECT_TRUE(test::contains(refused.err, out_ + ": another emer reproduce is at work there"));
  EXPECT_FALSE(fs::exists(out_ + "/runs"));
  EXPECT_EQ(test::run_program(command({"--dry-run"})).code, 0);
}

class ReproduceSignals : public ReproduceCommand, public ::testing::WithParamInterface<int> {};

TEST_P(ReproduceSignals, StopItAndItGoesOn) {
  test::write_tiny_plan(folder_.path(), "1000000");
  test::Process stopped(command());
  ASSERT_TRUE(comes_true([&] { return runs_with("metrics.jsonl") == 2; }));
  stopped.send(GetParam());
  const test::Finished ended = stopped.wait();
  EXPECT_EQ(ended.code, 5) << ended.err;
  EXPECT_TRUE(test::contains(ended.err, "the same command goes on from here"));
  EXPECT_EQ(runs_with("checkpoints/last/state.json"), 2);
  const test::Finished look = test::run_program(command({"--dry-run"}));
  EXPECT_EQ(look.code, 0) << look.err;
  EXPECT_TRUE(test::contains(look.out, "begun, 1000000 epochs, about 4000000 steps"));
  EXPECT_TRUE(test::contains(look.out, "2 trainings, 0 finished"));
}
INSTANTIATE_TEST_SUITE_P(All, ReproduceSignals, ::testing::Values(SIGTERM, SIGINT, SIGUSR1));

// Its trainings hear of it, save and end.
TEST_F(ReproduceCommand, KilledItLeavesNothingRunning) {
  test::write_tiny_plan(folder_.path(), "1000000");
  test::Process killed(command());
  ASSERT_TRUE(comes_true([&] { return runs_with("metrics.jsonl") == 2; }));
  killed.send(SIGKILL);
  EXPECT_EQ(killed.wait().code, -SIGKILL);
  EXPECT_TRUE(comes_true([&] { return runs_with("checkpoints/last/state.json") == 2; }));
  for (const PlannedRun& run : plan({}, sha256_hex(test::read_text(data_.path))).runs) {
    const RunLock ended(out_ + "/runs/" + run.id, std::chrono::seconds(60));
    EXPECT_EQ(status_of(out_, run), RunStatus::kPartial);
  }
}

TEST_F(ReproduceCommand, FromDataToTables) {
  const test::Finished made = test::run_program(command());
  EXPECT_EQ(made.code, 0) << made.err;
  EXPECT_TRUE(test::contains(made.out, "retrieval: 2 runs, 2 to measure\n"));
  const ResultsFile results = load_results(out_);
  ASSERT_EQ(results.experiments.size(), 1U);
  EXPECT_EQ(results.experiments[0].name, "retrieval");
  EXPECT_EQ(results.experiments[0].preset, "quick");
  EXPECT_EQ(results.data.at(0).checksum, sha256_hex(test::read_text(data_.path)));
  EXPECT_EQ(results.origin.command, "emer reproduce retrieval --quick --configs " + folder_.path() +
                                        " --data " + data_.path + " --set device=cpu --out '" +
                                        folder_.path() + R"(/its '\''out'\''')");
  EXPECT_TRUE(fs::exists(out_ + "/retrieval.md"));
  // Once more: the same tables, and nothing is trained or measured.
  const auto runs = snapshot(out_ + "/runs");
  const test::Finished again = test::run_program(command());
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_TRUE(test::contains(again.out,
                             "2 runs: 2 finished, 0 begun, 0 to start\nretrieval: 2 runs, 0 to measure\n"));
  EXPECT_EQ(snapshot(out_ + "/runs"), runs);
  EXPECT_EQ(to_json(load_results(out_).experiments[0]), to_json(results.experiments[0]));
}

// A process that has ended is known by its id.
TEST_F(ReproduceCommand, WhatAKilledCommandWasWritingIsRemoved) {
  test::Process ended({"/bin/true"});
  const std::string name = "/.emer-" + std::to_string(ended.id()) + "-0.tmp";
  ended.wait();
  const std::string own = "/.emer-" + std::to_string(::getpid()) + "-0.tmp";  // of one that lives
  for (const char* folder : {"", "/data", "/runs", "/runs/a"}) {
    fs::create_directories(out_ + folder);
    test::write_text(out_ + folder + name, "half");
    test::write_text(out_ + folder + own, "half");
  }
  test::run_program(command({"--set", "train.epochs=0"}));
  for (const char* folder : {"", "/data", "/runs", "/runs/a"}) {
    EXPECT_FALSE(fs::exists(out_ + folder + name)) << folder;
    EXPECT_TRUE(fs::exists(out_ + folder + own)) << folder;
  }
}

// Each rank would train everything, and its trainings would wait for each other as ranks.
TEST_F(ReproduceCommand, RefusesToBeOneOfSeveralRanks) {
  ::setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  ::setenv("OMPI_COMM_WORLD_RANK", "0", 1);
  const test::Finished refused = test::run_program(command());
  ::unsetenv("OMPI_COMM_WORLD_SIZE");
  ::unsetenv("OMPI_COMM_WORLD_RANK");
  EXPECT_EQ(refused.code, 2);
  EXPECT_TRUE(test::contains(refused.err, "one of 2 ranks (mpirun)"));
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(ReproduceCommand, RefusesPathsThatItsFilesCannotHold) {
  for (const std::string path : {"x\xff", "x\ny"}) {
    const test::Finished out = test::run_program(command({"--dry-run", "--data", folder_ / path}));
    EXPECT_EQ(out.code, 2);
    EXPECT_TRUE(test::contains(out.err, "--data: '")) << out.err;
    EXPECT_TRUE(test::contains(out.err, "not UTF-8, or control characters")) << out.err;
    EXPECT_EQ(out.err_lines(), 1);
  }
}

TEST_F(ReproduceCommand, DryRunMakesNoRuns) {
  const test::Finished look = test::run_program(command({"--dry-run"}));
  EXPECT_EQ(look.code, 0) << look.err;
  EXPECT_TRUE(test::contains(look.out, "retrieval (quick): 2 runs\n  deam-quick-released-s7-"));
  EXPECT_TRUE(test::contains(look.out, "  to do, 4 epochs, about 16 steps\n"));
  EXPECT_FALSE(fs::exists(out_ + "/runs"));
}

TEST_F(ReproduceCommand, RefusesWhatItDoesNotKnow) {
  const test::Finished unknown = test::run_program({EMER_PROGRAM, "reproduce", "everything"});
  EXPECT_EQ(unknown.code, 2);
  const test::Finished no_data = test::run_program({EMER_PROGRAM, "reproduce", "retrieval", "--out", out_});
  EXPECT_EQ(no_data.code, 2);
  EXPECT_TRUE(test::contains(no_data.err, "--data"));
  const test::Finished preset = test::run_program(command({"--preset", "small"}));
  EXPECT_EQ(preset.code, 2);
}

}  // namespace
}  // namespace emer
