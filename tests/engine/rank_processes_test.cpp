// Runs of emer launch from beginning to end, and what becomes of them when a rank is killed, stopped or asked to stop.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <sstream>
#include <thread>

#include "tests/engine/launch_run.h"

namespace emer {
namespace {

namespace fs = std::filesystem;
using test::LaunchRun;
using test::one_line;

class RankProcesses : public LaunchRun, public ::testing::WithParamInterface<std::string> {
 protected:
  RankProcesses() : LaunchRun(GetParam()) {}
};

TEST_P(RankProcesses, TrainsAndEvaluates) {
  const std::string run = folder_ / "run";
  const test::Finished trained = test::run_program(launch("2", {"train", config(), "--run", run}));
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_TRUE(test::contains(trained.out, "done: epoch 6, step 18"));
  EXPECT_EQ(trained.out.find('\r'), std::string::npos) << "a progress bar in a log";
  const nlohmann::json facts = nlohmann::json::parse(test::read_text(run + "/environment.json"));
  EXPECT_EQ(facts["ranks"], 2);
  EXPECT_EQ(facts["communicator"], GetParam());
  const test::Finished evaluated =
      test::run_program(launch("2", {"evaluate", run, "--json", "--split", "validation"}));
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  const test::Finished alone =
      test::run_program({EMER_BINARY, "evaluate", run, "--json", "--split", "validation"});
  const nlohmann::json report = nlohmann::json::parse(evaluated.out),
                       expected = nlohmann::json::parse(alone.out);
  EXPECT_EQ(report["songs"], expected["songs"]);
  EXPECT_EQ(report["m2e"]["ranks"], expected["m2e"]["ranks"]);
  EXPECT_EQ(report["e2m"]["ranks"], expected["e2m"]["ranks"]);
}

TEST_P(RankProcesses, ASignalSavesOnceAndEndsWithFive) {
  const std::string run = folder_ / "run";
  test::Process process(launch("2", {"train", config({"train.epochs=1000000"}), "--run", run}));
  ASSERT_TRUE(test::appears(run + "/metrics.jsonl", "\"step\":20,"));
  process.send(SIGTERM);
  EXPECT_TRUE(one_line(process.wait(), 5, {"error: stopped by a signal", "--resume"}));
  EXPECT_TRUE(fs::exists(run + "/checkpoints/last/state.json"));
}

INSTANTIATE_TEST_SUITE_P(Ways, RankProcesses, ::testing::Values("threads", "mpi"),
                         [](const auto& way) { return way.param; });

// Processes of mpirun by rank, found by what mpirun has set in their environment.
std::vector<pid_t> ranks_of_run(const std::string& run_folder, int ranks) {
  std::vector<pid_t> found(static_cast<std::size_t>(ranks), 0);
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string environment = test::read_text(entry.path() / "environ");
    const std::string command = test::read_text(entry.path() / "cmdline");
    const std::string name = std::string(1, '\0') + "OMPI_COMM_WORLD_RANK=";
    const std::size_t at = environment.find(name);
    if (at == std::string::npos || command.find(run_folder) == std::string::npos) continue;
    const int rank = std::atoi(environment.c_str() + at + name.size());
    if (rank < ranks) found[static_cast<std::size_t>(rank)] = static_cast<pid_t>(std::stol(pid));
  }
  return found;
}

class LostRank : public LaunchRun {
 protected:
  LostRank() : LaunchRun("mpi") {}
  // Starts a run, and sends the signal to one of its ranks when it has made some steps.
  test::Finished lose(int rank, int signal, double timeout) {
    test::Process process(launch(
        "3", {"train", config({"train.epochs=1000000", fmt::format("distributed.timeout={}", timeout)}),
              "--run", run_}));
    EXPECT_TRUE(test::appears(run_ + "/metrics.jsonl", "\"step\":20,"));
    const std::vector<pid_t> pids = ranks_of_run(run_, 3);
    lost_ = pids[static_cast<std::size_t>(rank)];
    EXPECT_GT(lost_, 0);
    if (lost_ > 0) ::kill(lost_, signal);
    const auto begin = std::chrono::steady_clock::now();
    test::Finished result = process.wait();
    took_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    for (const pid_t pid : pids)
      if (pid > 0) ::kill(pid, SIGKILL);
    return result;
  }
  std::string run_ = folder_ / "run";
  pid_t lost_ = 0;
  double took_ = 0;
};

TEST_F(LostRank, KilledItEndsTheRunWithOneLine) {
  const test::Finished got = lose(2, SIGKILL, 300);
  EXPECT_TRUE(one_line(got, 4, {"rank 2 of 3 (", fmt::format("pid {}) died", lost_), "--resume auto"}));
  EXPECT_LT(took_, 60.0);
}

TEST_F(LostRank, RankZeroKilledIsToldByAnother) {
  const test::Finished got = lose(0, SIGKILL, 300);
  EXPECT_TRUE(one_line(got, 4, {"rank 0 of 3 (", fmt::format("pid {}) died", lost_), "--resume auto"}));
  EXPECT_LT(took_, 60.0);
}

TEST_F(LostRank, StoppedItIsNoticedWithinTheTimeout) {
  const test::Finished got = lose(1, SIGSTOP, 3);
  EXPECT_TRUE(one_line(got, 4, {"rank 1 of 3 (", fmt::format("pid {})", lost_), "for 3 s", "--resume auto"}));
  EXPECT_GE(took_, 2.0);
  EXPECT_LT(took_, 60.0);
}

}  // namespace
}  // namespace emer
