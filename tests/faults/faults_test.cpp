// The real program on a machine that fails: killed at its changes of the run folder one after another, on a full disk,
// in folders that cannot be written or vanish, under a clock that jumps, stopped and continued. In the end the run must
// be the undisturbed one, bit for bit, and before that one clear line.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>

#include "core/file.h"
#include "engine/checkpoint.h"
#include "engine/checkpoint_files.h"
#include "tests/engine/launch_run.h"
#include "tests/engine/run_support.h"
#include "tests/support/process.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

class Faults : public ::testing::Test {
 protected:
  // 2 epochs of 3 steps, each validated and numbered: `last`, `best` and numbered checkpoints are written and replaced.
  static void SetUpTestSuite() {
    shared_ = std::make_unique<test::TemporaryFolder>();
    const Config config = test::small_config(
        test::small_data(*shared_), {"train.epochs=2", "train.checkpoint_every=1", "train.validate_every=1"});
    test::write_text(*shared_ / "small.yaml", dump(config));
    train({.config = config, .run_folder = *shared_ / "whole"});
  }
  static void TearDownTestSuite() { shared_.reset(); }

  std::vector<std::string> command(std::vector<std::string> more = {}) const {
    std::vector<std::string> words{EMER_BINARY, "train", *shared_ / "small.yaml", "--run", run_,
                                   "--resume",  "auto"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // The same with the library before it; settings as NAME=VALUE.
  test::Finished disturbed(std::vector<std::string> settings, std::vector<std::string> more = {}) const {
    settings.insert(settings.begin(),
                    {"/usr/bin/env", "LD_PRELOAD=" EMER_DISTURB, "GOMP_SPINCOUNT=1000",
                     "EMER_DISTURB_FOLDER=" + run_, "EMER_DISTURB_COUNT=" + (folder_ / "count")});
    for (const std::string& word : command(std::move(more))) settings.push_back(word);
    return test::run_program(settings);
  }
  // Changes of the folder, and looks at the clock, of the last undisturbed end.
  std::pair<long, long> counts() const {
    std::pair<long, long> got;
    std::ifstream(folder_ / "count") >> got.first >> got.second;
    return got;
  }
  void expect_whole_checkpoints(const std::string& where) const {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(run_ + "/checkpoints", none))
      if (is_complete_checkpoint(entry.path().string())) {
        EXPECT_NO_THROW(check_files(entry.path().string())) << where << ": " << entry.path();
      }
  }
  void expect_undisturbed_end(const std::string& where) const {
    for (const char* name : {"last", "best", "epoch-000001", "epoch-000002"}) {
      const std::string file = std::string("/checkpoints/") + name;
      ASSERT_NO_THROW(check_files(run_ + file)) << where;
      for (const char* part : {"/model.safetensors", "/optimizer.safetensors"})
        EXPECT_EQ(read_file(run_ + file + part), read_file(*shared_ / "whole" + file + part))
            << where << file;
    }
    EXPECT_EQ(test::repeatable_metrics(run_), test::repeatable_metrics(*shared_ / "whole")) << where;
  }
  void goes_on_to_the_end(const std::string& where) const {
    const test::Finished got = test::run_program(command());
    ASSERT_EQ(got.code, 0) << where << ": " << got.err;
    expect_undisturbed_end(where);
  }
  ::testing::AssertionResult fails(const test::Finished& got,
                                   std::initializer_list<std::string_view> parts) const {
    if (got.code != 1 || got.err_lines() != 1)
      return ::testing::AssertionFailure() << "exit code " << got.code << ": " << got.err;
    for (const std::string_view part : parts)
      if (const auto found = test::contains(got.err, part); !found) return found;
    return ::testing::AssertionSuccess();
  }

  inline static std::unique_ptr<test::TemporaryFolder> shared_;
  test::TemporaryFolder folder_;
  std::string run_ = folder_ / "run";
};

// Of all changes every 11th is one to be killed at; EMER_ALL_FAULTS=1 takes every one. A second kill, in the run that
// goes on, comes at a place that moves along.
TEST_F(Faults, KilledAtAnyChangeOfTheRunFolderNothingIsLost) {
  ASSERT_EQ(disturbed({}).code, 0);
  const long changes = counts().first;
  ASSERT_GT(changes, 100);
  expect_undisturbed_end("counted");
  const long stride = std::getenv("EMER_ALL_FAULTS") != nullptr ? 1 : 11;
  for (long at = 1; at <= changes; at += stride) {
    const std::string where = "killed at " + std::to_string(at);
    fs::remove_all(run_);
    ASSERT_EQ(disturbed({"EMER_DISTURB_KILL=" + std::to_string(at)}).code, -SIGKILL) << where;
    expect_whole_checkpoints(where);
    disturbed({"EMER_DISTURB_KILL=" + std::to_string(1 + (7 * at) % 60)});
    expect_whole_checkpoints(where + " and again");
    goes_on_to_the_end(where);
    if (HasFailure()) return;
  }
}

TEST_F(Faults, ADiskThatFillsUpAtAnyMomentEndsWithOneLineAndLosesNothing) {
  ASSERT_EQ(disturbed({}).code, 0);
  const long changes = counts().first;
  const long stride = std::getenv("EMER_ALL_FAULTS") != nullptr ? 1 : 17;
  for (long at = 2; at <= changes; at += stride) {
    const std::string where = "full from " + std::to_string(at);
    fs::remove_all(run_);
    const test::Finished got = disturbed({"EMER_DISTURB_FULL=" + std::to_string(at)});
    if (got.code != 0) {
      EXPECT_TRUE(fails(got, {"emer: error: cannot", run_})) << where;
    }
    expect_whole_checkpoints(where);
    for (const auto& entry : fs::recursive_directory_iterator(fs::exists(run_) ? run_ : folder_.path()))
      EXPECT_EQ(entry.path().filename().string().find(".tmp"), std::string::npos) << where << entry.path();
    goes_on_to_the_end(where);
    if (HasFailure()) return;
  }
}

// A disk of its own that really is full. The line that did not fit is written again by the run that goes on.
TEST_F(Faults, AFullDiskIsToldAndTheRunGoesOnWhenThereIsSpace) {
  fs::create_directories(run_);
  if (::mount("none", run_.c_str(), "tmpfs", 0, "size=176k") != 0)
    GTEST_SKIP() << "may not mount a small disk here: " << std::strerror(errno);
  const test::Finished got = test::run_program(command());
  EXPECT_TRUE(fails(got, {"cannot", "No space left on device"}));
  expect_whole_checkpoints("full disk");
  EXPECT_EQ(::mount("none", run_.c_str(), "tmpfs", MS_REMOUNT, "size=4m"), 0);
  goes_on_to_the_end("with more space");
  EXPECT_EQ(::umount(run_.c_str()), 0);
}

TEST_F(Faults, AReadOnlyDiskIsRefusedBeforeAnythingIsTrained) {
  fs::create_directories(run_);
  if (::mount("none", run_.c_str(), "tmpfs", MS_RDONLY, "size=64k") != 0)
    GTEST_SKIP() << "may not mount a disk here: " << std::strerror(errno);
  const test::Finished got = test::run_program(command());
  EXPECT_TRUE(fails(got, {run_, "Read-only file system"}));
  EXPECT_EQ(got.out.find(" step 1/"), std::string::npos) << got.out;
  EXPECT_EQ(::umount(run_.c_str()), 0);
}

TEST_F(Faults, AFolderThatIsRemovedUnderTheRunEndsItWithItsWeightsSaved) {
  const auto remove = [this, steps = 0]() mutable {
    if (++steps == 4) fs::rename(run_, folder_ / "gone");
    return false;
  };
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"metrics.jsonl", "removed", "saved"}, [&] {
    train({.config = load_config(*shared_ / "small.yaml"), .run_folder = run_, .should_stop = remove});
  }));
  expect_whole_checkpoints("after the removal");
  EXPECT_EQ(newest_whole(run_ + "/checkpoints").step, 6);
}

// Half lines, zeros and noise at the end of the metrics; half files elsewhere; foreign files everywhere.
TEST_F(Faults, WhatALossOfPowerLeavesInTheRunFolderIsMended) {
  for (const char* tail : {"{\"step\":5,\"ep", "\n\n", "garbage\n{\"step\":", "{\"step\":6}", "[1]\n{}\n"}) {
    for (const std::string& more : {std::string(), std::string(300, '\0')}) {
      fs::remove_all(run_);
      const auto stop = [left = 4]() mutable { return --left <= 0; };
      EXPECT_THROW(
          train({.config = load_config(*shared_ / "small.yaml"), .run_folder = run_, .should_stop = stop}),
          Error);
      std::ofstream(run_ + "/metrics.jsonl", std::ios::app) << tail << more;
      for (const char* name : {"config.yaml", "split.json", "environment.json"})
        test::write_text(run_ + "/" + name, std::string(10, '\0'));
      test::write_text(run_ + "/.emer-999999999-1.tmp", "half");
      test::write_text(run_ + "/checkpoints/note.txt", "a file among folders");
      fs::create_directories(run_ + "/checkpoints/last.new");
      test::write_text(run_ + "/checkpoints/last.new/optimizer.safetensors", std::string(100, '\0'));
      fs::create_directories(run_ + "/checkpoints/best.old");
      goes_on_to_the_end(tail);
      EXPECT_FALSE(fs::exists(run_ + "/.emer-999999999-1.tmp"));
      EXPECT_FALSE(fs::exists(run_ + "/checkpoints/last.new"));
      EXPECT_NO_THROW(load_config(run_ + "/config.yaml"));
      if (HasFailure()) return;
    }
  }
}

TEST_F(Faults, AClockThatJumpsByMonthsChangesNothing) {
  const test::Finished got = disturbed({"EMER_DISTURB_CLOCK=1"}, {"--time-limit", "10m"});
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_GT(counts().second, 10);  // the jumps were seen
  expect_undisturbed_end("jumping clock");
}

// Neither what ranks wait for each other nor the watch over them goes by the wall clock.
TEST_F(Faults, AClockThatJumpsByMonthsEndsNoRunOfSeveralRanks) {
  if (const std::string reason = test::no_mpi_reason(); !reason.empty()) GTEST_SKIP() << reason;
  const test::Finished got =
      test::run_program({"/usr/bin/env", "LD_PRELOAD=" EMER_DISTURB, "GOMP_SPINCOUNT=1000",
                         "EMER_DISTURB_CLOCK=1", EMER_BINARY, "launch", "-n", "2", "--comm", "mpi", "train",
                         *shared_ / "small.yaml", "--run", run_, "--set", "distributed.timeout=20"});
  ASSERT_EQ(got.code, 0) << got.err;
  expect_whole_checkpoints("jumping clock of ranks");
  EXPECT_EQ(load_state(run_ + "/checkpoints/last").step,
            load_state(*shared_ / "whole/checkpoints/last").step);
}

TEST_F(Faults, StoppedAndContinuedTheRunIsTheSame) {
  test::Process process(command());
  for (int k = 0; k < 15; ++k) {
    process.send(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    expect_whole_checkpoints("stopped");
    process.send(SIGCONT);
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  const test::Finished got = process.wait();
  EXPECT_EQ(got.code, 0) << got.err;
  expect_undisturbed_end("stopped and continued");
}

}  // namespace
}  // namespace emer
