// Runs on several ranks against the run of one: trajectories in double, whole runs with checkpoints, stops and resumes
// on another number of ranks, and what ends a run on all ranks.
#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <cmath>
#include <filesystem>

#include "core/parallel.h"
#include "engine/agreement.h"
#include "engine/batches.h"
#include "engine/trainer.h"
#include "tests/engine/step_models.h"
#include "tests/engine/trajectory.h"
#include "tests/support/one_thread.h"
#include "tests/support/ranks.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

namespace fs = std::filesystem;
constexpr int kWorlds[] = {2, 3, 4, 8};

using Form = std::vector<std::string>;
class RanksTrajectory : public ::testing::TestWithParam<Form> {};

TEST_P(RanksTrajectory, AHundredStepsAreThoseOfOneRank) {
  const test::OneThread one;
  const test::StepModel m("vector", GetParam());
  // 40 songs in batches of 9: four of 9 and one of 4.
  const auto follow = [&](Context& ctx) { return test::follow(ctx, m.config, m.data, 9, 100); };
  Context alone;
  const test::Trajectory want = follow(alone);
  for (const int ranks : kWorlds)
    test::on_ranks(ranks, [&](Context& ctx) {
      // 1e-14 or so a step, which Adam passes on undamped.
      EXPECT_LE(test::worst_difference(follow(ctx), want), 1e-9) << ranks;
    });
}

INSTANTIATE_TEST_SUITE_P(
    Forms, RanksTrajectory,
    ::testing::Values(Form{"loss.kl.norm_broadcast=true"}, Form{"loss.cca.correlation=row_norm"},
                      Form{"loss.cca.centring=sample"},
                      Form{"loss.cca.form=exact", "loss.cca.ridge=0.01", "model.embedding_dim=3"},
                      Form{"loss.kl.form=softmax", "loss.kl.learn_temperature=true"},
                      Form{"compat=released", "train.chunk_size=2"}));

// The ranks of a run in the engine's own float.
class RanksTraining : public ::testing::Test {
 protected:
  void run(int ranks, TrainRequest request) {
    test::on_ranks(ranks, [&](Context& ctx) {
      TrainRequest mine = request;
      mine.communicator = std::shared_ptr<Communicator>(std::shared_ptr<void>(), &ctx.communicator());
      train(mine);
    });
  }
  Config config(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {"model.music.kind=bigru", "train.clip_norm=50", "train.ema=0.9",
                                    "train.optimizer=adamw", "train.epochs=4"};
    all.insert(all.end(), more.begin(), more.end());
    return test::small_config(data_, all);
  }
  void expect_close(const std::string& got, const std::string& want) {
    const auto a = test::read_lines(folder_ / got + "/metrics.jsonl"),
               b = test::read_lines(folder_ / want + "/metrics.jsonl");
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < b.size(); ++i) {
      EXPECT_EQ(a[i]["step"], b[i]["step"]);
      // Float sums in another order, over a dozen steps of Adam, whose steps do not shrink with a gradient's size.
      EXPECT_TRUE(test::near_relative(a[i]["loss"].get<double>(), b[i]["loss"].get<double>(), 1e-3)) << i;
    }
  }

  const test::OneThread one_;
  test::TemporaryFolder folder_;
  std::string data_ = test::small_data(folder_, true);
};

TEST_F(RanksTraining, OneRunIsWrittenAndTheSameOneEveryTime) {
  if (test::ranks_are_processes()) GTEST_SKIP() << "every process has a folder of its own";
  run(1, {.config = config(), .run_folder = folder_ / "1"});
  for (const char* name : {"4", "4again"}) {
    run(4, {.config = config(), .run_folder = folder_ / name});
    expect_close(name, "1");
  }
  EXPECT_EQ(test::repeatable_metrics(folder_ / "4"), test::repeatable_metrics(folder_ / "4again"));
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "ema.safetensors"})
    EXPECT_EQ(test::tensor_values(folder_ / "4" + "/checkpoints/last/" + file),
              test::tensor_values(folder_ / "4again" + "/checkpoints/last/" + file))
        << file;
  const nlohmann::json facts = nlohmann::json::parse(test::read_text(folder_ / "4" + "/environment.json"));
  EXPECT_EQ(facts["ranks"], 4);
  EXPECT_EQ(facts["communicator"], "threads");
}

TEST_F(RanksTraining, AShardedOptimiserGivesTheSameBits) {
  if (test::ranks_are_processes()) GTEST_SKIP() << "every process has a folder of its own";
  // One size of buckets for both: the norm adds up squares part by part, and buckets say whose parts are whose.
  const char* const buckets = "distributed.bucket_mb=0.0005";
  const Config sharded = config({"distributed.shard_optimizer=true", buckets});
  run(4, {.config = config({buckets}), .run_folder = folder_ / "whole"});
  test::on_ranks(4, [&](Context& ctx) {
    TrainRequest mine{.config = sharded, .run_folder = folder_ / "sharded"};
    mine.communicator = std::shared_ptr<Communicator>(std::shared_ptr<void>(), &ctx.communicator());
    mine.should_stop = [left = 7]() mutable { return --left <= 0; };
    EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"after step 7"}, [&] { train(mine); }));
  });
  run(4, {.config = sharded, .run_folder = folder_ / "sharded", .resume = true});
  EXPECT_EQ(test::repeatable_metrics(folder_ / "whole"), test::repeatable_metrics(folder_ / "sharded"));
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "ema.safetensors"})
    EXPECT_EQ(test::tensor_values(folder_ / "whole" + "/checkpoints/last/" + file),
              test::tensor_values(folder_ / "sharded" + "/checkpoints/last/" + file))
        << file;
}

// tests/goldens/README.md: twelve steps from given weights over a given schedule, by another implementation.
TEST_F(RanksTraining, AGivenScheduleFromGivenWeightsGivesTheStoredLosses) {
  if (test::ranks_are_processes()) GTEST_SKIP() << "every process has a folder of its own";
  for (const char* name : {"model_vector", "model_sequence"}) {
    const std::string base = test::golden(name);
    const test::GoldenModel m(base);
    Split split;
    split.method = "file";
    split.train = m.data.dataset.song_id;
    save_split(split, folder_ / "split.json");
    Config golden = m.config;
    apply_overrides(golden, {"data.split={method: file, path: '" + (folder_ / "split.json") + "'}"});
    const nlohmann::json steps = nlohmann::json::parse(test::read_text(base + ".steps.json"));
    apply_overrides(golden, {"train.learning_rate=" + steps["learning_rate"].dump()});
    for (const int ranks : {3, 8}) {
      const std::string folder = folder_ / (name + std::to_string(ranks));
      run(ranks, {.config = golden,
                  .run_folder = folder,
                  .init = base + ".weights.safetensors",
                  .schedule = base + ".schedule.json"});
      const std::vector<nlohmann::json> got = test::read_lines(folder + "/metrics.jsonl");
      ASSERT_EQ(got.size(), steps["steps"].size());
      for (std::size_t i = 0; i < got.size(); ++i)
        EXPECT_TRUE(
            test::near_relative(got[i]["loss"].get<double>(), steps["steps"][i]["loss"].get<double>(), 1e-5))
            << name << " step " << i + 1 << " on " << ranks;
    }
  }
}

TEST_F(RanksTraining, MoreRanksThanSongsOfABatch) {
  if (test::ranks_are_processes()) GTEST_SKIP() << "every process has a folder of its own";
  // 26 songs in batches of 5: the last batch would have one song and joins the one before.
  const Config c = config({"train.batch_size=5", "train.epochs=2", "train.chunk_size=1"});
  run(1, {.config = c, .run_folder = folder_ / "1"});
  run(8, {.config = c, .run_folder = folder_ / "8"});
  expect_close("8", "1");
}

TEST_F(RanksTraining, ASignalToOneRankStopsAllAndAnotherNumberGoesOn) {
  if (test::ranks_are_processes()) GTEST_SKIP() << "every process has a folder of its own";
  run(1, {.config = config(), .run_folder = folder_ / "whole"});
  std::atomic<int> stopped = 0;
  test::on_ranks(3, [&](Context& ctx) {
    TrainRequest mine{.config = config(), .run_folder = folder_ / "parts"};
    mine.communicator = std::shared_ptr<Communicator>(std::shared_ptr<void>(), &ctx.communicator());
    mine.should_stop = [rank = rank_of(ctx), left = 5]() mutable { return --left <= 0 && rank == 2; };
    EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"after step 5", "--resume"}, [&] { train(mine); }));
    ++stopped;
  });
  EXPECT_EQ(stopped, 3);
  // Another number of ranks, chunks, buckets: how a run is computed may change, what may not.
  run(2, {.config = config({"train.chunk_size=2", "distributed.bucket_mb=0.001"}),
          .run_folder = folder_ / "parts",
          .resume = true});
  expect_close("parts", "whole");
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"train.seed"}, [&] {
    train({.config = config({"train.seed=9"}), .run_folder = folder_ / "parts", .resume = true});
  }));
}

TEST_F(RanksTraining, RanksWithDifferentConfigurationsAreRefusedByName) {
  if (test::ranks_are_processes()) GTEST_SKIP() << "every process has a folder of its own";
  test::on_ranks(3, [&](Context& ctx) {
    const bool other = rank_of(ctx) == 1;
    TrainRequest mine{.config = config(other ? Form{"train.learning_rate=0.1"} : Form{}),
                      .run_folder = folder_ / "run"};
    mine.communicator = std::shared_ptr<Communicator>(std::shared_ptr<void>(), &ctx.communicator());
    EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"rank 1", "configuration"}, [&] { train(mine); }));
  });
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(RanksTraining, AFailureOfOneRankEndsAllNamingIt) {
  if (test::ranks_are_processes()) GTEST_SKIP() << "every process has a folder of its own";
  std::atomic<int> ended = 0;
  try {
    test::on_ranks(3, [&](Context& ctx) {
      TrainRequest mine{.config = config(), .run_folder = folder_ / "run"};
      mine.communicator = std::shared_ptr<Communicator>(std::shared_ptr<void>(), &ctx.communicator());
      mine.should_stop = [rank = rank_of(ctx), left = 3]() mutable -> bool {
        if (--left <= 0 && rank == 1) throw std::runtime_error("out of paper");
        return false;
      };
      if (rank_of(ctx) == 1) {
        EXPECT_THROW(train(mine), std::runtime_error);
      } else {
        EXPECT_TRUE(test::refuses(ErrorKind::kDevice, {"rank 1", "out of paper"}, [&] { train(mine); }));
      }
      ++ended;
    });
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
  EXPECT_EQ(ended, 3);
}

// A thread starts with the machine's threads for its products, whatever another thread was told.
TEST(ThreadShare, ProductsOfEveryRankTakeTheShareOfARank) {
  const test::OneThread one;
#ifdef EMER_THREAD_SANITIZER
  constexpr int kWanted = 1;
#else
  constexpr int kWanted = 3;
#endif
  test::on_ranks(4, [&](Context& ctx) {
    const ThreadShare share(ctx, 3);
    if (ctx.communicator().name() != "threads") return;
    EXPECT_EQ(omp_get_max_threads(), kWanted);
    EXPECT_EQ(thread_count(), 3);
  });
}

}  // namespace
}  // namespace emer
