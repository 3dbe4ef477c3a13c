// What ./run demo does, with the real binary and configs/demo.yaml, at a tiny size.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/engine/run_support.h"
#include "tests/support/golden.h"
#include "tests/support/process.h"

namespace emer {
namespace {

test::Finished emer_run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), EMER_BINARY);
  return test::run_program(arguments);
}

TEST(Demo, GoesFromSoundToRetrieval) {
  const test::TemporaryFolder folder;
  const std::string songs = folder / "songs.safetensors", run = folder / "run";
  const auto synth =
      emer_run({"synth", "--audio", folder / "audio", "--songs", "40", "--seconds", "3", "--out", songs});
  ASSERT_EQ(synth.code, 0) << synth.err;
  EXPECT_NE(synth.out.find("40 songs, patches [120, 96, 64], emotion [40, 6, 2]"), std::string::npos)
      << synth.out;
  EXPECT_TRUE(std::filesystem::exists(folder / "audio/40.wav"));

  const auto train =
      emer_run({"train", test::source_folder() + "/configs/demo.yaml", "--run", run, "--set",
                "data.path=" + songs, "train.epochs=2", "train.schedule.warmup_epochs=0",
                "train.batch_size=14", "train.random_patches=2", "model.vggish.channels=[2, 2, 2, 2, 2, 2]",
                "model.vggish.dense=[4, 4, 4]", "model.embedding_dim=4", "model.gru.hidden=4"});
  ASSERT_EQ(train.code, 0) << train.err;

  const auto search = emer_run({"search", run, "--emotion", "0.6,-0.5;0.2,0.0;-0.4,0.6", "--top", "3"});
  ASSERT_EQ(search.code, 0) << search.err;
  EXPECT_NE(search.out.find("synthetic piece"), std::string::npos) << search.out;

  const auto evaluate = emer_run({"evaluate", run, "--baselines"});
  ASSERT_EQ(evaluate.code, 0) << evaluate.err;
  for (const char* part : {"8 test songs ranked", "M2E", "E2M", "ridge", "CCA", "chance"})
    EXPECT_NE(evaluate.out.find(part), std::string::npos) << part << " in " << evaluate.out;
}

}  // namespace
}  // namespace emer
