// Checkpoints of several ranks: runs with the optimiser's state in shares, state written in shards, and ranks that cannot
// write.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "core/collectives.h"
#include "engine/agreement.h"
#include "engine/checkpoint.h"
#include "engine/checkpoint_files.h"
#include "tests/engine/run_support.h"
#include "tests/support/one_thread.h"
#include "tests/support/ranks.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

class RanksCheckpoint : public ::testing::Test {
 protected:
  // Of ranks that are processes the first one's folder and data, which stay until all have done with it.
  void SetUp() override {
    if (!test::ranks_are_processes()) return;
    Context ctx(DeviceKind::kCpu, mpi_communicator(test::kTestTimeout));
    base_ = agreed_text(ctx, base_);
    data_ = agreed_text(ctx, data_);
  }
  void TearDown() override {
    if (test::ranks_are_processes()) mpi_communicator(test::kTestTimeout)->barrier();
  }
  void run(int ranks, TrainRequest request) {
    test::on_ranks(ranks, [&](Context& ctx) {
      TrainRequest mine = request;
      mine.communicator = std::shared_ptr<Communicator>(std::shared_ptr<void>(), &ctx.communicator());
      train(mine);
    });
  }
  Config config(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {"model.music.kind=bigru", "train.clip_norm=50",
                                    "train.ema=0.9",          "train.optimizer=adamw",
                                    "train.epochs=2",         "distributed.bucket_mb=0.002"};
    all.insert(all.end(), more.begin(), more.end());
    return test::small_config(data_, all);
  }

  const test::OneThread one_;
  test::TemporaryFolder folder_;
  std::string base_ = folder_ / "";
  std::string data_ = test::small_data(folder_, true);
};

TEST_F(RanksCheckpoint, ARunInSharesIsTheSameRun) {
  if (!test::has_world_of(3)) GTEST_SKIP() << "another world";
  run(3, {.config = config(), .run_folder = base_ + "plain"});
  run(3, {.config = config({"distributed.shard_optimizer=true"}), .run_folder = base_ + "shares"});
  EXPECT_EQ(test::repeatable_metrics(base_ + "shares"), test::repeatable_metrics(base_ + "plain"));
  for (const char* name : {"last", "best"})
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "ema.safetensors"})
      EXPECT_EQ(test::tensor_values(base_ + "shares" + "/checkpoints/" + name + "/" + file),
                test::tensor_values(base_ + "plain" + "/checkpoints/" + name + "/" + file))
          << name << ", " << file;
}

TEST_F(RanksCheckpoint, ARunInSharesGoesOnWithoutThemAndBack) {
  if (!test::has_world_of(3)) GTEST_SKIP() << "another world";
  run(3, {.config = config({"train.epochs=4"}), .run_folder = base_ + "whole"});
  const Config shares = config({"distributed.shard_optimizer=true"});
  run(3, {.config = shares, .run_folder = base_ + "parts"});
  run(3, {.config = config({"train.epochs=3"}), .run_folder = base_ + "parts", .resume = true});
  run(3, {.config = config({"train.epochs=4", "distributed.shard_optimizer=true"}),
          .run_folder = base_ + "parts",
          .resume = true});
  EXPECT_EQ(test::repeatable_metrics(base_ + "parts"), test::repeatable_metrics(base_ + "whole"));
  EXPECT_EQ(test::tensor_values(base_ + "parts" + "/checkpoints/last/ema.safetensors"),
            test::tensor_values(base_ + "whole" + "/checkpoints/last/ema.safetensors"));
}

// What a run saves, without the run.
struct Saved {
  Context& ctx;
  Config config;
  PreparedData data;
  DualEncoder<float> model;
  ParameterList<float> parameters;
  GradientReduction<float> reduction;
  Optimizer optimizer;

  Saved(Context& context, const Config& c)
      : ctx(context),
        config(c),
        data(prepare_data(c)),
        model(ctx, c, input_shape(data.dataset)),
        parameters(model.parameters()),
        reduction(ctx, model.in_backward_order(), 2000, GradientReduction<float>::Leaves::kShares),
        optimizer(ctx, parameters, c.train, {}, &reduction) {
    model.initialise(ctx, 5);
    optimizer.reset_average(ctx);
  }
  // The gradient is the weights themselves, all of it on the first rank: any number of ranks takes the same step.
  void step() {
    reduction.arm();
    for (Parameter<float>* p : model.in_backward_order()) {
      std::vector<float> values = p->value.to_host(ctx);
      if (rank_of(ctx) != 0) values.assign(values.size(), 0.0f);
      p->gradient.from_host(ctx, values);
      p->gradient_is_complete();
    }
    reduction.finish();
    optimizer.step(ctx, 0.01, 1.0);
  }
  void save(const std::string& folder, std::int64_t step) {
    TrainingState state;
    state.step = step;
    save_checkpoint(ctx, folder, "last",
                    {.config = config,
                     .data = data,
                     .parameters = parameters,
                     .optimizer = optimizer,
                     .state = state,
                     .shard_optimizer_above = 0});
  }
  std::vector<std::vector<float>> weights() {
    std::vector<std::vector<float>> all;
    for (const Parameter<float>* p : parameters) all.push_back(p->value.to_host(ctx));
    return all;
  }
};

TEST_F(RanksCheckpoint, StateInShardsGoesOnAnywhere) {
  if (!test::has_world_of(4)) GTEST_SKIP() << "another world";
  const std::string last = base_ + "last";
  std::vector<std::vector<float>> three_steps;
  test::on_ranks(4, [&](Context& ctx) {
    Saved run(ctx, config());
    run.step();
    run.step();
    run.save(base_ + "", 2);
    for (int rank = 0; rank < 4; ++rank)
      EXPECT_TRUE(fs::exists(optimizer_shard_path(last + "/optimizer.safetensors", rank, 4)));
    EXPECT_FALSE(fs::exists(last + "/optimizer.safetensors"));
    run.step();
    if (rank_of(ctx) == 0 || test::ranks_are_processes()) three_steps = run.weights();
  });
  EXPECT_EQ(load_state(last).step, 2);
  for (const int ranks : {1, 2, 3, 4})
    test::on_ranks(ranks, [&](Context& ctx) {
      Saved run(ctx, config());
      load_weights(ctx, run.parameters, last + "/model.safetensors", ExtraTensors::kRefuse);
      run.optimizer.load(ctx, last + "/optimizer.safetensors");
      run.optimizer.load_average(ctx, last + "/ema.safetensors");
      EXPECT_EQ(run.optimizer.steps(), 2);
      run.step();
      EXPECT_EQ(run.weights(), three_steps) << ranks << " ranks";
    });
}

TEST_F(RanksCheckpoint, ARankThatCannotWriteFailsAllAndTheOldOneStays) {
  const std::string folder = base_ + "checkpoints", last = folder + "/last";
  for (const int culprit : {0, 2}) {
    test::on_ranks(3, [&](Context& ctx) {
      Saved run(ctx, config());
      run.step();
      run.save(folder, 1);
      run.step();
      const std::string mine = rank_of(ctx) == culprit ? "/dev/null/nowhere" : folder;
      EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"/dev/null/nowhere"}, [&] { run.save(mine, 2); }));
      ctx.communicator().barrier();
      EXPECT_EQ(load_state(last).step, 1);
      EXPECT_TRUE(culprit == 0 || !fs::exists(last + ".new"));
      run.optimizer.load(ctx, last + "/optimizer.safetensors");
      EXPECT_EQ(run.optimizer.steps(), 1);
      ctx.communicator().barrier();
      run.save(folder, 3);  // the next try
      EXPECT_EQ(load_state(last).step, 3);
    });
  }
}

// Files may not grow beyond a thousand bytes, which the weights do: what an interrupted replacement left, whole but not
// yet under its name, must not have been cleared away for a save that fails.
TEST_F(RanksCheckpoint, AFailedSaveKeepsWhatAnInterruptionLeft) {
  if (test::ranks_are_processes()) GTEST_SKIP() << "of one rank";
  const std::string folder = base_ + "checkpoints", last = folder + "/last";
  for (const char* suffix : {".new", ".old"}) {
    Context ctx;
    Saved run(ctx, config());
    run.save(folder, 1);
    fs::rename(last, last + suffix);
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{1000, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const auto refused = test::refuses(ErrorKind::kRunFailed, {"cannot write", "model.safetensors"},
                                       [&] { run.save(folder, 2); });
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_TRUE(refused);
    ASSERT_EQ(find_complete(folder, "last"), last);
    EXPECT_EQ(load_state(last).step, 1);
  }
}

TEST_F(RanksCheckpoint, ADamagedShardIsNamed) {
  if (test::ranks_are_processes()) GTEST_SKIP() << "damaged once for all";
  test::on_ranks(3, [&](Context& ctx) {
    Saved run(ctx, config());
    run.step();
    run.save(base_ + "", 1);
  });
  const std::string last = base_ + "last";
  EXPECT_NO_THROW(check_files(last));
  const std::string shard = optimizer_shard_path(last + "/optimizer.safetensors", 1, 3);
  std::string bytes = test::read_text(shard);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);  // of a moment, which any value fits
  test::write_text(shard, bytes);
  EXPECT_TRUE(
      test::refuses_input({"optimizer-00002-of-00003.safetensors", "damaged"}, [&] { check_files(last); }));
}

TEST_F(RanksCheckpoint, AShardThatRankZeroDoesNotSeeIsNamed) {
  if (!test::has_world_of(3)) GTEST_SKIP() << "another world";
  fs::create_directories(base_ + "elsewhere/last.new");
  test::on_ranks(3, [&](Context& ctx) {
    Saved run(ctx, config());
    const std::string mine = base_ + (rank_of(ctx) == 1 ? "elsewhere" : "here");
    EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed,
                              {"optimizer-00002-of-00003.safetensors", "rank 0 does not see it"},
                              [&] { run.save(mine, 1); }));
  });
  EXPECT_FALSE(fs::exists(base_ + "here/last"));
  EXPECT_FALSE(fs::exists(base_ + "here/last.new"));
}

}  // namespace
}  // namespace emer
