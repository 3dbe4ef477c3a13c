// Steps on the device, shared by ranks, against the same steps of one: through pinned memory by threads that share the
// device, and over NCCL, where they are recorded.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/collectives.h"
#include "engine/device_steps.h"
#include "tests/engine/run_support.h"
#include "tests/support/device_run.h"
#include "tests/support/nccl_ranks.h"
#include "tests/support/ranks.h"

namespace emer {
namespace {

using RanksDeviceSteps = test::TwinTest;
using Weights = std::vector<std::vector<float>>;

struct Trained {
  std::vector<StepOutcome> outcomes;
  Weights weights;
  std::string why_not_recorded;
};

// 32 songs in batches of 10, the last one of 2: with three ranks the last has none of it. Some weights have no gradient
// but rounding, as a bias has in front of a centred loss: epsilon keeps Adam from making steps of it.
Config ranks_config(const std::string& data, std::vector<std::string> overrides) {
  overrides.insert(overrides.end(), {"train.clip_norm=3", "model.dropout=0.2", "train.epsilon=0.001"});
  return test::small_config(data, overrides);
}

struct Stepper {
  using Leaves = GradientReduction<float>::Leaves;

  Stepper(Context& ctx, const Config& config)
      : data(prepare_data(config)),
        model(ctx, config, input_shape(data.dataset)),
        batches(Batches::shuffled(static_cast<std::int64_t>(data.train.size()), config.train.batch_size, 1)),
        reduction(ctx, initialised(ctx).in_backward_order(), 256,
                  config.distributed.shard_optimizer ? Leaves::kShares : Leaves::kSums),
        optimizer(ctx, model.parameters(), config.train, model.rate_scales(), &reduction),
        steps(ctx, config, model, optimizer, batches, data, &reduction) {}
  DualEncoder<float>& initialised(Context& ctx) {
    model.initialise(ctx, 1);
    return model;
  }
  std::vector<PlannedStep> plan(std::int64_t first, std::int64_t count) const {
    std::vector<PlannedStep> planned;
    for (std::int64_t k = first; k < first + count; ++k)
      planned.push_back({.epoch = 1 + k / batches.per_epoch(),
                         .position = k % batches.per_epoch(),
                         .t = k + 1,
                         .learning_rate = 1e-3});
    return planned;
  }

  PreparedData data;
  DualEncoder<float> model;
  Batches batches;
  GradientReduction<float> reduction;
  Optimizer optimizer;
  DeviceSteps steps;
};

Trained train_steps(Context& ctx, const Config& config, std::int64_t windows, std::int64_t steps_each) {
  Stepper s(ctx, config);
  Trained trained;
  for (std::int64_t w = 0; w < windows; ++w) {
    const std::vector<PlannedStep> planned = s.plan(w * steps_each, steps_each);
    const StepOutcome seen = s.steps.look(planned.front());
    const std::vector<StepOutcome> done = s.steps.run(planned);
    EXPECT_EQ(seen.loss.loss, done.front().loss.loss);
    EXPECT_EQ(seen.gradient_norm, done.front().gradient_norm);
    trained.outcomes.insert(trained.outcomes.end(), done.begin(), done.end());
  }
  for (const Parameter<float>* p : s.model.parameters()) trained.weights.push_back(p->value.to_host(ctx));
  trained.why_not_recorded = s.steps.why_not_recorded();
  return trained;
}

// Ranks sum in another order, so that gradients differ by float's rounding over some hundred terms, about 1e-5 of the
// largest. Of that each of eight steps of at most 0.001 takes its part. An average instead of a sum, or a shard that is
// missing, is off by the size of the numbers themselves.
constexpr double kClose = 1e-4;
void expect_close(const Trained& ranks, const Trained& one) {
  ASSERT_EQ(ranks.outcomes.size(), one.outcomes.size());
  for (std::size_t k = 0; k < one.outcomes.size(); ++k) {
    const auto near = [&](double a, double b, const char* what) {
      EXPECT_LE(std::abs(a - b), kClose * std::max(1.0, std::abs(b)))
          << what << " of step " << k << ": " << a << ", one rank " << b;
    };
    near(ranks.outcomes[k].loss.cca, one.outcomes[k].loss.cca, "cca");
    near(ranks.outcomes[k].loss.kl, one.outcomes[k].loss.kl, "kl");
    near(ranks.outcomes[k].gradient_norm, one.outcomes[k].gradient_norm, "gradient norm");
  }
  ASSERT_EQ(ranks.weights.size(), one.weights.size());
  for (std::size_t p = 0; p < one.weights.size(); ++p) {
    for (std::size_t i = 0; i < one.weights[p].size(); ++i)
      ASSERT_NEAR(ranks.weights[p][i], one.weights[p][i], 8 * 0.001 * kClose) << "parameter " << p;
  }
}

struct OnRanks {
  std::vector<Trained> of;
  std::mutex mutex;
  void operator()(Context& ctx, const Config& config) {
    Trained trained = train_steps(ctx, config, 2, 4);
    const std::lock_guard lock(mutex);
    of.push_back(std::move(trained));
  }
  void expect_alike() const {
    for (const Trained& trained : of) {
      EXPECT_EQ(trained.weights, of.front().weights) << "ranks have different weights";
      for (std::size_t k = 0; k < of.front().outcomes.size(); ++k) {
        EXPECT_EQ(trained.outcomes[k].loss.loss, of.front().outcomes[k].loss.loss);
        EXPECT_EQ(trained.outcomes[k].gradient_norm, of.front().outcomes[k].gradient_norm);
      }
    }
  }
};

struct Case {
  bool sequences;
  std::vector<std::string> overrides;
};
const std::vector<Case> kCases = {
    {false, {"loss.lambda=0"}},
    {true, {"loss.lambda=0.5", "model.music.kind=bigru"}},
    {false,
     {"loss.lambda=1", "loss.cca.form=exact", "train.chunk_size=2", "distributed.shard_optimizer=true"}},
};

TEST_F(RanksDeviceSteps, OfThreadsThatShareTheDeviceTakeTheStepsOfOneRank) {
  const test::UncheckedAccesses unchecked;
  for (const auto& [sequences, overrides] : kCases) {
    SCOPED_TRACE(overrides.front());
    const test::TemporaryFolder folder;
    const Config config = ranks_config(test::small_data(folder, sequences), overrides);
    Context alone(DeviceKind::kCuda);
    const Trained one = train_steps(alone, config, 2, 4);
    for (const int ranks : {2, 3}) {
      OnRanks trained;
      test::on_ranks(
          ranks, [&](Context& ctx) { trained(ctx, config); }, DeviceKind::kCuda);
      trained.expect_alike();
      expect_close(trained.of.front(), one);
      EXPECT_EQ(trained.of.front().why_not_recorded, "ranks exchange arrays through host memory (threads)");
    }
  }
}

TEST_F(RanksDeviceSteps, OverNcclTakeTheStepsOfOneRankAndAreRecorded) {
  if (const std::string reason = test::no_nccl_reason(); !reason.empty()) GTEST_SKIP() << reason;
  const test::UncheckedAccesses unchecked;
  for (const auto& [sequences, overrides] : kCases) {
    SCOPED_TRACE(overrides.front());
    const test::TemporaryFolder folder;
    const Config config = ranks_config(test::small_data(folder, sequences), overrides);
    Context alone(DeviceKind::kCuda);
    const Trained one = train_steps(alone, config, 2, 4);
    for (int ranks = 1; ranks <= test::kMostNcclRanks; ++ranks) {
      OnRanks trained;
      test::on_nccl_ranks(ranks, [&](Context& ctx) { trained(ctx, config); });
      trained.expect_alike();
      expect_close(trained.of.front(), one);
      for (const Trained& t : trained.of) EXPECT_EQ(t.why_not_recorded, "");
    }
  }
}

// A recorded step is of no use after its arena has grown. Where that is one rank's, all run the step unrecorded once
// more: alone it would wait for the others in exchanges that they do not make.
TEST_F(RanksDeviceSteps, AnArenaThatGrowsOnOneRankMakesAllRecordAgain) {
  if (const std::string reason = test::no_nccl_reason(); !reason.empty()) GTEST_SKIP() << reason;
  const test::UncheckedAccesses unchecked;
  const test::TemporaryFolder folder;
  const Config config = ranks_config(test::small_data(folder), {"loss.lambda=0.5"});
  const auto losses = [&](bool grows) {
    std::vector<double> of_rank_0;
    test::on_nccl_ranks(test::kMostNcclRanks, [&](Context& ctx) {
      Stepper s(ctx, config);
      s.steps.run(s.plan(0, 4));
      if (grows && rank_of(ctx) == ranks_of(ctx) - 1) {
        const ArenaScope scope(ctx);
        ctx.scratch<std::byte>(2 * ctx.arena().capacity());
      }
      const std::vector<StepOutcome> outcomes = s.steps.run(s.plan(4, 4));
      EXPECT_EQ(s.steps.why_not_recorded(), "");
      if (rank_of(ctx) != 0) return;
      for (const StepOutcome& outcome : outcomes) of_rank_0.push_back(outcome.loss.loss);
    });
    return of_rank_0;
  };
  const std::vector<double> grown = losses(true);
  EXPECT_EQ(grown.size(), 4u);
  EXPECT_EQ(grown, losses(false));
}

// What is wrong on one rank alone reaches the loss of all, which stop at the same step.
TEST_F(RanksDeviceSteps, AStepThatIsNotFiniteOnOneRankStopsAll) {
  if (const std::string reason = test::no_nccl_reason(); !reason.empty()) GTEST_SKIP() << reason;
  const test::UncheckedAccesses unchecked;
  const test::TemporaryFolder folder;
  const Config config = ranks_config(test::small_data(folder), {"loss.lambda=0.5"});
  test::on_nccl_ranks(test::kMostNcclRanks, [&](Context& ctx) {
    Stepper s(ctx, config);
    s.steps.run(s.plan(0, 2));
    Parameter<float>& bias = *s.model.parameters().front();
    if (rank_of(ctx) == ranks_of(ctx) - 1) {
      std::vector<float> values = bias.value.to_host(ctx);
      values[0] = std::numeric_limits<float>::quiet_NaN();
      bias.value.from_host(ctx, values);
    }
    const std::vector<float> before = bias.value.to_host(ctx);
    const std::vector<StepOutcome> outcomes = s.steps.run(s.plan(2, 3));
    ASSERT_EQ(outcomes.size(), 1u);
    EXPECT_FALSE(outcomes.front().finite());
    const std::vector<float> after = bias.value.to_host(ctx);
    EXPECT_EQ(std::memcmp(before.data(), after.data(), before.size() * sizeof(float)), 0) << "updated";
  });
}

}  // namespace
}  // namespace emer
