// Which checkpoint a run that is started again goes on from, and that no damage to one passes unnoticed.
#include "engine/resume.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <thread>

#include "core/file.h"
#include "engine/checkpoint.h"
#include "engine/checkpoint_files.h"
#include "engine/duration.h"
#include "engine/run_lock.h"
#include "engine/session.h"
#include "tests/engine/run_support.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

// 6 epochs of 3 steps, validated and numbered every second epoch.
class Resume : public ::testing::Test {
 protected:
  // Trained once for all tests: `whole` to the end, `stopped` for 10 steps.
  static void SetUpTestSuite() {
    shared_ = std::make_unique<test::TemporaryFolder>();
    const Config config = config_of(test::small_data(*shared_));
    train({.config = config, .run_folder = *shared_ / "whole"});
    const auto stop = [left = 10]() mutable { return --left <= 0; };
    EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"a signal after step 10"}, [&] {
      train({.config = config,
             .run_folder = *shared_ / "stopped",
             .resume_or_start = true,
             .should_stop = stop});
    }));
  }
  static void TearDownTestSuite() { shared_.reset(); }
  static Config config_of(const std::string& data) {
    return test::small_config(data, {"train.checkpoint_every=2", "train.validate_every=2", "train.ema=0.9"});
  }
  void SetUp() override { fs::copy(*shared_ / "stopped", run_, fs::copy_options::recursive); }

  ResumeChoice choice() const {
    return choose_checkpoint({.config = config_, .run_folder = run_, .resume_or_start = true});
  }
  ::testing::AssertionResult refused(std::initializer_list<std::string_view> parts) const {
    return test::refuses_input(
        parts, [&] { train({.config = config_, .run_folder = run_, .resume_or_start = true}); });
  }
  // Goes on to the end, and ends where the run that was left alone did.
  void expect_same_end() const {
    train({.config = config_, .run_folder = run_, .resume_or_start = true});
    for (const char* name : {"model", "optimizer", "ema"}) {
      const std::string file = std::string("/checkpoints/last/") + name + ".safetensors";
      EXPECT_TRUE(read_file(run_ + file) == read_file(whole_ + file)) << name;
    }
    EXPECT_EQ(test::repeatable_metrics(run_), test::repeatable_metrics(whole_));
    for (const char* name : {"last", "best", "epoch-000002", "epoch-000004", "epoch-000006"}) {
      const std::string path = run_ + "/checkpoints/" + name;
      EXPECT_NO_THROW(check_files(path)) << name;
      EXPECT_EQ(load_state(path).step, load_state(whole_ + "/checkpoints/" + name).step) << name;
      EXPECT_FALSE(fs::exists(path + ".new")) << name;
      EXPECT_FALSE(fs::exists(path + ".old")) << name;
    }
  }
  void damage(const std::string& checkpoint, const std::string& file = "model.safetensors") const {
    const std::string path = run_ + "/checkpoints/" + checkpoint + "/" + file;
    std::string bytes = read_file(path);
    bytes[bytes.size() - 5] = static_cast<char>(bytes[bytes.size() - 5] ^ 1);
    write_file_atomically(path, bytes);
  }
  inline static std::unique_ptr<test::TemporaryFolder> shared_;
  test::TemporaryFolder folder_;
  std::string whole_ = *shared_ / "whole", run_ = folder_ / "run";
  Config config_ = config_of(*shared_ / "songs.safetensors");
};

TEST_F(Resume, AutoStartsGoesOnAndEndsLikeAnUndisturbedRun) {
  EXPECT_EQ(choice().checkpoint, run_ + "/checkpoints/last");
  expect_same_end();
  // Nothing is left to do, and doing nothing changes nothing.
  const std::string state = read_file(run_ + "/checkpoints/last/state.json");
  EXPECT_EQ(train({.config = config_, .run_folder = run_, .resume_or_start = true}).step, 18);
  EXPECT_EQ(read_file(run_ + "/checkpoints/last/state.json"), state);
}

TEST_F(Resume, AutoPassesOverDamageAndSaysSo) {
  damage("last");
  const ResumeChoice got = choice();
  EXPECT_EQ(got.checkpoint, run_ + "/checkpoints/best");  // of epoch 2, as epoch-000002
  ASSERT_EQ(got.notes.size(), 2u);
  EXPECT_TRUE(test::contains(got.notes[0], "checkpoints/last/model.safetensors"));
  EXPECT_TRUE(test::contains(got.notes[0], "damaged"));
  EXPECT_TRUE(test::contains(got.notes[1], "step 6"));
  expect_same_end();
}

TEST_F(Resume, AutoTakesTheBestWhereItIsTheNewestAndStillWritesTheNumberedOneAfterIt) {
  fs::remove_all(run_ + "/checkpoints/last");
  fs::rename(run_ + "/checkpoints/epoch-000002", run_ + "/checkpoints/epoch-000002.new");
  fs::remove(run_ + "/checkpoints/epoch-000002.new/state.json");  // as a kill between the two saves leaves it
  EXPECT_EQ(choice().checkpoint, run_ + "/checkpoints/best");
  expect_same_end();
}

TEST_F(Resume, AutoGivesWhatAnInterruptedReplacementLeftItsName) {
  const std::string last = run_ + "/checkpoints/last";
  fs::copy(last, last + ".old", fs::copy_options::recursive);
  damage("last");
  EXPECT_EQ(choice().checkpoint, last);
  EXPECT_NO_THROW(check_files(last));
  EXPECT_FALSE(fs::exists(last + ".old"));
  fs::rename(last, last + ".new");
  EXPECT_EQ(choice().checkpoint, last);
  expect_same_end();
}

TEST_F(Resume, AutoClearsLeftoversAndKeepsTheNewerOfTwo) {
  const std::string best = run_ + "/checkpoints/best", numbered = run_ + "/checkpoints/epoch-000002";
  fs::copy(best, best + ".old", fs::copy_options::recursive);
  fs::rename(numbered, numbered + ".new");
  fs::copy(best, numbered + ".old", fs::copy_options::recursive);
  fs::create_directories(run_ + "/checkpoints/epoch-000004.new");
  EXPECT_EQ(choice().checkpoint, run_ + "/checkpoints/last");
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(run_ + "/checkpoints"))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"best", "epoch-000002", "last"}));
  expect_same_end();
}

TEST_F(Resume, AutoStartsAnewFromLeftoversOfAFirstSaveOnly) {
  fs::remove_all(run_);
  fs::create_directories(run_ + "/checkpoints/last.new");
  test::write_text(run_ + "/checkpoints/last.new/model.safetensors", "half");
  EXPECT_EQ(choice().checkpoint, "");
  expect_same_end();
}

TEST_F(Resume, AutoDoesNotTrainAnewOverARunWhoseEveryCheckpointIsDamaged) {
  for (const char* name : {"last", "best", "epoch-000002"}) damage(name);
  EXPECT_TRUE(refused({"no checkpoint", "last/model.safetensors", "best/model.safetensors",
                       "epoch-000002/model.safetensors", "--run"}));
}

TEST_F(Resume, AutoKeepsTheRulesOfResume) {
  config_.train.seed += 1;
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"train.seed"}, [&] { static_cast<void>(choice()); }));
  config_.train.seed -= 1;
  // A job that is started again has the same command line: what it starts from counts only once.
  const std::string weights = whole_ + "/checkpoints/last/model.safetensors";
  EXPECT_EQ(train({.config = config_, .run_folder = run_, .resume_or_start = true, .init = weights}).step,
            18);
  EXPECT_TRUE(read_file(run_ + "/checkpoints/last/model.safetensors") == read_file(weights));
}

// Every file of a checkpoint: cut at every quarter, without its last byte, longer, of zeros, a bit turned, gone.
TEST_F(Resume, NoDamageToAnyFilePassesUnnoticed) {
  const std::string last = run_ + "/checkpoints/last";
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(last)) names.push_back(entry.path().filename().string());
  ASSERT_EQ(names.size(), 7u);  // state, model, optimizer, ema, standardisation, config, split
  for (const std::string& name : names) {
    const std::string path = last + "/" + name, good = read_file(path);
    std::vector<std::string> bad{good + '\0', std::string(good.size(), '\0')};
    for (std::size_t quarter = 0; quarter < 4; ++quarter)
      bad.push_back(good.substr(0, good.size() * quarter / 4));
    bad.push_back(good.substr(0, good.size() - 2));
    for (std::size_t at = 0; at < good.size(); at += 1 + good.size() / 40) {
      bad.push_back(good);
      bad.back()[at] = static_cast<char>(bad.back()[at] ^ 4);
    }
    for (const std::string& bytes : bad) {
      test::write_text(path, bytes);
      bool noticed = false;
      try {
        static_cast<void>(load_state(last));
        check_files(last);
      } catch (const Error& error) {
        noticed = true;
        EXPECT_TRUE(test::contains(error.what(), name));
        EXPECT_EQ(error.kind(), ErrorKind::kInput);
      }
      // Of state.json the content counts, not the bytes between.
      if (!noticed && name == "state.json")
        EXPECT_EQ(nlohmann::json::parse(bytes), nlohmann::json::parse(good));
      else
        EXPECT_TRUE(noticed) << name << ": " << bytes.size() << " bytes of " << good.size();
    }
    fs::remove(path);
    EXPECT_NE(choice().checkpoint, last) << name;
    test::write_text(path, good);
  }
  EXPECT_EQ(choice().checkpoint, last);
}

TEST_F(Resume, ExplicitResumeAndEvaluationRefuseDamagedWeights) {
  damage("last");
  damage("best", "ema.safetensors");
  EXPECT_TRUE(test::refuses_input({"last/model.safetensors", "damaged"},
                                  [&] { train({.config = config_, .run_folder = run_, .resume = true}); }));
  EXPECT_TRUE(test::refuses_input({"best/ema.safetensors", "damaged"}, [&] { open_session(run_); }));
}

TEST_F(Resume, CheckpointsOfVersionsWithoutChecksumsAreReadToTheEnd) {
  const std::string last = run_ + "/checkpoints/last";
  nlohmann::json state = nlohmann::json::parse(read_file(last + "/state.json"));
  state.erase("files");
  state.erase("crc32c");
  test::write_text(last + "/state.json", state.dump(2));
  EXPECT_EQ(choice().checkpoint, last);
  const std::string model = read_file(last + "/model.safetensors");
  test::write_text(last + "/model.safetensors", model.substr(0, model.size() - 1));
  EXPECT_EQ(choice().checkpoint, run_ + "/checkpoints/best");
  test::write_text(last + "/model.safetensors", model);
  expect_same_end();
}

TEST_F(Resume, ATimeLimitSavesAndEndsLikeASignal) {
  const auto past = std::chrono::steady_clock::now() - std::chrono::hours(1);
  EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"time limit", "after step 11", "--resume"}, [&] {
    train({.config = config_, .run_folder = run_, .resume_or_start = true, .stop_before = past});
  }));
  EXPECT_EQ(load_state(run_ + "/checkpoints/last").step, 11);
  const auto far = std::chrono::steady_clock::now() + std::chrono::hours(1);
  EXPECT_EQ(train({.config = config_, .run_folder = run_, .resume_or_start = true, .stop_before = far}).step,
            18);
  expect_same_end();
}

TEST_F(Resume, OneRunAtATimeWritesIntoAFolder) {
  using std::chrono::milliseconds;
  auto held = std::make_unique<RunLock>(run_, milliseconds(0));
  Config impatient = config_;
  impatient.distributed.timeout = 0.1;
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {run_, "another run"}, [&] {
    train({.config = impatient, .run_folder = run_, .resume_or_start = true});
  }));
  // A run that is just ending.
  std::thread ending([&held] {
    std::this_thread::sleep_for(milliseconds(200));
    held.reset();
  });
  expect_same_end();
  ending.join();
  const RunLock none(run_ + "/missing", milliseconds(0));  // nothing to lock, and not its business to say so
}

TEST(Duration, WhatPeopleWrite) {
  const auto seconds = [](std::string_view text) { return parse_duration(text, "limit").count(); };
  EXPECT_EQ(seconds("3h50m"), 3 * 3600 + 50 * 60);
  EXPECT_EQ(seconds("90m"), 5400);
  EXPECT_EQ(seconds("1d12h"), 36 * 3600);
  EXPECT_EQ(seconds("1d1h1m1s"), 86400 + 3600 + 60 + 1);
  EXPECT_EQ(seconds("45s"), 45);
  EXPECT_EQ(seconds("10000d"), 864000000);
  for (const char* bad : {"", "0s", "90", "h", "-3h", "3h-5m", "1.5h", "3h50", "50m3h", "3h3h", "3 h", "3H",
                          "10001d", "99999999999999999999s", "9223372036854775807s", "+3h", "3h\n"})
    EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"limit", "3h50m"}, [&] { seconds(bad); })) << bad;
}

}  // namespace
}  // namespace emer
