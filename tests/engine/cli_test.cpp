// The real binary: exit codes, one line of error, files and standard output as the interchange document has
// them.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "tests/engine/run_support.h"
#include "tests/support/compare.h"
#include "tests/support/process.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

test::Finished emer_run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), EMER_BINARY);
  return test::run_program(arguments);
}

// One line that starts as promised and contains the parts.
::testing::AssertionResult fails(int code, const std::vector<std::string>& arguments,
                                 std::initializer_list<std::string_view> parts) {
  const test::Finished got = emer_run(arguments);
  if (got.code != code) return ::testing::AssertionFailure() << "exit code " << got.code << ": " << got.err;
  if (got.err_lines() != 1 || got.err.rfind("emer: error: ", 0) != 0)
    return ::testing::AssertionFailure() << "not one line: " << got.err;
  for (const std::string_view part : parts)
    if (got.err.find(part) == std::string::npos)
      return ::testing::AssertionFailure() << "'" << part << "' is not in: " << got.err;
  return ::testing::AssertionSuccess();
}

class Cli : public ::testing::Test {
 protected:
  std::string config(const std::string& name, const std::string& text) const {
    test::write_text(folder_ / name, text);
    return folder_ / name;
  }
  std::string small() const {
    return config("small.yaml", dump(test::small_config(test::small_data(folder_))));
  }
  test::TemporaryFolder folder_;
};

TEST_F(Cli, WrongUsageIsTwo) {
  EXPECT_TRUE(fails(2, {}, {"subcommand"}));
  EXPECT_TRUE(fails(2, {"tran"}, {"'tran'", " train ", "--help"}));
  EXPECT_TRUE(fails(2, {"train"}, {"CONFIG", "see emer train --help"}));
  EXPECT_TRUE(fails(2, {"convert", "vggish"}, {"--in", "see emer convert vggish --help"}));
  EXPECT_TRUE(fails(2, {"train", small(), "--bogus"}, {"--bogus"}));
  EXPECT_TRUE(fails(2, {"train", small(), "--resume"}, {"--run"}));
  EXPECT_TRUE(fails(2, {"train", "--resume", "auto", small()}, {"--run"}));
  EXPECT_TRUE(fails(2, {"train", small(), "--run", folder_ / "r", "--resume=first"}, {"first", "auto"}));
  EXPECT_TRUE(fails(2, {"train", "--resume", small(), "--run", folder_ / "r"}, {"holds no checkpoint"}));
  EXPECT_TRUE(fails(2, {"train", small(), "--run", folder_ / "r", "--time-limit", "90"},
                    {"--time-limit", "'90'", "90m"}));
  EXPECT_TRUE(
      fails(2, {"train", small(), "--run", folder_ / "r", "--set", "train.epoch=1"}, {"train.epochs"}));
  EXPECT_TRUE(
      fails(2, {"train", small(), "--run", folder_ / "r", "--set", "train.precision=fp16"}, {"bf16"}));
  EXPECT_TRUE(fails(2, {"train", config("bad.yaml", "loss:\n  lamda: 1\n"), "--run", folder_ / "r"},
                    {"bad.yaml:2:3", "loss.lambda"}));
  EXPECT_TRUE(
      fails(2, {"train", config("odd.yaml", "\"a\\nb\": 1\n"), "--run", folder_ / "r"}, {"odd.yaml:1:1"}));
  EXPECT_TRUE(fails(2, {"info", "--json", "--config-reference"}, {"--json"}));
  const std::string songs = folder_ / "s.safetensors", audio = folder_ / "audio";
  EXPECT_TRUE(fails(2, {"synth", "--out", songs, "--seed", "-1"}, {"--seed", "-1"}));
  EXPECT_TRUE(fails(2, {"synth", "--out", songs, "--seconds", "5"}, {"--seconds", "--audio"}));
  EXPECT_TRUE(fails(2, {"synth", "--out", songs, "--audio", audio, "--width", "5"}, {"--audio", "--width"}));
  EXPECT_TRUE(fails(2, {"synth", "--out", songs, "--audio", audio, "--seconds", "0.9"}, {"0.9 seconds"}));
}

TEST_F(Cli, SetMayStandAnywhereAndTakesSeveral) {
  const std::string run = folder_ / "run";
  ASSERT_EQ(emer_run({"train", "--set", "train.epochs=1", "train.seed=7", small(), "--run", run}).code, 0);
  const std::string config = test::read_text(run + "/config.yaml");
  EXPECT_NE(config.find("epochs: 1\n"), std::string::npos);
  EXPECT_NE(config.find("seed: 7\n"), std::string::npos);
  EXPECT_EQ(emer_run({"evaluate", "--set", "eval.lambda=0", "eval.bootstrap=5", run}).code, 0);
  EXPECT_EQ(emer_run({"evaluate", run, "--set", "eval.lambda=0", "eval.bootstrap=5"}).code, 0);
  EXPECT_TRUE(fails(2, {"evaluate", run, "--set", "eval.lamda=0"}, {"eval.lambda"}));
  EXPECT_TRUE(fails(2, {"evaluate", run, "--set"}, {"--set"}));
}

TEST_F(Cli, LostStandardOutputIsAFailure) {
  test::write_text(folder_ / "full.sh", std::string("exec '") + EMER_BINARY + "' info >/dev/full\n");
  const test::Finished got = test::run_program({"/bin/sh", folder_ / "full.sh"});
  EXPECT_EQ(got.code, 1);
  EXPECT_EQ(got.err.rfind("emer: error: cannot write to standard output: ", 0), 0u) << got.err;
}

TEST_F(Cli, UnreadableInputIsThree) {
  EXPECT_TRUE(fails(3, {"train", "/no/such.yaml"}, {"/no/such.yaml"}));
  EXPECT_TRUE(fails(3, {"train", small(), "--run", folder_ / "r", "--set", "data.path=/no/such.safetensors"},
                    {"/no/such.safetensors", "make it with emer prepare"}));
  EXPECT_TRUE(fails(3, {"train", small(), "--run", folder_ / "r", "--init", small()}, {"small.yaml"}));
  EXPECT_TRUE(fails(
      3, {"train", small(), "--run", folder_ / "r", "--schedule", config("s.json", "{\"batches\": [[0]]}")},
      {"s.json", "batch 0"}));
  EXPECT_TRUE(fails(3, {"loss", small(), "--inputs", "/no/such.safetensors"}, {"/no/such.safetensors"}));
}

TEST_F(Cli, DivergenceIsOneAndAnUnusableDeviceFour) {
  EXPECT_TRUE(fails(1, {"train", small(), "--run", folder_ / "r", "--set", "train.learning_rate=1e6"},
                    {"diverged at step"}));
  if (report_devices().cuda_devices.empty()) {
    EXPECT_TRUE(
        fails(4, {"train", small(), "--run", folder_ / "r2", "--set", "device=cuda"}, {"device: cpu"}));
  }
}

TEST_F(Cli, TrainsWithTheDefaultRunFolderNamedAfterTheConfiguration) {
  const std::string yaml = small();
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  const test::Finished got = emer_run({"train", yaml, "--set", "train.epochs=1", "threads=1"});
  fs::current_path(before);
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_EQ(got.err, "");
  std::vector<std::string> runs;
  for (const auto& entry : fs::directory_iterator(folder_ / "runs"))
    runs.push_back(entry.path().filename().string());
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].rfind("small-", 0), 0u) << runs[0];
  EXPECT_TRUE(fs::exists(folder_ / "runs/" + runs[0] + "/checkpoints/last/state.json"));
}

TEST_F(Cli, ASignalSavesAndResumeGoesOnBitForBit) {
  const std::string yaml = small(), run = folder_ / "run", whole = folder_ / "whole";
  const std::vector<std::string> long_run{EMER_BINARY,          "train", yaml, "--run", run, "--set",
                                          "train.epochs=200000"};
  test::Process process(long_run);
  for (int tries = 0; tries < 500 && process.out().find(" step 3/") == std::string::npos; ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  process.send(SIGTERM);
  const test::Finished got = process.wait();
  EXPECT_EQ(got.code, 5) << got.err;
  EXPECT_EQ(got.err_lines(), 1) << got.err;
  const nlohmann::json state = nlohmann::json::parse(test::read_text(run + "/checkpoints/last/state.json"));
  const auto step = state["step"].get<std::int64_t>();
  ASSERT_GE(step, 3);

  // Interrupted twice, the run must tell the same metrics, step by step, as one that was left alone. The
  // learning rate is constant, so the number of epochs does not matter.
  test::Process again({EMER_BINARY, "train", yaml, "--run", run, "--set", "train.epochs=200000", "--resume"});
  const std::string next = " step " + std::to_string(step + 3) + "/";
  for (int tries = 0; tries < 500 && again.out().find(next) == std::string::npos; ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  again.send(SIGINT);
  EXPECT_EQ(again.wait().code, 5);
  const std::string epochs = "train.epochs=" + std::to_string((step + 3) / 3 + 1);
  ASSERT_EQ(emer_run({"train", yaml, "--run", whole, "--set", epochs}).code, 0);
  const std::vector<nlohmann::json> one = test::repeatable_metrics(whole),
                                    two = test::repeatable_metrics(run);
  std::size_t compared = 0;
  for (std::size_t i = 0; i < std::min(one.size(), two.size()); ++i, ++compared) ASSERT_EQ(one[i], two[i]);
  EXPECT_GT(compared, static_cast<std::size_t>(step + 2));
}

TEST_F(Cli, ATimeLimitEndsWithFiveAndTheSameCommandGoesOn) {
  const std::vector<std::string> command{
      "train", small(),        "--run", folder_ / "run", "--resume",
      "auto",  "--time-limit", "1s",    "--set",         "train.epochs=200000"};
  const auto begin = std::chrono::steady_clock::now();
  const test::Finished first = emer_run(command), second = emer_run(command);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::minutes(2));
  for (const test::Finished& got : {first, second}) {
    EXPECT_EQ(got.code, 5) << got.err;
    EXPECT_EQ(got.err_lines(), 1) << got.err;
    EXPECT_NE(got.err.find("time limit"), std::string::npos) << got.err;
  }
  EXPECT_NE(first.out.find("the run starts"), std::string::npos) << first.out;
  EXPECT_NE(second.out.find("going on from"), std::string::npos) << second.out;
}

struct LossCase {
  const char* inputs;
  const char* form;
  const char* part;  // which value the golden number is
  std::vector<std::string> set;
};

std::vector<LossCase> loss_cases() {
  const std::vector<std::string> projection{"loss.lambda=1", "loss.cca.penalty=summed"};
  const auto with = [](std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  std::vector<LossCase> cases;
  for (const char* inputs : {"loss_small", "loss_medium", "loss_narrow", "loss_far"}) {
    cases.push_back({inputs, "cca_released", "loss_cca",
                     with(projection, {"loss.cca.centring=sample", "loss.cca.correlation=row_norm"})});
    cases.push_back(
        {inputs, "cca_feature_row_norm", "loss_cca", with(projection, {"loss.cca.correlation=row_norm"})});
    for (const char* solver : {"polar", "eigen"})
      cases.push_back({inputs, "cca_feature_nuclear", "loss_cca",
                       with(projection, {std::string("loss.cca.solver=") + solver})});
    if (std::string(inputs) != "loss_narrow")
      for (const char* solver : {"polar", "eigen"})
        cases.push_back({inputs,
                         "cca_exact",
                         "loss_cca",
                         {"loss.lambda=1", "loss.cca.form=exact", std::string("loss.cca.solver=") + solver}});
    cases.push_back({inputs, "kl_released", "loss_kl", {"loss.lambda=0", "loss.kl.norm_broadcast=true"}});
    cases.push_back({inputs, "kl_norm_once", "loss_kl", {"loss.lambda=0"}});
  }
  return cases;
}

TEST_F(Cli, LossAndGradientsMatchTheGoldenCases) {
  const std::string yaml = config("loss.yaml", "loss: {lambda: 0.5}\n"),
                    out = folder_ / "gradients.safetensors";
  for (const LossCase& c : loss_cases()) {
    const std::string label = std::string(c.inputs) + "." + c.form;
    std::vector<std::string> arguments{
        "loss",        yaml, "--inputs", test::golden(std::string(c.inputs) + ".inputs.safetensors"),
        "--gradients", out};
    for (const std::string& text : c.set) arguments.insert(arguments.end(), {"--set", text});
    const test::Finished got = emer_run(arguments);
    ASSERT_EQ(got.code, 0) << label << got.err;
    const nlohmann::json want =
        nlohmann::json::parse(test::read_text(test::golden(std::string(c.inputs) + ".losses.json")));
    const double value = want[c.form].get<double>();
    const nlohmann::json printed = nlohmann::json::parse(got.out);
    EXPECT_TRUE(test::near_relative(printed[c.part].get<double>(), value, 1e-10)) << label;
    EXPECT_TRUE(test::near_relative(printed["loss"].get<double>(), value, 1e-10)) << label;

    const SafetensorsFile golden = SafetensorsFile::open(test::golden(label + ".gradients.safetensors"));
    const SafetensorsFile mine = SafetensorsFile::open(out);
    const SafetensorsFile inputs =
        SafetensorsFile::open(test::golden(std::string(c.inputs) + ".inputs.safetensors"));
    EXPECT_EQ(mine.tensors().size(), inputs.tensors().size()) << label;
    for (const TensorInfo& info : golden.tensors()) {
      EXPECT_EQ(mine.info(info.name).dtype, DType::kF64) << info.name;
      const std::vector<double> gradient = golden.read<double>(info.name);
      EXPECT_TRUE(test::near_relative(mine.read<double>(info.name, info.shape), gradient, 1e-7))
          << label << " " << info.name;
    }
  }
}

TEST_F(Cli, LossComputesInTheInputsPrecisionAndRefusesBadTensors) {
  const std::string yaml = config("loss.yaml", "loss: {lambda: 0}\n"), path = folder_ / "inputs.safetensors";
  const std::vector<float> values{0.5f, -1, 2, 0.25f};
  const auto write = [&](const std::string& odd_name, const std::vector<std::int64_t>& odd_shape,
                         float odd_value) {
    SafetensorsWriter writer;
    for (const char* name : {"music.mean", "music.log_variance", "emotion.mean", "emotion.log_variance"}) {
      std::vector<float> mine = values;
      std::vector<std::int64_t> shape{2, 2};
      if (name == odd_name) {
        mine[3] = odd_value;
        shape = odd_shape;
      }
      writer.add(name, shape, std::span<const float>(mine));
    }
    writer.write(path);
  };
  write("", {}, 0);
  const test::Finished got =
      emer_run({"loss", yaml, "--inputs", path, "--gradients", folder_ / "g.safetensors"});
  EXPECT_EQ(got.code, 0) << got.err;
  // Equal sides: A_ii = B_ii = 0 and A = B, so each direction is two hinges of max(0, 1 - KL(0||1)), max(0, 1
  // - KL(1||0)).
  const auto kl = [](double lp, double lq, double d) {
    const double p = std::exp(lp) + 1e-6, q = std::exp(lq) + 1e-6;
    return 0.5 * (p / q + d * d / q - 1 + std::log(q) - std::log(p));
  };
  const double forward = kl(0.5, 2, 1.5) + kl(-1, 0.25, 1.25), back = kl(2, 0.5, 1.5) + kl(0.25, -1, 1.25);
  const double want = 2 * (std::max(0.0, 1 - forward) + std::max(0.0, 1 - back));
  EXPECT_NEAR(nlohmann::json::parse(got.out)["loss_kl"].get<double>(), want, 1e-5);
  EXPECT_EQ(SafetensorsFile::open(folder_ / "g.safetensors").info("music.mean").dtype, DType::kF32);

  const std::vector<std::string> command{"loss", yaml, "--inputs", path};
  write("emotion.mean", {4}, 0);
  EXPECT_TRUE(fails(3, command, {"emotion.mean", "[4]", "[2, 2]"}));
  write("emotion.mean", {2, 2}, NAN);
  EXPECT_TRUE(fails(3, command, {"emotion.mean", "nan", "element 3"}));
  write("emotion.mean", {2, 2}, 0);
  EXPECT_TRUE(
      fails(3, {"loss", yaml, "--inputs", path, "--set", "loss.lambda=0.5"},
            {"music.embedding", "emotion.embedding", "cca.projection1", "cca.projection2", "missing"}));
}

TEST_F(Cli, InfoIsJsonAndTheReferenceIsTheCommittedFile) {
  const nlohmann::json facts = nlohmann::json::parse(emer_run({"info", "--json"}).out);
  for (const char* key :
       {"version", "git_hash", "build", "cpu", "threads", "cuda", "device", "ranks", "communicator"})
    EXPECT_TRUE(facts.contains(key)) << key;
  EXPECT_EQ(emer_run({"info", "--config-reference"}).out,
            test::read_text(EMER_SOURCE_DIR "/configs/README.md"));
  EXPECT_EQ(emer_run({"info"}).code, 0);
  const test::Finished help = emer_run({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_NE(help.out.find("Examples:"), std::string::npos);
  EXPECT_EQ(emer_run({"--version"}).out.rfind("emer ", 0), 0u);
}

}  // namespace
}  // namespace emer
