#include "engine/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "tests/engine/run_support.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_ = test::small_config(test::small_data(folder_), {"train.epochs=1"});
    train({.config = config_, .run_folder = run_});
  }
  ::testing::AssertionResult resume_refuses(std::initializer_list<std::string_view> parts) {
    Config longer = config_;
    longer.train.epochs = 2;
    return test::refuses_input(parts, [&] { train({.config = longer, .run_folder = run_, .resume = true}); });
  }
  test::TemporaryFolder folder_;
  std::string run_ = folder_ / "run";
  std::string checkpoints_ = run_ + "/checkpoints";
  std::string last_ = checkpoints_ + "/last";
  Config config_;
};

TEST_F(CheckpointTest, AnInterruptedReplacementLeavesACompleteOne) {
  EXPECT_EQ(find_complete(checkpoints_, "last"), last_);
  fs::copy(last_, last_ + ".new", fs::copy_options::recursive);
  EXPECT_EQ(find_complete(checkpoints_, "last"), last_);  // before the first rename
  fs::rename(last_, last_ + ".old");
  EXPECT_EQ(find_complete(checkpoints_, "last"), last_ + ".new");  // between the two
  fs::remove(last_ + ".new/state.json");
  EXPECT_EQ(find_complete(checkpoints_, "last"), last_ + ".old");  // the new one never became complete
  fs::remove_all(last_ + ".old");
  EXPECT_EQ(find_complete(checkpoints_, "last"), "");
}

TEST_F(CheckpointTest, ResumingAfterAnInterruptedReplacementKeepsGoing) {
  fs::rename(last_, last_ + ".old");
  fs::create_directories(last_ + ".new");
  Config longer = config_;
  longer.train.epochs = 2;
  EXPECT_EQ(train({.config = longer, .run_folder = run_, .resume = true}).step, 6);
  EXPECT_EQ(find_complete(checkpoints_, "last"), last_);
  EXPECT_FALSE(fs::exists(last_ + ".old"));
  EXPECT_FALSE(fs::exists(last_ + ".new"));
}

// Files may not grow beyond a few thousand bytes, which the weights of this model do.
TEST_F(CheckpointTest, AFailedSaveLeavesNothingHalfWritten) {
  Config wide = config_;
  wide.model.embedding_dim = 64;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{6000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto refused = test::refuses(ErrorKind::kRunFailed, {"cannot write", "model.safetensors"},
                                     [&] { train({.config = wide, .run_folder = folder_ / "full"}); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(refused);
  EXPECT_TRUE(fs::is_directory(folder_ / "full/checkpoints"));
  EXPECT_TRUE(fs::is_empty(folder_ / "full/checkpoints"));
}

TEST_F(CheckpointTest, EveryWrongTensorIsNamedAtOnce) {
  const SafetensorsFile file = SafetensorsFile::open(last_ + "/model.safetensors");
  SafetensorsWriter writer;
  for (const TensorInfo& info : file.tensors()) {
    const std::vector<float> values = file.read<float>(info.name);
    const std::vector<double> wide(values.begin(), values.end());
    if (info.name == "music_encoder.dense1.bias") continue;
    if (info.name == "emotion_encoder.mean.bias")
      writer.add(info.name, {1, 5}, std::span<const float>(values));
    else if (info.name == "cca.projection1")
      writer.add(info.name, info.shape, std::span<const double>(wide));
    else
      writer.add(info.name, info.shape, std::span<const float>(values));
  }
  writer.add("stray", {5}, std::span<const float>(std::vector<float>(5)));
  writer.write(last_ + "/model.safetensors");
  EXPECT_TRUE(resume_refuses({"model.safetensors", "4 tensors", "music_encoder.dense1.bias is missing",
                              "emotion_encoder.mean.bias is [1, 5], expected [5]",
                              "cca.projection1 is F64, expected F32", "stray is not of this model"}));
}

TEST_F(CheckpointTest, BrokenFilesAreNamed) {
  const std::string state = test::read_text(last_ + "/state.json");
  const std::string model = test::read_text(last_ + "/model.safetensors");
  test::write_text(last_ + "/state.json", "{\"format\": \"emer-checkpoint-1\"");
  EXPECT_TRUE(resume_refuses({"state.json"}));
  test::write_text(last_ + "/state.json", "{\"format\": \"emer-checkpoint-9\"}");
  EXPECT_TRUE(resume_refuses({"state.json", "emer-checkpoint-9"}));
  test::write_text(last_ + "/state.json", "{\"format\": \"emer-checkpoint-1\", \"epoch\": -4}");
  EXPECT_TRUE(resume_refuses({"state.json"}));
  test::write_text(last_ + "/state.json", state);
  test::write_text(last_ + "/model.safetensors", model.substr(0, model.size() / 2));
  EXPECT_TRUE(resume_refuses({"model.safetensors"}));
  test::write_text(last_ + "/model.safetensors", model);
  fs::remove(last_ + "/optimizer.safetensors");
  EXPECT_TRUE(resume_refuses({"optimizer.safetensors"}));
  fs::remove(last_ + "/standardisation.safetensors");
  EXPECT_TRUE(resume_refuses({"standardisation.safetensors", "music"}));
}

TEST_F(CheckpointTest, InitTakesWeightsOfAnotherRunAndSaysWhatIsMissing) {
  Config other = config_;
  other.train.seed = 5;
  const std::string weights = last_ + "/model.safetensors";
  EXPECT_EQ(train({.config = other, .run_folder = folder_ / "second", .init = weights}).step, 3);
  other.model.music.widths = {12, 10, 7};
  EXPECT_TRUE(test::refuses_input(
      {weights, "music_encoder.dense4.weight is missing", "music_encoder.dense3.weight is"},
      [&] { train({.config = other, .run_folder = folder_ / "third", .init = weights}); }));
  EXPECT_TRUE(test::refuses_input({"/no/such"}, [&] {
    train({.config = other, .run_folder = folder_ / "third", .init = "/no/such.safetensors"});
  }));
}

}  // namespace
}  // namespace emer
