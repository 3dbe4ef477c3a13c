// Whole runs on a CUDA device by several ranks: threads that share it, through pinned memory, and ranks over NCCL, whose
// steps are recorded. With validation, averages, checkpoints, a stop, and resuming on another number of ranks.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/collectives.h"
#include "engine/trainer.h"
#include "tests/engine/run_support.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/nccl_ranks.h"
#include "tests/support/ranks.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

class RanksTrainingTwin : public test::TwinTest {
 protected:
  using Body = std::function<void(Context&)>;

  Config config(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {"device=cuda",       "model.music.kind=bigru", "train.clip_norm=50",
                                    "train.ema=0.9",     "train.epochs=4",         "train.batch_size=9",
                                    "model.dropout=0.2", "train.epsilon=0.001",    "train.validate_every=2"};
    all.insert(all.end(), more.begin(), more.end());
    return test::small_config(data_, all);
  }
  // The ranks' contexts are train()'s own; those given to the body lend their communicator.
  static void train_on(Context& ctx, TrainRequest request) {
    request.communicator = std::shared_ptr<Communicator>(std::shared_ptr<void>(), &ctx.communicator());
    train(request);
  }
  static void over(bool nccl, int ranks, const Body& body) {
    nccl ? test::on_nccl_ranks(ranks, body) : test::on_ranks(ranks, body);
  }
  void expect_close(const std::string& got, const std::string& want) {
    const auto a = test::read_lines(folder_ / got + "/metrics.jsonl"),
               b = test::read_lines(folder_ / want + "/metrics.jsonl");
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < b.size(); ++i) {
      EXPECT_EQ(a[i].value("step", -1), b[i].value("step", -1));
      // Float's rounding in sums of another order, about 1e-5 of a gradient, over sixteen steps.
      for (const char* what : {"loss", "gradient_norm"})
        EXPECT_TRUE(test::near_relative(a[i].value(what, 1.0), b[i].value(what, 1.0), 1e-3))
            << what << " of line " << i;
    }
  }

  const test::UncheckedAccesses unchecked_;
  test::TemporaryFolder folder_;
  std::string data_ = test::small_data(folder_, true);
};

TEST_F(RanksTrainingTwin, RunsOfSeveralRanksAreTheRunOfOne) {
  train({.config = config(), .run_folder = folder_ / "1"});
  for (const bool nccl : {false, true}) {
    if (nccl && !test::no_nccl_reason().empty()) continue;
    const int ranks = nccl ? test::kMostNcclRanks : 3;
    const std::string name = nccl ? "nccl" : "threads";
    over(nccl, ranks,
         [&](Context& ctx) { train_on(ctx, {.config = config(), .run_folder = folder_ / name}); });
    SCOPED_TRACE(name);
    expect_close(name, "1");
    const auto facts = nlohmann::json::parse(test::read_text(folder_ / name + "/environment.json"));
    EXPECT_EQ(facts["ranks"], ranks);
    EXPECT_EQ(facts["communicator"], name);
  }
}

TEST_F(RanksTrainingTwin, AStoppedRunGoesOnWithAnotherNumberOfRanksAndShards) {
  train({.config = config(), .run_folder = folder_ / "whole"});
  const bool nccl = test::kMostNcclRanks > 1;
  over(nccl, 2, [&](Context& ctx) {
    TrainRequest request{.config = config({"distributed.shard_optimizer=true"}),
                         .run_folder = folder_ / "parts"};
    request.should_stop = [rank = rank_of(ctx), left = 2]() mutable { return --left <= 0 && rank == 1; };
    EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"stopped by a signal"}, [&] { train_on(ctx, request); }));
  });
  over(false, 3, [&](Context& ctx) {
    train_on(ctx, {.config = config(), .run_folder = folder_ / "parts", .resume = true});
  });
  expect_close("parts", "whole");
}

}  // namespace
}  // namespace emer
