// emer launch and ranks started by mpirun: the real program, its exit code, and the one line of the run.
#include <gtest/gtest.h>
#include <signal.h>
#include <yaml-cpp/yaml.h>

#include <chrono>
#include <thread>

#include "core/ranks/launch_environment.h"
#include "engine/cli/launcher.h"
#include "tests/engine/launch_run.h"

namespace emer {
namespace {

using test::one_line;

class Launch : public test::LaunchRun, public ::testing::WithParamInterface<std::string> {
 protected:
  Launch() : LaunchRun(GetParam()) {}
};

TEST_P(Launch, WhatAllRanksFindWrongIsToldOnce) {
  const std::string run = folder_ / "run";
  EXPECT_TRUE(
      one_line(test::run_program(launch("3", {"train", config(), "--run", run, "--set", "train.epoch=1"})), 2,
               {"error: --set train.epoch=1", "train.epochs"}));
  EXPECT_TRUE(
      one_line(test::run_program(launch("3", {"train", config(), "--run", run, "--bogus"})), 2, {"--bogus"}));
  EXPECT_TRUE(one_line(test::run_program(launch("2", {"train", config(), "--resume"})), 2, {"--run"}));
  EXPECT_TRUE(one_line(test::run_program(launch("3", {"train", folder_ / "none.yaml", "--run", run})), 3,
                       {"error: cannot read", "none.yaml"}));
  EXPECT_TRUE(one_line(test::run_program(launch("2", {"evaluate", run})), 3, {"error: ", "run"}));
}

INSTANTIATE_TEST_SUITE_P(Ways, Launch, ::testing::Values("threads", "mpi"),
                         [](const auto& way) { return way.param; });

TEST(LaunchCommand, RefusesWhatItCannotStart) {
  const auto refused = [](std::vector<std::string> arguments, std::initializer_list<std::string_view> parts) {
    arguments.insert(arguments.begin(), {EMER_BINARY, "launch"});
    return one_line(test::run_program(arguments), 2, parts);
  };
  EXPECT_TRUE(refused({}, {"--ranks"}));
  EXPECT_TRUE(refused({"-n", "2"}, {"train or evaluate"}));
  EXPECT_TRUE(refused({"-n", "2", "info"}, {"'info'", "train or evaluate"}));
  EXPECT_TRUE(refused({"-n", "0", "train"}, {"--ranks", "1 to 1024"}));
  EXPECT_TRUE(refused({"-n", "1000", "--comm", "nccl", "train"}, {"-n 1000", "GPU"}));
  EXPECT_TRUE(refused({"-n", "2", "--comm", "pigeons", "train"}, {"--comm", "pigeons"}));
  EXPECT_TRUE(refused({"-n", "2", "train", "--comm", "mpi"}, {"--comm before the command"}));
}

TEST(LaunchCommand, RanksByVariablesNeedWhatCarriesArrays) {
  test::TemporaryFolder folder;
  const std::string config = folder / "c.yaml";
  test::write_text(config, dump(test::small_config(test::small_data(folder))));
  const auto with = [&](const std::string& variables) {
    return test::run_program(
        {"/usr/bin/env", "sh", "-c",
         variables + " '" EMER_BINARY "' train " + config + " --run " + (folder / "run")});
  };
  EXPECT_TRUE(
      one_line(with("RANK=5 WORLD_SIZE=4 MASTER_ADDR=a MASTER_PORT=1"), 2, {"RANK=5", "WORLD_SIZE=4"}));
  EXPECT_TRUE(one_line(with("RANK=0 WORLD_SIZE=2"), 2, {"MASTER_ADDR"}));
  EXPECT_TRUE(one_line(with("RANK=0 WORLD_SIZE=1"), 0, {}) == false) << "a world of one has nothing to say";
}

// A thread that asks for a stack larger than the address space is refused, as one beyond a container's limit is.
TEST(LaunchCommand, TooFewThreadsForTheRanksIsAnError) {
  test::TemporaryFolder folder;
  const std::string config = folder / "c.yaml";
  test::write_text(config, dump(test::small_config(test::small_data(folder))));
  const test::Finished got =
      test::run_program({"/bin/sh", "-c",
                         "ulimit -s 1000000000000 || exit 77; EMER_THREADS=1 exec '" EMER_BINARY "' train " +
                             config + " --comm threads --ranks 3 --run " + (folder / "run")});
  if (got.code == 77) GTEST_SKIP() << "the stack's limit is fixed on this machine";
  EXPECT_TRUE(one_line(got, 4, {"no thread could be started for rank 0 of 3"}));
}

// Kubernetes gives each pod of an Indexed Job its index as an annotation, and the first one the name JOB-0 in the
// subdomain that a headless service of that name makes.
TEST(LaunchRecipes, TheVariablesOfTheKubernetesJobMakeAWorld) {
  const std::vector<YAML::Node> all = YAML::LoadAllFromFile(EMER_SOURCE_DIR "/tools/launch/kubernetes.yaml");
  ASSERT_EQ(all.size(), 2u);
  const YAML::Node service = all[0], job = all[1], pod = job["spec"]["template"]["spec"];
  ASSERT_EQ(job["kind"].as<std::string>(), "Job");
  EXPECT_EQ(job["spec"]["completionMode"].as<std::string>(), "Indexed");
  EXPECT_EQ(service["spec"]["clusterIP"].as<std::string>(), "None");
  EXPECT_EQ(service["metadata"]["name"].as<std::string>(), pod["subdomain"].as<std::string>());
  EXPECT_EQ(service["spec"]["selector"]["job-name"].as<std::string>(),
            job["metadata"]["name"].as<std::string>());
  const int pods = job["spec"]["completions"].as<int>();
  EXPECT_EQ(job["spec"]["parallelism"].as<int>(), pods) << "all ranks at once";
  for (int index = 0; index < pods; ++index) {
    const LaunchEnvironment env =
        launch_environment([&](const std::string& name) -> std::optional<std::string> {
          for (const YAML::Node& variable : pod["containers"][0]["env"]) {
            if (variable["name"].as<std::string>() != name) continue;
            if (variable["value"]) return variable["value"].as<std::string>();
            EXPECT_EQ(variable["valueFrom"]["fieldRef"]["fieldPath"].as<std::string>(),
                      "metadata.annotations['batch.kubernetes.io/job-completion-index']");
            return std::to_string(index);
          }
          return {};
        });
    EXPECT_EQ(env.kind, LaunchEnvironment::Kind::kVariables);
    EXPECT_EQ(env.rank, index);
    EXPECT_EQ(env.ranks, pods);
    EXPECT_EQ(env.local_rank, 0);
    EXPECT_EQ(env.master_address,
              job["metadata"]["name"].as<std::string>() + "-0." + pod["subdomain"].as<std::string>());
    EXPECT_GT(env.master_port, 0);
  }
}

TEST(LaunchCommand, InfoSaysHowItWasStarted) {
  const auto launch_of = [](const std::string& variables) {
    const test::Finished got =
        test::run_program({"/usr/bin/env", "sh", "-c", variables + " '" EMER_BINARY "' info --json"});
    EXPECT_EQ(got.code, 0) << got.err;
    return nlohmann::json::parse(got.out)["launch"].get<std::string>();
  };
  EXPECT_EQ(launch_of(""), "alone");
  EXPECT_EQ(launch_of("OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=4"), "mpirun, rank 2 of 4");
  EXPECT_TRUE(test::contains(launch_of("RANK=5 WORLD_SIZE=4"), "RANK=5 of WORLD_SIZE=4"));
}

// run_children() with shells as ranks.
cli::ChildProgram shell(const std::string& text, bool quiet = false) {
  return {.arguments = {"/bin/sh", "-c", text}, .environment = {{"WORD", "spoken"}}, .quiet = quiet};
}

TEST(Launcher, TheExitCodeOfTheRun) {
  EXPECT_EQ(cli::run_children({shell("exit 0"), shell("test $WORD = spoken")}), 0);
  EXPECT_EQ(cli::run_children({shell("exit 5"), shell("exit 5")}), 5);
  EXPECT_EQ(cli::run_children({shell("exit 0"), shell("exit 3")}), 3);
  EXPECT_EQ(cli::run_children({shell("exit 137")}), 4);
  EXPECT_EQ(cli::run_children({shell("exit 0"), shell("kill -9 $$")}), 4);
}

TEST(Launcher, KeepsQuietWhatQuietRanksSayUnlessTheyAreKilled) {
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(cli::run_children({shell("echo 'emer: error: told' >&2; exit 2"), shell("echo no; exit 2", true),
                               shell("echo yes; kill -9 $$", true)}),
            2);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "emer: error: told\n[rank 2] yes\n");
}

TEST(Launcher, HearsOfEndsThatItsCallerIgnores) {
  struct sigaction ignore {
  }, before{};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(::sigaction(SIGCHLD, &ignore, &before), 0);
  EXPECT_EQ(cli::run_children({shell("exit 0"), shell("exit 3")}), 3);
  struct sigaction after {};
  ASSERT_EQ(::sigaction(SIGCHLD, &before, &after), 0);
  EXPECT_EQ(after.sa_handler, SIG_IGN);
}

TEST(Launcher, LeavesNoDescriptorOpenInItsPrograms) {
  EXPECT_EQ(cli::run_children({shell("for n in 3 4 5 6 7 8 9; do test \"$(readlink /proc/$$/fd/$n)\" != "
                                     "/dev/null || exit 2; done")}),
            0);
}

TEST(Launcher, SomebodySaysWhyARunHasEnded) {
  const auto said = [](const std::vector<cli::ChildProgram>& programs, int code) {
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(cli::run_children(programs), code);
    return ::testing::internal::GetCapturedStderr();
  };
  // In two pieces, as a pipe may deliver it.
  EXPECT_EQ(said({shell("printf 'emer: err' >&2; sleep 0.3; echo 'or: once' >&2; exit 4")}, 4),
            "emer: error: once\n");
  // Rank 0 is the one lost, and another tells.
  EXPECT_EQ(said({shell("kill -9 $$"), shell("echo 'emer: error: rank 0 died'; exit 4", true)}, 4),
            "emer: error: rank 0 died\n");
  EXPECT_TRUE(test::contains(said({shell("kill -9 $$")}, 4), "emer: error: sh was ended by signal 9"));
  EXPECT_TRUE(test::contains(said({shell("echo words >&2; exit 137")}, 4),
                             "words\nemer: error: sh ended with exit code 137"));
}

// SIGTERM to this process when so many programs have written a byte.
class Sender {
 public:
  Sender(const std::string& ready, std::size_t programs)
      : thread_([ready, programs] {
          while (test::read_text(ready).size() < programs)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          ::kill(::getpid(), SIGTERM);
        }) {}
  ~Sender() { thread_.join(); }

 private:
  std::thread thread_;
};

// For run_children(), not for the sender.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &stop, &before_);
  }
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

TEST(Launcher, PassesSignalsOn) {
  test::TemporaryFolder folder;
  const std::string ready = folder / "ready";
  const std::string text = "trap 'exit 5' USR1; echo >> " + ready + "; while true; do sleep 0.05; done";
  const BlockedSignals blocked;
  const Sender sender(ready, 2);
  EXPECT_EQ(cli::run_children({shell(text), shell(text)}), 5);
}

// mpirun loses a signal that comes before its ranks.
TEST(Launcher, AsksAgainWhatMissedASignal) {
  test::TemporaryFolder folder;
  const BlockedSignals blocked;
  const std::string ready = folder / "ready";
  const Sender sender(ready, 1);
  EXPECT_EQ(cli::run_children({shell("trap '' USR1; echo > " + ready +
                                     "; sleep 0.5; trap 'exit 5' USR1; while true; do sleep 0.05; done")}),
            5);
}

TEST(Launcher, ASignalBeforeAnybodyListensIsAStop) {
  test::TemporaryFolder folder;
  const BlockedSignals blocked;
  const std::string ready = folder / "ready";
  ::testing::internal::CaptureStderr();
  {
    const Sender sender(ready, 1);
    EXPECT_EQ(cli::run_children({shell("echo > " + ready + "; while true; do sleep 0.05; done")}), 5);
  }
  EXPECT_TRUE(
      test::contains(::testing::internal::GetCapturedStderr(), "emer: error: stopped by a signal before"));
}

}  // namespace
}  // namespace emer
