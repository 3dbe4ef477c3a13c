// What the host does while the device trains: nothing but to fill a table and to read a log.
#include <gtest/gtest.h>

#include "engine/device_steps.h"
#include "engine/trainer.h"
#include "tests/engine/run_support.h"
#include "tests/support/device_run.h"

namespace emer {
namespace {

using DeviceStepsTwin = test::TwinTest;

struct Fixture {
  explicit Fixture(const std::vector<std::string>& overrides, bool patches = false)
      : config(test::small_config(patches ? test::small_patch_data(folder) : test::small_data(folder, true),
                                  overrides)),
        ctx(DeviceKind::kCuda),
        data(prepare_data(config)),
        model(ctx, config, input_shape(data.dataset)),
        batches(Batches::shuffled(static_cast<std::int64_t>(data.train.size()), config.train.batch_size, 1)) {
    model.initialise(ctx, 1);
    optimizer = std::make_unique<Optimizer>(ctx, model.parameters(), config.train);
    steps = std::make_unique<DeviceSteps>(ctx, config, model, *optimizer, batches, data);
  }
  // `count` steps from the first batch of an epoch on.
  std::vector<PlannedStep> plan(std::int64_t count) {
    std::vector<PlannedStep> planned;
    const std::int64_t per_epoch = batches.per_epoch();
    for (std::int64_t k = 0; k < count; ++k)
      planned.push_back({.epoch = 1 + k / per_epoch,
                         .position = k % per_epoch,
                         .t = optimizer->steps() + 1 + k,
                         .learning_rate = 1e-3});
    return planned;
  }
  std::vector<std::vector<float>> weights() {
    std::vector<std::vector<float>> all;
    for (const Parameter<float>* p : model.parameters()) all.push_back(p->value.to_host(ctx));
    return all;
  }

  test::TemporaryFolder folder;
  Config config;
  Context ctx;
  PreparedData data;
  DualEncoder<float> model;
  Batches batches;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<DeviceSteps> steps;
};

const std::vector<std::string> kRecurrent{"model.music.kind=bigru", "train.clip_norm=3", "train.ema=0.9"};

TEST_F(DeviceStepsTwin, LookingChangesNothingAndSeesWhatTheStepSees) {
  Fixture f(kRecurrent);
  const auto before = f.weights();
  const StepOutcome seen = f.steps->look(f.plan(1).front());
  EXPECT_EQ(f.weights(), before);
  EXPECT_EQ(f.optimizer->steps(), 0);
  const std::vector<StepOutcome> done = f.steps->run(f.plan(1));
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].loss.loss, seen.loss.loss);
  EXPECT_EQ(done[0].gradient_norm, seen.gradient_norm);
  EXPECT_NE(f.weights(), before);
  EXPECT_EQ(f.optimizer->steps(), 1);
}

TEST_F(DeviceStepsTwin, AStepThatIsNotFiniteAndThoseBehindItLeaveTheWeights) {
  Fixture f(kRecurrent);
  f.steps->run(f.plan(2));
  Parameter<float>& projection = *f.model.parameters().back();
  std::vector<float> poisoned = projection.value.to_host(f.ctx);
  poisoned[0] = std::numeric_limits<float>::infinity();
  projection.value.from_host(f.ctx, poisoned);
  const auto before = f.weights();
  const std::vector<StepOutcome> outcomes = f.steps->run(f.plan(5));
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_FALSE(outcomes[0].finite());
  EXPECT_EQ(f.weights(), before);
  EXPECT_EQ(f.optimizer->steps(), 2);
}

#ifdef EMER_SIMT
TEST_F(DeviceStepsTwin, RecordedStepsNeedNoMemoryAndNoWaiting) {
  Fixture f(kRecurrent);
  f.steps->run(f.plan(f.batches.per_epoch()));  // every batch size once
  ASSERT_EQ(f.steps->why_not_recorded(), "");
  simt::reset_statistics();
  const std::int64_t count = 3 * f.batches.per_epoch();
  f.steps->run(f.plan(count));
  const simt::Statistics happened = simt::statistics();
  EXPECT_EQ(happened.allocations, 0u);
  EXPECT_EQ(happened.graphs, 0u) << "steps were recorded again";
  EXPECT_EQ(happened.graph_launches, static_cast<std::uint64_t>(count));
  EXPECT_EQ(happened.copies_to_host, 1u) << "the log";
  EXPECT_EQ(happened.copies_to_device, 1u) << "the table";
  EXPECT_LE(happened.synchronisations, 2u);
}

TEST_F(DeviceStepsTwin, StepsByChunksAreRecordedAndDoWhatWholeOnesDo) {
  std::vector<std::string> chunked = kRecurrent;
  chunked.push_back(
      "train.chunk_size=4");  // batches of 10 and 6: three chunks and two, the last ones smaller
  Fixture whole(kRecurrent), f(chunked);
  const std::int64_t epoch = f.batches.per_epoch();
  const std::vector<StepOutcome> want = whole.steps->run(whole.plan(epoch)),
                                 got = f.steps->run(f.plan(epoch));
  ASSERT_EQ(f.steps->why_not_recorded(), "");
  ASSERT_EQ(got.size(), want.size());
  // Sums of ten rows in another order, three steps of Adam: hundreds of roundings of 6e-8.
  for (std::size_t k = 0; k < want.size(); ++k) {
    EXPECT_NEAR(got[k].loss.loss, want[k].loss.loss, 1e-4 * std::abs(want[k].loss.loss)) << k;
    EXPECT_NEAR(got[k].gradient_norm, want[k].gradient_norm, 1e-4 * want[k].gradient_norm) << k;
  }
  simt::reset_statistics();
  f.steps->run(f.plan(epoch));
  EXPECT_EQ(simt::statistics().allocations, 0u);
  EXPECT_EQ(simt::statistics().graphs, 0u);
}

TEST_F(DeviceStepsTwin, StepsFromPatchesNeedNoMemoryEither) {
  const test::UncheckedAccesses unchecked;
  Fixture f(test::small_vggish("vggish_bigru",
                               {"model.vggish={channels: [1, 1, 1, 1, 1, 1], dense: [4, 4, 3], piece: 3}",
                                "train.random_patches=1", "train.batch_size=8"}),
            true);
  f.steps->run(f.plan(f.batches.per_epoch()));
  ASSERT_EQ(f.steps->why_not_recorded(), "");
  simt::reset_statistics();
  f.steps->run(f.plan(f.batches.per_epoch()));
  EXPECT_EQ(simt::statistics().allocations, 0u);
  EXPECT_EQ(simt::statistics().graphs, 0u);
}

TEST_F(DeviceStepsTwin, ValidationBetweenEpochsDoesNotMakeStepsBeRecordedAgain) {
  const test::TemporaryFolder folder;
  const Config config =
      test::small_config(test::small_data(folder, true),
                         {"device=cuda", "model.music.kind=bigru", "train.epochs=8", "train.ema=0.9"});
  simt::reset_statistics();
  train({.config = config, .run_folder = folder / "run"});
  // Two batch sizes, three batches an epoch. The first validation may enlarge what both use, once.
  EXPECT_LE(simt::statistics().graphs, 4u);
  EXPECT_GE(simt::statistics().graph_launches, 8u * 3u);
}
#endif

}  // namespace
}  // namespace emer
