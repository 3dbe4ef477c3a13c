// Steps on the device, shared by ranks, against the same steps of one: through pinned memory by threads that share the
// device, and over NCCL, where they are recorded.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
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

Trained train_steps(Context& ctx, const Config& config, std::int64_t windows, std::int64_t steps_each) {
  const PreparedData data = prepare_data(config);
  DualEncoder<float> model(ctx, config, input_shape(data.dataset));
  model.initialise(ctx, 1);
  Batches batches =
      Batches::shuffled(static_cast<std::int64_t>(data.train.size()), config.train.batch_size, 1);
  using Leaves = GradientReduction<float>::Leaves;
  GradientReduction<float> reduction(ctx, model.in_backward_order(), 256,
                                     config.distributed.shard_optimizer ? Leaves::kShares : Leaves::kSums);
  Optimizer optimizer(ctx, model.parameters(), config.train, model.rate_scales(), &reduction);
  DeviceSteps steps(ctx, config, model, optimizer, batches, data, &reduction);
  Trained trained;
  for (std::int64_t w = 0; w < windows; ++w) {
    std::vector<PlannedStep> planned;
    for (std::int64_t k = w * steps_each; k < (w + 1) * steps_each; ++k)
      planned.push_back({.epoch = 1 + k / batches.per_epoch(),
                         .position = k % batches.per_epoch(),
                         .t = k + 1,
                         .learning_rate = 1e-3});
    const StepOutcome seen = steps.look(planned.front());
    const std::vector<StepOutcome> done = steps.run(planned);
    EXPECT_EQ(seen.loss.loss, done.front().loss.loss);
    EXPECT_EQ(seen.gradient_norm, done.front().gradient_norm);
    trained.outcomes.insert(trained.outcomes.end(), done.begin(), done.end());
  }
  for (const Parameter<float>* p : model.parameters()) trained.weights.push_back(p->value.to_host(ctx));
  trained.why_not_recorded = steps.why_not_recorded();
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
      EXPECT_NE(trained.of.front().why_not_recorded, "") << "copies through the host cannot be recorded";
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

}  // namespace
}  // namespace emer
