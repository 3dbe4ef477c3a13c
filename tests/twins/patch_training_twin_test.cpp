// Training from patches on a CUDA device: the CPU's trajectory, recorded or not.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "engine/session.h"
#include "engine/trainer.h"
#include "engine/validation.h"
#include "tests/engine/run_support.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"

namespace emer {
namespace {

using PatchTrainingTwin = test::TwinTest;

// Six songs of one or two patches.
std::string few_patches(const test::TemporaryFolder& folder) {
  Dataset songs = test::small_patches(), few = songs;
  few.song_id.resize(6);
  few.emotion_length.resize(6);
  few.emotion.resize(6 * static_cast<std::size_t>(few.emotion_steps) * 2);
  few.titles.clear();
  few.artists.clear();
  few.patch_offset = {0};
  few.patches.clear();
  for (std::size_t i = 0; i < 6; ++i) {
    const auto first = songs.patches.begin() + songs.patch_offset[i] * Dataset::kPatchValues;
    const std::int64_t there = std::min<std::int64_t>(2, songs.patch_offset[i + 1] - songs.patch_offset[i]);
    few.patches.insert(few.patches.end(), first, first + there * Dataset::kPatchValues);
    few.patch_offset.push_back(few.patch_offset.back() + there);
  }
  const std::string path = folder / "few.safetensors";
  save_dataset(few, path);
  return path;
}

TEST_F(PatchTrainingTwin, FollowsTheCpuRecordedOrNot) {
  const test::UncheckedAccesses unchecked;
  for (const char* kind : {"vggish_mlp", "vggish_bigru"}) {
    const test::TemporaryFolder folder;
    const std::string data = few_patches(folder);
    const auto run = [&](const std::string& name, std::vector<std::string> more) {
      std::vector<std::string> settings = test::small_vggish(
          kind, {"model.vggish={channels: [1, 2, 1, 2, 1, 2], piece: 2}", "train.epochs=1",
                 "train.batch_size=4", "train.random_patches=1", "train.ema=0.9",
                 "data.split={train: 1.0, validation: 0}", "model.vggish.learning_rate_scale=0.5"});
      settings.insert(settings.end(), more.begin(), more.end());
      train({.config = test::small_config(data, settings), .run_folder = folder / name});
      return test::repeatable_metrics(folder / name);
    };
    const auto cpu = run("cpu", {}), recorded = run("recorded", {"device=cuda"}),
               eager = run("eager", {"device=cuda", "train.cuda_graph=false"});
    EXPECT_EQ(eager, recorded);
    EXPECT_EQ(test::tensor_values(folder / "eager/checkpoints/last/model.safetensors"),
              test::tensor_values(folder / "recorded/checkpoints/last/model.safetensors"));
    ASSERT_EQ(recorded.size(), cpu.size());
    ASSERT_EQ(cpu.size(), 2u);
    // Float sums of up to 6144 terms of either sign differ by about 1e-6 of what they are made of, in every layer; two
    // steps.
    for (std::size_t i = 0; i < cpu.size(); ++i)
      for (const char* part : {"loss", "loss_cca", "loss_kl"})
        EXPECT_TRUE(test::near_relative(recorded[i][part].get<double>(), cpu[i][part].get<double>(), 1e-5))
            << kind << ", " << part << " of step " << i + 1;

    // Encoding and ranking whole songs with what was trained.
    std::vector<EvaluationResult> results;
    for (const char* device : {"cpu", "cuda"}) {
      Session session = open_session(folder / "recorded", {std::string("device=") + device});
      results.push_back(evaluate_songs(*session.context, *session.model, session.data, session.data.train,
                                       session.config, session.config.eval));
    }
    EXPECT_EQ(results[0].m2e.ranks, results[1].m2e.ranks);
  }
}

TEST_F(PatchTrainingTwin, TunesItsKernelsFirst) {
  const test::UncheckedAccesses unchecked;
  const test::TemporaryFolder folder;
  setenv("EMER_CACHE", folder.path().c_str(), 1);
  const std::string data = few_patches(folder);
  const auto run = [&](const std::string& name, const std::string& kernel) {
    const auto settings = test::small_vggish(
        "vggish_mlp",
        {"model.vggish={channels: [1, 2, 1, 2, 1, 2], piece: 2, kernel: " + kernel + "}", "device=cuda",
         "train.batch_size=6", "data.split={train: 1.0, validation: 0}", "train.epochs=1"});
    train({.config = test::small_config(data, settings), .run_folder = folder / name});
    return test::repeatable_metrics(folder / name).front()["loss"].get<double>();
  };
  EXPECT_FALSE(std::filesystem::exists(folder / "conv_kernels.json"));
  // Whichever kernels won, their float products differ by roundings of sums of 18 terms.
  EXPECT_TRUE(test::near_relative(run("tuned", "tune"), run("plain", "plain"), 1e-5));
  EXPECT_TRUE(std::filesystem::exists(folder / "conv_kernels.json"));
  unsetenv("EMER_CACHE");
}

TEST_F(PatchTrainingTwin, AFrozenConvEncoderStaysAsItStarted) {
  const test::UncheckedAccesses unchecked;
  const test::TemporaryFolder folder;
  const std::string data = few_patches(folder);
  const auto run = [&](const std::string& name, const std::string& epochs) {
    const auto settings = test::small_vggish(
        "vggish_mlp",
        {"model.vggish={channels: [1, 1, 1, 1, 1, 1], trainable: false}", "device=cuda", "train.batch_size=6",
         "data.split={train: 1.0, validation: 0}", "train.epochs=" + epochs});
    train({.config = test::small_config(data, settings), .run_folder = folder / name});
    return test::tensor_values(folder / name + "/checkpoints/last/model.safetensors");
  };
  const nlohmann::json one = run("one", "1"), two = run("two", "2");
  EXPECT_EQ(one["vggish.conv2.weight"], two["vggish.conv2.weight"]);
  EXPECT_EQ(one["vggish.fc3.weight"], two["vggish.fc3.weight"]);
  EXPECT_NE(one["music_encoder.dense1.weight"], two["music_encoder.dense1.weight"]);
}

}  // namespace
}  // namespace emer
