// Whole training runs on a CUDA device: the golden models, the CPU's trajectory, repeatability, stopping, divergence.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/checkpoint.h"
#include "engine/trainer.h"
#include "tests/engine/run_support.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using TrainingTwin = test::TwinTest;
using Json = nlohmann::json;

std::string golden(const std::string& model, const std::string& suffix) {
  return test::golden(model + suffix);
}

Config golden_config(const test::TemporaryFolder& folder, const std::string& model,
                     const std::vector<std::string>& more) {
  const Dataset dataset = load_dataset(golden(model, ".data.safetensors"));
  Split split;
  split.method = "file";
  split.train = dataset.song_id;
  save_split(split, folder / "split.json");
  const Json steps = Json::parse(test::read_text(golden(model, ".steps.json")));
  std::vector<std::string> overrides{
      "data.path='" + golden(model, ".data.safetensors") + "'",
      "data.split={method: file, path: '" + (folder / "split.json") + "'}",
      std::string("model.music.kind=") + (dataset.music_is_sequence() ? "bigru" : "mlp"),
      "model.music.widths=" + steps["widths"].dump(),
      "model.emotion.widths=" + steps["emotion_widths"].dump(),
      "model.gru.hidden=" + steps["gru_hidden"].dump(),
      "model.embedding_dim=" + steps["embedding_dim"].dump(),
      "loss.lambda=" + steps["lambda"].dump(),
      "train.learning_rate=" + steps["learning_rate"].dump(),
      "device=cuda",
      "threads=1"};
  overrides.insert(overrides.end(), more.begin(), more.end());
  return parse_config("compat: released\ndata: {standardise: false}\n", "golden", overrides);
}

TEST_F(TrainingTwin, GoldenModelsStepByStep) {
  for (const char* model : {"model_vector", "model_sequence"})
    for (const char* graph : {"true", "false"}) {
      const test::TemporaryFolder folder;
      const std::string run = folder / "run";
      train({.config = golden_config(folder, model, {std::string("train.cuda_graph=") + graph}),
             .run_folder = run,
             .init = golden(model, ".weights.safetensors"),
             .schedule = golden(model, ".schedule.json")});
      const Json want = Json::parse(test::read_text(golden(model, ".steps.json")))["steps"];
      const std::vector<Json> got = test::read_lines(run + "/metrics.jsonl");
      ASSERT_EQ(got.size(), want.size());
      // The bound of the CPU's test: float32 products of a few hundred terms, twelve steps.
      for (std::size_t i = 0; i < want.size(); ++i)
        for (const char* part : {"loss", "loss_cca", "loss_kl"})
          EXPECT_TRUE(test::near_relative(got[i][part].get<double>(), want[i][part].get<double>(), 1e-5))
              << model << ", recorded " << graph << ": " << part << " of step " << i + 1;
    }
}

const std::vector<std::string> kEverything{"device=cuda",
                                           "train.optimizer=adamw",
                                           "train.weight_decay=0.01",
                                           "train.ema=0.9",
                                           "train.clip_norm=5",
                                           "train.schedule.kind=cosine",
                                           "train.schedule.warmup_epochs=2",
                                           "train.epochs=100",
                                           "model.dropout=0.3",
                                           "model.music.input_dropout=0.1",
                                           "train.batch_size=13",
                                           "train.validate_every=30",
                                           "model.log_variance_clamp=[-6, 6]"};

std::vector<std::string> with(std::vector<std::string> overrides, const std::string& more) {
  overrides.push_back(more);
  return overrides;
}

TEST_F(TrainingTwin, TwoHundredStepsFollowTheCpu) {
  const test::UncheckedAccesses unchecked;
  for (const bool sequence : {false, true}) {
    const test::TemporaryFolder folder;
    const std::string data = test::small_data(folder, sequence);
    auto overrides = kEverything;
    if (sequence) overrides.push_back("model.music.kind=bigru");
    train({.config = test::small_config(data, with(overrides, "device=cpu")), .run_folder = folder / "cpu"});
    train({.config = test::small_config(data, overrides), .run_folder = folder / "cuda"});
    const auto cpu = test::repeatable_metrics(folder / "cpu"),
               cuda = test::repeatable_metrics(folder / "cuda");
    ASSERT_EQ(cuda.size(), cpu.size());
    int steps = 0;
    for (std::size_t i = 0; i < cpu.size(); ++i) {
      ASSERT_EQ(cuda[i]["step"], cpu[i]["step"]);
      if (!cpu[i].contains("gradient_norm")) continue;  // a validation
      ++steps;
      // Rounding differs by about 1e-6 of a step's gradient; Adam's steps make that grow with the number of steps,
      // by less than a factor of 1000 over 200 of them.
      for (const char* part : {"loss", "loss_cca", "loss_kl", "gradient_norm"})
        EXPECT_TRUE(test::near_relative(cuda[i][part].get<double>(), cpu[i][part].get<double>(), 1e-3))
            << part << " of step " << cpu[i]["step"];
    }
    EXPECT_GE(steps, 200);
  }
}

TEST_F(TrainingTwin, RunsAreBitIdenticalRecordedOrNot) {
  const test::TemporaryFolder folder;
  const std::string data = test::small_data(folder, true);
  const auto overrides = with(with(kEverything, "model.music.kind=bigru"), "train.epochs=6");
  const auto run = [&](const std::string& name, const std::vector<std::string>& settings) {
    train({.config = test::small_config(data, settings), .run_folder = folder / name});
    return test::tensor_values(folder / name + "/checkpoints/last/model.safetensors");
  };
  const Json first = run("first", overrides);
  EXPECT_EQ(run("second", overrides), first);
  EXPECT_EQ(run("eager", with(overrides, "train.cuda_graph=false")), first);
  EXPECT_EQ(test::repeatable_metrics(folder / "second"), test::repeatable_metrics(folder / "first"));
  EXPECT_EQ(test::repeatable_metrics(folder / "eager"), test::repeatable_metrics(folder / "first"));
}

TEST_F(TrainingTwin, StoppingAndResumingChangesNothing) {
  const test::TemporaryFolder folder;
  const std::string data = test::small_data(folder);
  const auto config = test::small_config(data, with(kEverything, "train.epochs=8"));
  train({.config = config, .run_folder = folder / "whole"});
  int asked = 0;
  const auto stopped = [&](bool resume) {
    return test::refuses(ErrorKind::kStopped, {"--resume"}, [&] {
      train({.config = config, .run_folder = folder / "parts", .resume = resume, .should_stop = [&] {
               return ++asked % 2 == 0;
             }});
    });
  };
  EXPECT_TRUE(stopped(false));
  EXPECT_TRUE(stopped(true));
  train({.config = config, .run_folder = folder / "parts", .resume = true});
  for (const char* file : {"model", "optimizer", "ema"}) {
    const std::string path = std::string("/checkpoints/last/") + file + ".safetensors";
    EXPECT_EQ(test::tensor_values(folder / "parts" + path), test::tensor_values(folder / "whole" + path))
        << file;
  }
  EXPECT_EQ(test::repeatable_metrics(folder / "parts"), test::repeatable_metrics(folder / "whole"));
}

TEST_F(TrainingTwin, DivergenceIsFoundAtItsStepAndLeavesAGoodCheckpoint) {
  const test::TemporaryFolder folder;
  const std::string data = test::small_data(folder);
  const std::vector<std::string> wild{"device=cuda", "train.learning_rate=1e20", "data.split={train: 1.0}"};
  std::string cpu_says, cuda_says;
  for (const char* device : {"cpu", "cuda"}) {
    const std::string run = folder / device;
    try {
      train({.config = test::small_config(data, with(wild, std::string("device=") + device)),
             .run_folder = run});
      ADD_FAILURE() << "trained with a learning rate of 1e20";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kRunFailed);
      (device == std::string("cpu") ? cpu_says : cuda_says) = std::string(error.what()).substr(0, 38);
    }
    for (const Json& tensor : test::tensor_values(run + "/checkpoints/last/model.safetensors"))
      for (const Json& value : tensor) ASSERT_TRUE(value.is_number());
  }
  EXPECT_EQ(cuda_says, cpu_says) << "the step and epoch of the divergence";
}

TEST_F(TrainingTwin, LowerPrecisionsTrainToTheSameLoss) {
  const test::UncheckedAccesses unchecked;
  const test::TemporaryFolder folder;
  const std::string data = test::small_data(folder, true);
  const auto overrides = with(kEverything, "model.music.kind=bigru");
  const auto last_loss = [&](const std::string& precision) {
    train({.config = test::small_config(data, with(overrides, "train.precision=" + precision)),
           .run_folder = folder / precision});
    double sum = 0;
    int count = 0;
    for (const Json& line : test::read_lines(folder / precision + "/metrics.jsonl"))
      if (line.contains("gradient_norm") && line["step"].get<int>() > 150) {
        sum += line["loss"].get<double>();
        ++count;
      }
    return sum / count;
  };
  const double fp32 = last_loss("fp32");
  // Operands of 10 and 7 mantissa bits: relative errors of 2^-11 and 2^-8 a product, averaged over many; the mean over
  // fifty steps of a noisy loss moves by less than 5 and 10 per cent of it.
  EXPECT_NEAR(last_loss("tf32"), fp32, 0.05 * std::abs(fp32));
  EXPECT_NEAR(last_loss("bf16"), fp32, 0.10 * std::abs(fp32));
}

#ifndef EMER_SIMT  // hours on the harness
// The paper's model and batch on as many songs as DEAM has: 67 epochs of three steps.
TEST_F(TrainingTwin, TwoHundredStepsOfTheFullModelFollowTheCpu) {
  const test::TemporaryFolder folder;
  save_dataset(make_synthetic({.songs = 1802, .seed = 3, .width = 128}), folder / "songs.safetensors");
  const auto run = [&](const std::string& device) {
    train({.config = parse_config("data: {path: '" + (folder / "songs.safetensors") +
                                      "', split: {train: 0.8, validation: 0.0}}\ntrain: {epochs: 67}\n",
                                  "full", {"device=" + device}),
           .run_folder = folder / device});
    return test::repeatable_metrics(folder / device);
  };
  const std::vector<Json> cpu = run("cpu"), cuda = run("cuda");
  ASSERT_EQ(cuda.size(), cpu.size());
  ASSERT_GE(cpu.size(), 200u);
  // Float sums of up to 2048 terms differ by about 1e-6 of their size; a learning rate of 1e-5 moves weights by less than
  // 2e-3 in 200 steps, so that what grows from step to step stays below a thousand times that.
  for (std::size_t i = 0; i < cpu.size(); ++i)
    for (const char* part : {"loss", "loss_cca", "loss_kl"})
      EXPECT_TRUE(test::near_relative(cuda[i][part].get<double>(), cpu[i][part].get<double>(), 1e-3))
          << part << " of step " << cpu[i]["step"];
}
#endif

}  // namespace
}  // namespace emer
