#include "engine/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "engine/checkpoint.h"
#include "engine/checkpoint_files.h"
#include "engine/model.h"
#include "engine/session.h"
#include "tests/engine/run_support.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kEverythingOn = {
    "model.dropout=0.3",     "train.ema=0.9",
    "train.optimizer=adamw", "train.weight_decay=0.05",
    "train.clip_norm=50",    "train.schedule={kind: cosine, warmup_epochs: 1, final: 0.1}"};

// Stops after so many steps of this call.
std::function<bool()> stop_after(int steps) {
  return [left = steps]() mutable { return --left <= 0; };
}

TEST(Trainer, WritesEverythingTheInterchangePromises) {
  test::TemporaryFolder folder;
  const std::string run = folder / "run";
  const TrainResult result =
      train({.config = test::small_config(test::small_data(folder)), .run_folder = run});
  // 40 songs: 32 to train, of which 6 validate; 26 in batches of 10 make 3.
  EXPECT_EQ(result.epoch, 6);
  EXPECT_EQ(result.step, 18);
  for (const char* name :
       {"config.yaml", "split.json", "environment.json", "metrics.jsonl",
        "checkpoints/last/model.safetensors", "checkpoints/last/optimizer.safetensors",
        "checkpoints/last/state.json", "checkpoints/last/config.yaml", "checkpoints/last/split.json",
        "checkpoints/last/standardisation.safetensors", "checkpoints/best/state.json"})
    EXPECT_TRUE(fs::is_regular_file(run + "/" + name)) << name;
  EXPECT_FALSE(fs::exists(run + "/checkpoints/last/ema.safetensors"));
  bool events = false;
  for (const auto& entry : fs::directory_iterator(run))
    events = events || entry.path().filename().string().rfind("events.out.tfevents.", 0) == 0;
  EXPECT_TRUE(events);

  std::size_t steps = 0, evaluations = 0;
  for (const nlohmann::json& line : test::read_lines(run + "/metrics.jsonl")) {
    if (line.contains("event")) {
      EXPECT_EQ(line["event"], "evaluation");
      EXPECT_GT(line["m2e"]["mrr"].get<double>(), 0.0);
      ++evaluations;
      continue;
    }
    ++steps;
    std::vector<std::string> names;
    for (const auto& [key, value] : line.items()) names.push_back(key);
    EXPECT_EQ(names, (std::vector<std::string>{"epoch", "gradient_norm", "learning_rate", "loss", "loss_cca",
                                               "loss_kl", "songs_per_second", "step",
                                               "time"}));  // as nlohmann sorts them
    EXPECT_EQ(line["step"], steps);
    EXPECT_EQ(line["epoch"], (steps + 2) / 3);
    EXPECT_NEAR(line["loss"].get<double>(),
                0.5 * line["loss_cca"].get<double>() + 0.5 * line["loss_kl"].get<double>(),
                1e-6 * std::abs(line["loss"].get<double>()));
  }
  EXPECT_EQ(steps, 18u);
  EXPECT_EQ(evaluations, 6u);
  const nlohmann::json state = nlohmann::json::parse(test::read_text(run + "/checkpoints/last/state.json"));
  for (const char* key : {"epoch", "step", "random", "data_position", "best_metric", "version"})
    EXPECT_TRUE(state.contains(key)) << key;
}

TEST(Trainer, StoppingAnywhereAndResumingGivesTheSameBits) {
  test::TemporaryFolder folder;
  const Config config = test::small_config(test::small_data(folder), kEverythingOn);
  const std::string whole = folder / "whole", parts = folder / "parts";
  train({.config = config, .run_folder = whole});
  // 9 steps end epoch 3; 4 more end inside epoch 5.
  EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"step 9", "last", "--resume"}, [&] {
    train({.config = config, .run_folder = parts, .should_stop = stop_after(9)});
  }));
  EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"step 13"}, [&] {
    train({.config = config, .run_folder = parts, .resume = true, .should_stop = stop_after(4)});
  }));
  const TrainResult result = train({.config = config, .run_folder = parts, .resume = true});
  EXPECT_EQ(result.step, 18);
  for (const char* name : {"last", "best"}) {
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "ema.safetensors"}) {
      const std::string path = std::string("/checkpoints/") + name + "/" + file;
      EXPECT_EQ(test::tensor_values(whole + path), test::tensor_values(parts + path)) << path;
    }
  }
  EXPECT_EQ(test::repeatable_metrics(whole), test::repeatable_metrics(parts));
}

TEST(Trainer, MoreEpochsGoOnWhereTheRunEnded) {
  test::TemporaryFolder folder;
  const std::string data = test::small_data(folder);
  const std::string whole = folder / "whole", grown = folder / "grown";
  train({.config = test::small_config(data), .run_folder = whole});
  train({.config = test::small_config(data, {"train.epochs=3"}), .run_folder = grown});
  train({.config = test::small_config(data), .run_folder = grown, .resume = true});
  EXPECT_EQ(test::tensor_values(whole + "/checkpoints/last/model.safetensors"),
            test::tensor_values(grown + "/checkpoints/last/model.safetensors"));
  EXPECT_EQ(test::repeatable_metrics(whole), test::repeatable_metrics(grown));
  const TrainResult again = train({.config = test::small_config(data), .run_folder = grown, .resume = true});
  EXPECT_TRUE(std::isnan(again.loss));
  EXPECT_EQ(again.step, 18);
}

TEST(Trainer, SameSeedSameRunOtherSeedOtherRun) {
  test::TemporaryFolder folder;
  const std::string data = test::small_data(folder, /*sequence=*/true);
  const auto weights = [&](const std::string& name, const std::string& seed) {
    train({.config =
               test::small_config(data, {"model.music.kind=bigru", "train.epochs=2", "train.seed=" + seed}),
           .run_folder = folder / name});
    return test::tensor_values(folder / name + "/checkpoints/last/model.safetensors");
  };
  const nlohmann::json a = weights("a", "1");
  EXPECT_EQ(a, weights("b", "1"));
  EXPECT_NE(a, weights("c", "2"));
}

TEST(Trainer, RefusesWhatWouldOverwriteOrMislead) {
  test::TemporaryFolder folder;
  const std::string data = test::small_data(folder), run = folder / "run";
  const auto refused = [&](std::initializer_list<std::string_view> parts, const TrainRequest& request) {
    return test::refuses(ErrorKind::kUsage, parts, [&] { train(request); });
  };
  EXPECT_TRUE(refused({"--resume", "no checkpoint"},
                      {.config = test::small_config(data), .run_folder = run, .resume = true}));
  train({.config = test::small_config(data, {"train.epochs=2"}), .run_folder = run});
  EXPECT_TRUE(refused({run, "--resume"}, {.config = test::small_config(data), .run_folder = run}));
  EXPECT_TRUE(refused({"train.seed (1 -> 9)", "model.dropout (0.5 -> 0.1)"},
                      {.config = test::small_config(data, {"train.seed=9", "model.dropout=0.1"}),
                       .run_folder = run,
                       .resume = true}));
  EXPECT_TRUE(
      refused({"train.epochs"},
              {.config = test::small_config(data, {"train.epochs=1"}), .run_folder = run, .resume = true}));
  EXPECT_TRUE(refused({"--schedule"}, {.config = test::small_config(data, {"train.epochs=2"}),
                                       .run_folder = run,
                                       .resume = true,
                                       .schedule = test::golden("model_vector.schedule.json")}));
  const std::string fresh = folder / "fresh";
  EXPECT_TRUE(refused({"train.precision", "device: cuda"},
                      {.config = test::small_config(data, {"train.precision=bf16"}), .run_folder = fresh}));
  EXPECT_TRUE(refused({"model.music.kind is bigru", "mlp"},
                      {.config = test::small_config(data, {"model.music.kind=bigru"}), .run_folder = fresh}));
  EXPECT_TRUE(refused(
      {"patience", "validation"},
      {.config = test::small_config(data, {"data.split.validation=0", "train.early_stopping.patience=2"}),
       .run_folder = fresh}));
  EXPECT_TRUE(refused({"data.path"}, {.config = test::small_config(""), .run_folder = fresh}));
}

TEST(Trainer, AMlpOverRatingsNeedsEqualLengths) {
  test::TemporaryFolder folder;
  const std::string data = test::small_data(folder, /*sequence=*/true);  // songs of different lengths
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"model.music.kind is mlp", "song", "bigru"}, [&] {
    train({.config = test::small_config(data), .run_folder = folder / "run"});
  }));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"model.emotion.kind is mlp", "data.emotion_steps"}, [&] {
    train({.config = test::small_config(data, {"model.music.kind=bigru", "model.emotion.kind=mlp"}),
           .run_folder = folder / "run"});
  }));
  // The shortest song has 60 % of 60 ratings, in fives: 7.
  const TrainResult result =
      train({.config = test::small_config(data, {"model.music.kind=bigru", "model.emotion.kind=mlp",
                                                 "data.emotion_steps=7", "train.epochs=1"}),
             .run_folder = folder / "run"});
  EXPECT_EQ(result.step, 3);
}

TEST(Trainer, DivergenceStopsWithTheStepAndKeepsTheLastGoodCheckpoint) {
  test::TemporaryFolder folder;
  const std::string data = test::small_data(folder), run = folder / "run", blown = folder / "blown";
  // Log variances of a thousand overflow exp() in the second step.
  EXPECT_TRUE(test::refuses(
      ErrorKind::kRunFailed, {"diverged at step 2", "loss", "cca", "kl", blown + "/checkpoints/last"}, [&] {
        train({.config = test::small_config(data, {"train.learning_rate=1e6"}), .run_folder = blown});
      }));
  // What is kept are the weights before the step that spoilt them, and training can go on from them.
  const nlohmann::json state = nlohmann::json::parse(test::read_text(blown + "/checkpoints/last/state.json"));
  EXPECT_EQ(state["step"], 0);
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"diverged at step 2"}, [&] {
    train({.config = test::small_config(data, {"train.learning_rate=1e6"}),
           .run_folder = blown,
           .resume = true});
  }));

  EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"step 2"}, [&] {
    train({.config = test::small_config(data), .run_folder = run, .should_stop = stop_after(2)});
  }));
  // A NaN among the weights shows in the next step; the checkpoint on disk must stay as it was.
  const std::string weights = run + "/checkpoints/last/model.safetensors";
  const SafetensorsFile file = SafetensorsFile::open(weights);
  SafetensorsWriter writer;
  for (const TensorInfo& info : file.tensors()) {
    std::vector<float> values = file.read<float>(info.name);
    if (info.name == "music_encoder.dense1.weight") values[0] = NAN;
    writer.add(info.name, info.shape, std::span<const float>(values));
  }
  writer.write(weights);
  write_state(run + "/checkpoints/last",
              read_state(run + "/checkpoints/last"));  // with the checksum of these
  const std::string before = test::read_text(weights);
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"diverged at step 3", "nan", "checkpoints/last"}, [&] {
    train({.config = test::small_config(data), .run_folder = run, .resume = true});
  }));
  EXPECT_EQ(test::read_text(weights), before);
}

// One step an epoch: the validation is the first to meet the spoilt weights.
TEST(Trainer, DivergenceFoundByTheValidationKeepsTheLastGoodCheckpointToo) {
  test::TemporaryFolder folder;
  const std::string run = folder / "run";
  const Config config =
      test::small_config(test::small_data(folder), {"train.learning_rate=1e30", "train.batch_size=64"});
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed,
                            {"diverged at step 1 (epoch 1)", "loss", "cca", "kl", "checkpoints/last"},
                            [&] { train({.config = config, .run_folder = run}); }));
  EXPECT_TRUE(fs::exists(run + "/checkpoints/last/state.json"));
  EXPECT_FALSE(fs::exists(run + "/checkpoints/best"));
}

TEST(Trainer, AKillDuringTheFirstSaveLeavesTheFolderUsable) {
  test::TemporaryFolder folder;
  const std::string run = folder / "run";
  fs::create_directories(run + "/checkpoints/last.new");
  test::write_text(run + "/checkpoints/last.new/model.safetensors", "half");
  const Config config = test::small_config(test::small_data(folder), {"train.epochs=1"});
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"without --resume"},
                            [&] { train({.config = config, .run_folder = run, .resume = true}); }));
  EXPECT_EQ(train({.config = config, .run_folder = run}).step, 3);
  EXPECT_FALSE(fs::exists(run + "/checkpoints/last.new"));
}

TEST(Trainer, WeightsToStartFromMustBeNumbers) {
  test::TemporaryFolder folder;
  const Config config = test::small_config(test::small_data(folder), {"train.epochs=1"});
  train({.config = config, .run_folder = folder / "run"});
  const SafetensorsFile file = SafetensorsFile::open(folder / "run/checkpoints/last/model.safetensors");
  SafetensorsWriter writer;
  for (const TensorInfo& info : file.tensors()) {
    std::vector<float> values = file.read<float>(info.name);
    if (info.name == "cca.projection2") values[3] = NAN;
    writer.add(info.name, info.shape, std::span<const float>(values));
  }
  writer.write(folder / "weights.safetensors");
  EXPECT_TRUE(test::refuses_input({"weights.safetensors", "cca.projection2", "element 3"}, [&] {
    train({.config = config, .run_folder = folder / "next", .init = folder / "weights.safetensors"});
  }));
  EXPECT_FALSE(fs::exists(folder / "next"));
}

TEST(Trainer, AModelBeyondTheMemoryIsRefusedAndCountedExactly) {
  Config config = parse_config(
      "model: {music: {widths: [7, 5]}, emotion: {widths: [6]}, gru: {hidden: 4}, embedding_dim: 3}\n", "c");
  const InputShape shape{0, 9, 12};
  Context ctx;
  std::size_t count = 0;
  DualEncoder<float> model(ctx, config, shape);
  for (const Parameter<float>* p : model.parameters()) count += static_cast<std::size_t>(p->value.size());
  const double bytes = 16.0 * static_cast<double>(count);  // four copies of float32
  check_model_fits(config, shape, bytes);
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {std::to_string(count) + " weights", "model.embedding_dim"},
                            [&] { check_model_fits(config, shape, bytes - 1); }));

  test::TemporaryFolder folder;
  const std::string run = folder / "run";
  config = test::small_config(test::small_data(folder),
                              {"model.embedding_dim=65536",
                               "model.music.widths=[65536, 65536, 65536, 65536, "
                               "65536, 65536, 65536, 65536, 65536, 65536, 65536, 65536, 65536, 65536]"});
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"GiB of memory"},
                            [&] { train({.config = config, .run_folder = run}); }));
  EXPECT_FALSE(fs::exists(run));
}

TEST(Trainer, RatingsAloneCannotBeTrainedOn) {
  test::TemporaryFolder folder;
  Dataset songs = make_synthetic({.songs = 40, .width = 6});
  songs.music.clear();
  songs.music_width = 0;
  save_dataset(songs, folder / "ratings.safetensors");
  EXPECT_TRUE(test::refuses_input({"ratings.safetensors", "ratings alone", "--features"}, [&] {
    train({.config = test::small_config(folder / "ratings.safetensors"), .run_folder = folder / "run"});
  }));
}

TEST(Trainer, EarlyStoppingEndsTheRunAndBestIsTheBest) {
  test::TemporaryFolder folder;
  const std::string run = folder / "run";
  const TrainResult result =
      train({.config = test::small_config(test::small_data(folder),
                                          {"train.epochs=400", "train.learning_rate=0.02",
                                           "train.early_stopping={patience: 3, metric: loss}"}),
             .run_folder = run});
  EXPECT_TRUE(result.stopped_early);
  EXPECT_LT(result.epoch, 400);
  double best = INFINITY;
  std::int64_t best_epoch = 0, last_epoch = 0;
  for (const nlohmann::json& line : test::read_lines(run + "/metrics.jsonl")) {
    if (!line.contains("event")) continue;
    last_epoch = line["epoch"].get<std::int64_t>();
    if (line["loss"].get<double>() < best) {
      best = line["loss"].get<double>();
      best_epoch = last_epoch;
    }
  }
  EXPECT_EQ(last_epoch, best_epoch + 3);
  const TrainingState state = load_state(run + "/checkpoints/best");
  ASSERT_TRUE(state.best.has_value());
  EXPECT_EQ(state.best->epoch, best_epoch);
  EXPECT_EQ(state.best->value, best);
}

TEST(Trainer, ATinySetIsLearntByHeart) {
  test::TemporaryFolder folder;
  const std::string run = folder / "run";
  train(
      {.config = test::small_config(test::small_data(folder),
                                    {"data.split={train: 0.5, validation: 0}", "model.dropout=0",
                                     "train.epochs=200", "train.learning_rate=0.005", "train.batch_size=20"}),
       .run_folder = run});
  const std::vector<nlohmann::json> lines = test::read_lines(run + "/metrics.jsonl");
  const double first = lines.front()["loss_kl"].get<double>(), last = lines.back()["loss_kl"].get<double>();
  // 20 songs at chance keep every hinge open: 2 * 20 * 19 * margin = 760. Learnt by heart, few are.
  EXPECT_GT(first, 500);
  EXPECT_LT(last, 0.1 * first);
}

TEST(Session, OpensRunsAndCheckpointsWithTheirOwnStatistics) {
  test::TemporaryFolder folder;
  const std::string data = test::small_data(folder), run = folder / "run";
  train({.config = test::small_config(data, {"train.ema=0.5", "train.checkpoint_every=2", "train.epochs=4"}),
         .run_folder = run});
  EXPECT_EQ(find_checkpoint(run), run + "/checkpoints/best");
  EXPECT_EQ(find_checkpoint(run + "/checkpoints/epoch-000002"), run + "/checkpoints/epoch-000002");
  Session session = open_session(run + "/checkpoints/epoch-000004", {"eval.lambda=0.25"});
  EXPECT_EQ(session.config.eval.lambda, 0.25);
  EXPECT_EQ(session.step, 12);
  EXPECT_EQ(session.data.train.size(), 26u);
  EXPECT_EQ(session.data.test.size(), 8u);
  const SafetensorsFile average = SafetensorsFile::open(run + "/checkpoints/epoch-000004/ema.safetensors");
  for (const Parameter<float>* p : session.model->parameters())
    EXPECT_EQ(p->value.to_host(*session.context), average.read<float>(p->name)) << p->name;
  // Standardised by the training part: mean 0 over it.
  double sum = 0;
  for (const std::int64_t row : session.data.train)
    sum += session.data.dataset.music[static_cast<std::size_t>(row) * 6];
  EXPECT_NEAR(sum, 0.0, 1e-4);
  EXPECT_TRUE(
      test::refuses(ErrorKind::kUsage, {"model.dropout=0"}, [&] { open_session(run, {"model.dropout=0"}); }));
  EXPECT_TRUE(test::refuses_input({"no such"}, [&] { open_session(folder / "nothing"); }));
  EXPECT_TRUE(test::refuses_input({"checkpoints"}, [&] { open_session(folder.path()); }));
}

}  // namespace
}  // namespace emer
