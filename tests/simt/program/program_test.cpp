// The command line with a CUDA device under it, and with one that is missing, too small, or lost on the way: one clear
// line, exit code 4, and a last checkpoint to go on from.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

// One environment variable for as long as it lives.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Environment() { ::unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

class DeviceProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto made = run({"synth", "--songs", "30", "--out", folder_ / "songs.safetensors"});
    ASSERT_EQ(made.code, 0) << made.err;
    folder_.write("small.yaml", "data: {path: '" + (folder_ / "songs.safetensors") +
                                    "', emotion_stride: 6, split: {train: 0.7, validation: 0.0}}\n"
                                    "model:\n"
                                    "  music: {widths: [8]}\n"
                                    "  emotion: {widths: [8]}\n"
                                    "  gru: {hidden: 4}\n"
                                    "  embedding_dim: 4\n"
                                    "train: {epochs: 12, batch_size: 7, learning_rate: 0.003}\n"
                                    "threads: 1\n");
  }
  static test::Finished run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), EMER_PROGRAM);
    return test::run_program(arguments);
  }
  test::Finished train(const std::string& name, const std::string& device,
                       std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"train", folder_ / "small.yaml", "--run", folder_ / name,
                                       "--set", "device=" + device};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  static ::testing::AssertionResult says(const test::Finished& got, int code,
                                         const std::vector<std::string>& parts) {
    if (got.code != code) return ::testing::AssertionFailure() << "exit code " << got.code << ": " << got.err;
    if (got.err_lines() != 1) return ::testing::AssertionFailure() << "not one line: " << got.err;
    for (const std::string& part : parts)
      if (got.err.find(part) == std::string::npos)
        return ::testing::AssertionFailure() << "'" << part << "' is missing in: " << got.err;
    return ::testing::AssertionSuccess();
  }
  test::TemporaryFolder folder_;
};

TEST_F(DeviceProgram, TrainsAndEvaluatesOnTheDeviceAndSaysWhich) {
  const test::Finished got = train("run", "auto");
  ASSERT_EQ(got.code, 0) << got.err;
  EXPECT_NE(got.out.find("device cuda: SIMT harness"), std::string::npos) << got.out;
  const test::Finished evaluated = run({"evaluate", folder_ / "run"});
  EXPECT_EQ(evaluated.code, 0) << evaluated.err;
}

TEST_F(DeviceProgram, WithoutADeviceCudaIsFourAndAutoIsTheCpuWithAReason) {
  for (const char* variable : {"EMER_SIMT_DEVICES", "EMER_SIMT_NO_DRIVER"}) {
    const Environment environment(variable, variable == std::string("EMER_SIMT_DEVICES") ? "0" : "1");
    EXPECT_TRUE(says(train("none", "cuda"), 4, {"device: cuda was asked for", "use device: cpu"}))
        << variable;
    EXPECT_FALSE(fs::exists(folder_ / "none/checkpoints"));
    const test::Finished automatic = train(std::string("cpu") + variable, "auto");
    EXPECT_EQ(automatic.code, 0) << automatic.err;
    EXPECT_NE(automatic.out.find("device cpu: CUDA is built in, but no usable device"), std::string::npos)
        << automatic.out;
  }
}

TEST_F(DeviceProgram, SaysWhetherThereIsCudnn) {
  EXPECT_NE(run({"info"}).out.find("cudnn          9.0.0\n"), std::string::npos);
  const Environment missing("EMER_SIMT_NO_CUDNN", "1");
  EXPECT_NE(run({"info"}).out.find("cudnn          libcudnn.so.9 is not installed\n"), std::string::npos);
}

TEST_F(DeviceProgram, RanksMayShareTheDevice) {
  const test::Finished one = train("one", "cuda"),
                       two = train("two", "cuda", {"--comm", "threads", "--ranks", "2"});
  ASSERT_EQ(two.code, 0) << two.err;
  EXPECT_NE(two.out.find("2 ranks (threads)"), std::string::npos) << two.out;
  EXPECT_NE(two.out.find("steps are not recorded in CUDA graphs: ranks exchange arrays through host memory"),
            std::string::npos)
      << two.out;
  // The last step's losses, which are printed to six digits; sums of two ranks differ by float's rounding.
  const auto loss = [](const test::Finished& got) {
    const std::size_t at = got.out.rfind(" loss ");
    return at == std::string::npos ? 0.0 : std::stod(got.out.substr(at + 6));
  };
  ASSERT_GT(loss(one), 0.0);
  EXPECT_NEAR(loss(two), loss(one), 1e-3 * loss(one));
}

TEST_F(DeviceProgram, ADeviceLostUnderSeveralRanksIsOneLine) {
  const Environment environment("EMER_SIMT_FAIL_LAUNCH", "400");
  EXPECT_TRUE(says(train("lost", "cuda", {"--comm", "threads", "--ranks", "2"}), 4,
                   {"rank", "of 2", "illegal memory access"}));
}

TEST_F(DeviceProgram, SaysWhetherThereIsNccl) {
  EXPECT_NE(run({"info"}).out.find("nccl           2.28.9\n"), std::string::npos);
  const Environment missing("EMER_SIMT_NO_NCCL", "1");
  EXPECT_NE(run({"info"}).out.find("nccl           libnccl.so.2 is not installed\n"), std::string::npos);
}

TEST_F(DeviceProgram, TooLittleMemoryIsFour) {
  // The libraries' workspace alone takes 32 MiB; the model fits in the first case, its batch does not.
  for (const char* bytes : {"1000000", "33600000"}) {
    const Environment environment("EMER_SIMT_MEMORY", bytes);
    EXPECT_TRUE(says(train(bytes, "cuda"), 4, {"out of GPU memory", "use a smaller batch or model"}));
  }
}

TEST_F(DeviceProgram, ALostDeviceLeavesACheckpointToGoOnFrom) {
  const test::Finished whole = train("whole", "cuda");
  ASSERT_EQ(whole.code, 0) << whole.err;
  bool resumed = false;
  for (const char* launch : {"1", "200", "1500"}) {
    const std::string name = std::string("lost") + launch;
    {
      const Environment environment("EMER_SIMT_FAIL_LAUNCH", launch);
      EXPECT_TRUE(says(train(name, "cuda"), 4, {"illegal memory access"})) << launch;
    }
    const bool kept = fs::exists(folder_ / name + "/checkpoints/last/state.json");
    const test::Finished again = kept ? train(name, "cuda", {"--resume"}) : train(name, "cuda");
    EXPECT_EQ(again.code, 0) << again.err;
    resumed |= kept;
    const auto weights = [&](const std::string& run) {
      std::ifstream file(folder_ / run + "/checkpoints/last/model.safetensors", std::ios::binary);
      return std::string{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    };
    EXPECT_TRUE(weights(name) == weights("whole")) << launch;
  }
  EXPECT_TRUE(resumed) << "no loss came late enough to leave a checkpoint";
}

}  // namespace
}  // namespace emer
