// Gradients summed over ranks, and the optimiser on several ranks, on CUDA: as on the CPU; sharded as not sharded;
// recorded as not recorded.
#include <gtest/gtest.h>

#include <cmath>

#include "core/work_graph.h"
#include "tests/engine/rank_model.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/nccl_ranks.h"
#include "tests/support/ranks.h"

namespace emer::test {
namespace {

using ReductionTwin = TwinTest;
using Arrays = std::vector<std::vector<float>>;

constexpr int kSteps = 3;
constexpr double kClip = 10.0;  // of gradients of norm 250

struct Followed {
  Arrays weights, averages;
  double norm = 0.0;
};

Followed on_one_cpu(OptimizerKind kind) {
  Context ctx;
  RankModel model(ctx, rank_train(kind), Ranked::kPlain);
  Followed result;
  for (std::int64_t t = 1; t <= kSteps; ++t) result.norm = model.step(t, kClip);
  result.weights = model.weights();
  result.averages = model.averages();
  return result;
}

// Gradients sum exactly, so that only the updates round: 12 times a step each way, and the norm.
void follows(Context& ctx, OptimizerKind kind, const Followed& one) {
  RankModel plain(ctx, rank_train(kind), Ranked::kPlain), sharded(ctx, rank_train(kind), Ranked::kSharded);
  double norm = 0.0;
  for (std::int64_t t = 1; t <= kSteps; ++t) {
    norm = plain.step(t, kClip);
    EXPECT_EQ(sharded.step(t, kClip), norm);
    EXPECT_EQ(sharded.weights(), plain.weights());
  }
  EXPECT_TRUE(near_relative(norm, one.norm, 8030 * 1.2e-16));
  const Arrays weights = plain.weights(), averages = plain.averages();
  EXPECT_EQ(sharded.averages(), averages);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_TRUE(near_relative(weights[i], one.weights[i], 2 * kSteps * 12 * 6e-8)) << "array " << i;
    EXPECT_TRUE(near_relative(averages[i], one.averages[i], 2 * kSteps * 12 * 6e-8)) << "array " << i;
  }
}

TEST_F(ReductionTwin, FollowsTheCpuOverThreads) {
  for (const OptimizerKind kind : {OptimizerKind::kAdamTf, OptimizerKind::kAdamW}) {
    const Followed one = on_one_cpu(kind);
    for (const int ranks : {1, 2, 3})
      on_ranks(
          ranks, [&](Context& ctx) { follows(ctx, kind, one); }, DeviceKind::kCuda);
  }
}

TEST_F(ReductionTwin, FollowsTheCpuOverNccl) {
  if (!no_nccl_reason().empty()) GTEST_SKIP() << no_nccl_reason();
  const Followed one = on_one_cpu(OptimizerKind::kAdam);
  for (int ranks = 1; ranks <= kMostNcclRanks; ++ranks)
    on_nccl_ranks(ranks, [&](Context& ctx) { follows(ctx, OptimizerKind::kAdam, one); });
}

// What a recorded step does behind its backward pass.
void enqueue(RankModel& model, double* squares, const StepScalars* scalars) {
  model.reduce();
  model.optimizer->sum_squared_gradients(model.ctx, squares);
  model.optimizer->step_from(model.ctx, scalars);
}

TEST_F(ReductionTwin, IsRecordedOverNccl) {
  if (!no_nccl_reason().empty()) GTEST_SKIP() << no_nccl_reason();
  const TrainConfig train = rank_train(OptimizerKind::kAdamW);
  for (int ranks = 1; ranks <= kMostNcclRanks; ++ranks)
    for (const Ranked ranked : {Ranked::kPlain, Ranked::kSharded})
      on_nccl_ranks(ranks, [&](Context& ctx) {
        RankModel plain(ctx, train, Ranked::kPlain), recorded(ctx, train, ranked);
        Tensor<StepScalars> scalars(ctx, {1});
        Tensor<double> squares(ctx, {1});
        const auto set_scalars = [&](std::int64_t t, std::int32_t halted) {
          scalars.from_host(ctx, std::vector<StepScalars>{
                                     {.t = t,
                                      .learning_rate = 0.01 / static_cast<double>(t),
                                      .beta1_correction = 1 - std::pow(train.beta1, static_cast<double>(t)),
                                      .beta2_correction = 1 - std::pow(train.beta2, static_cast<double>(t)),
                                      .gradient_scale = 0.5,
                                      .halted = halted}});
        };
        set_scalars(1, 1);
        enqueue(recorded, squares.data(), scalars.data());  // makes the buffers, changes nothing
        WorkGraph graph(ctx, [&] { enqueue(recorded, squares.data(), scalars.data()); });
        for (std::int64_t t = 1; t <= 2; ++t) {
          plain.backward(t);
          const double norm = plain.optimizer->gradient_norm(ctx);
          plain.optimizer->step(ctx, 0.01 / static_cast<double>(t), 0.5);
          recorded.set_gradients(t);
          set_scalars(t, 0);
          graph.launch(ctx);
          EXPECT_EQ(std::sqrt(squares.to_host(ctx)[0]), norm);
          EXPECT_EQ(recorded.weights(), plain.weights());
          EXPECT_EQ(recorded.averages(), plain.averages());
          for (const Parameter<float>* p : recorded.list)
            EXPECT_EQ(p->gradient.to_host(ctx), std::vector<float>(p->gradient.size(), 0.0f)) << p->name;
        }
      });
}

}  // namespace
}  // namespace emer::test
