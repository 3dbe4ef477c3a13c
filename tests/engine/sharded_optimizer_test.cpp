// Optimiser state kept in shares (ZeRO-1) gives the weights that whole state gives, to the bit.
#include <gtest/gtest.h>

#include "tests/engine/rank_model.h"
#include "tests/support/compare.h"
#include "tests/support/ranks.h"

namespace emer {
namespace {

using test::Ranked;
using test::RankModel;

constexpr OptimizerKind kKinds[] = {OptimizerKind::kAdamTf, OptimizerKind::kAdam, OptimizerKind::kAdamW};

TEST(ShardedOptimizer, IsTheUnshardedOneToTheBit) {
  for (const OptimizerKind kind : kKinds)
    for (const int ranks : {2, 3, 4, 8})
      for (const std::size_t bucket : {0, 4000, 1000000})
        test::on_ranks(ranks, [&](Context& ctx) {
          SCOPED_TRACE(testing::Message() << "kind " << static_cast<int>(kind) << ", " << ranks
                                          << " ranks, buckets of " << bucket);
          const TrainConfig train = test::rank_train(kind);
          RankModel plain(ctx, train, Ranked::kPlain, bucket), sharded(ctx, train, Ranked::kSharded, bucket);
          for (std::int64_t t = 1; t <= 3; ++t) {
            const double clip = t == 2 ? 10.0 : 0.0;  // 8030 gradients of deviation 0.56 sqrt(24)
            const double norm = plain.step(t, clip);
            EXPECT_GT(norm, 100.0);
            EXPECT_EQ(sharded.step(t, clip), norm);
            EXPECT_EQ(sharded.weights(), plain.weights());
            EXPECT_EQ(sharded.averages(), plain.averages());
            EXPECT_NE(sharded.averages(), plain.weights());
          }
          EXPECT_EQ(sharded.optimizer->steps(), 3);
        });
}

// The gradients are such that their sums are exact, so any number of ranks takes the steps of one.
TEST(ShardedOptimizer, IsOneRankToTheBit) {
  for (const OptimizerKind kind : kKinds) {
    const TrainConfig train = test::rank_train(kind);
    Context alone;
    RankModel one(alone, train, Ranked::kSharded);
    const std::vector<std::vector<float>> start = one.weights();
    double norm = 0;
    for (std::int64_t t = 1; t <= 3; ++t) norm = one.step(t, 0.0);
    EXPECT_NE(one.weights()[0], start[0]);
    EXPECT_EQ(one.weights()[2], start[2]) << "frozen";
    const auto weights = one.weights(),
               averages = one.averages();  // ranks as threads do not share its context
    for (const int ranks : {2, 3, 4, 8})
      for (const Ranked ranked : {Ranked::kPlain, Ranked::kSharded})
        test::on_ranks(ranks, [&](Context& ctx) {
          RankModel many(ctx, train, ranked);
          double norm_of_many = 0;
          for (std::int64_t t = 1; t <= 3; ++t) norm_of_many = many.step(t, 0.0);
          EXPECT_TRUE(test::near_relative(norm_of_many, norm, 8030 * 1.2e-16));
          EXPECT_EQ(many.weights(), weights);
          EXPECT_EQ(many.averages(), averages);
        });
  }
}

TEST(ShardedOptimizer, KeepsItsShareOnly) {
  test::on_ranks(4, [](Context& ctx) {
    RankModel model(ctx, test::rank_train(OptimizerKind::kAdam), Ranked::kSharded);
    std::int64_t own = 0;
    for (const auto& part : model.reduction->own()) own += part.count;
    std::int64_t all = 0;
    for (const std::int64_t count : gather_values(ctx, own)) all += count;
    EXPECT_EQ(all, 37 * 50 + 50 + 6000 + 1 + 129);
    EXPECT_LT(own, all / 2);
  });
}

// Recorded steps clear the gradients and take their scalars from memory.
TEST(ShardedOptimizer, StepsFromScalarsLikewise) {
  test::on_ranks(3, [](Context& ctx) {
    const TrainConfig train = test::rank_train(OptimizerKind::kAdamW);
    RankModel plain(ctx, train, Ranked::kPlain), sharded(ctx, train, Ranked::kSharded);
    for (std::int64_t t = 1; t <= 2; ++t) {
      StepScalars scalars{.t = t,
                          .learning_rate = 0.01,
                          .beta1_correction = 1 - std::pow(train.beta1, static_cast<double>(t)),
                          .beta2_correction = 1 - std::pow(train.beta2, static_cast<double>(t)),
                          .gradient_scale = 0.5};
      for (RankModel* model : {&plain, &sharded}) {
        model->backward(t);
        model->optimizer->step_from(ctx, &scalars);
        for (const Parameter<float>* p : model->list)
          EXPECT_EQ(p->gradient.to_host(ctx), std::vector<float>(p->gradient.size(), 0.0f)) << p->name;
      }
      EXPECT_EQ(sharded.weights(), plain.weights());
      scalars.halted = 1;
      for (RankModel* model : {&plain, &sharded}) {
        model->backward(t);
        model->optimizer->step_from(ctx, &scalars);
      }
      EXPECT_EQ(sharded.weights(), plain.weights());
    }
    EXPECT_EQ(sharded.averages(), plain.averages());
  });
}

}  // namespace
}  // namespace emer
