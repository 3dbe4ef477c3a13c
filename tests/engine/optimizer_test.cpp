#include "engine/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/safetensors.h"
#include "tests/support/compare.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

struct Pair {  // a matrix that decays and a bias that does not
  Context ctx;
  Parameter<float> weight{ctx, "weight", {1, 2}, true};
  Parameter<float> bias{ctx, "bias", {1}, false};
  ParameterList<float> list{&weight, &bias};

  void set(std::vector<float> w, float b) {
    weight.value.from_host(ctx, w);
    bias.value.from_host(ctx, std::vector<float>{b});
  }
  void gradient(std::vector<float> w, float b) {
    weight.gradient.from_host(ctx, w);
    bias.gradient.from_host(ctx, std::vector<float>{b});
  }
};

TEST(Optimizer, FirstStepOfEachFormMatchesHandArithmetic) {
  // After one step m = (1-b1) g, v = (1-b2) g^2. adam: m^ = g, v^ = g^2, so x -= lr g/(|g| + eps).
  // adam_tf: lr sqrt(1-b2)/(1-b1) * (1-b1) g / (sqrt(1-b2) |g| + eps) = lr g / (|g| + eps/sqrt(1-b2)).
  const double lr = 0.1, eps = 0.5, g = 2.0, root = std::sqrt(1 - 0.999);
  for (const OptimizerKind kind : {OptimizerKind::kAdamTf, OptimizerKind::kAdam, OptimizerKind::kAdamW}) {
    TrainConfig train;
    train.optimizer = kind;
    train.epsilon = eps;
    train.weight_decay = kind == OptimizerKind::kAdamW ? 0.25 : 0.0;
    Pair p;
    p.set({1, -1}, 3);
    p.gradient({2, -2}, 2);
    Optimizer optimizer(p.ctx, p.list, train);
    optimizer.step(p.ctx, lr, 1.0);
    const double move = lr * g / (g + (kind == OptimizerKind::kAdamTf ? eps / root : eps));
    const double decay = kind == OptimizerKind::kAdamW ? lr * 0.25 : 0.0;
    EXPECT_TRUE(test::near_relative(p.weight.value.to_host(p.ctx),
                                    std::vector<double>{1 - decay - move, -1 + decay + move}, 1e-6));
    EXPECT_TRUE(test::near_relative(p.bias.value.to_host(p.ctx), std::vector<double>{3 - move}, 1e-6));
    EXPECT_EQ(optimizer.steps(), 1);
  }
}

TEST(Optimizer, SecondStepUsesBothMoments) {
  TrainConfig train;
  train.optimizer = OptimizerKind::kAdam;
  Pair p;
  p.set({0, 0}, 0);
  Optimizer optimizer(p.ctx, p.list, train);
  p.gradient({1, 0}, 0);
  optimizer.step(p.ctx, 0.1, 1.0);
  p.gradient({-3, 0}, 0);
  optimizer.step(p.ctx, 0.1, 0.5);  // clipped to half: g = -1.5
  const double m = 0.9 * 0.1 * 1 + 0.1 * -1.5, v = 0.999 * 0.001 * 1 + 0.001 * 2.25;
  const double step2 = 0.1 * (m / (1 - 0.81)) / (std::sqrt(v / (1 - 0.999 * 0.999)) + 1e-8);
  // 1e-5: the float moments lose digits in m, a difference of like numbers.
  EXPECT_TRUE(test::near_relative(p.weight.value.to_host(p.ctx), std::vector<double>{-0.1 - step2, 0}, 1e-5));
}

TEST(Optimizer, ClippingScalesDownOnly) {
  EXPECT_EQ(clip_scale(5.0, 0.0), 1.0);
  EXPECT_EQ(clip_scale(5.0, 10.0), 1.0);
  EXPECT_EQ(clip_scale(5.0, 2.0), 0.4);
}

TEST(Optimizer, MovingAverageIsExchangedWithTheWeights) {
  TrainConfig train;
  train.ema = 0.75;
  Pair p;
  p.set({4, 8}, 2);
  Optimizer optimizer(p.ctx, p.list, train);
  ASSERT_TRUE(optimizer.has_average());
  p.gradient({1, 1}, 1);
  optimizer.step(p.ctx, 1.0, 1.0);
  const std::vector<float> weights = p.weight.value.to_host(p.ctx);
  optimizer.swap_average(p.ctx);
  EXPECT_TRUE(test::near_relative(p.weight.value.to_host(p.ctx),
                                  std::vector<double>{3.0 + 0.25 * weights[0], 6.0 + 0.25 * weights[1]},
                                  1e-6));
  optimizer.swap_average(p.ctx);
  EXPECT_EQ(p.weight.value.to_host(p.ctx), weights);
}

TEST(Optimizer, StateSurvivesTheDisk) {
  test::TemporaryFolder folder;
  TrainConfig train;
  train.ema = 0.5;
  Pair a, b;
  for (Pair* p : {&a, &b}) p->set({1, 2}, 3);
  Optimizer first(a.ctx, a.list, train), second(b.ctx, b.list, train);
  a.gradient({1, -2}, 3);
  first.step(a.ctx, 0.1, 1.0);
  first.save(a.ctx, folder / "optimizer.safetensors");
  first.save_average(a.ctx, folder / "ema.safetensors");
  b.weight.value.from_host(b.ctx, a.weight.value.to_host(a.ctx));
  b.bias.value.from_host(b.ctx, a.bias.value.to_host(a.ctx));
  second.load(b.ctx, folder / "optimizer.safetensors");
  second.load_average(b.ctx, folder / "ema.safetensors");
  EXPECT_EQ(second.steps(), 1);
  for (Pair* p : {&a, &b}) p->gradient({0.5, 0.25}, -1);
  first.step(a.ctx, 0.1, 1.0);
  second.step(b.ctx, 0.1, 1.0);
  EXPECT_EQ(a.weight.value.to_host(a.ctx), b.weight.value.to_host(b.ctx));
  first.swap_average(a.ctx);
  second.swap_average(b.ctx);
  EXPECT_EQ(a.weight.value.to_host(a.ctx), b.weight.value.to_host(b.ctx));
}

TEST(Optimizer, AllMismatchesOfAStateAreListed) {
  test::TemporaryFolder folder;
  const std::string path = folder / "optimizer.safetensors";
  SafetensorsWriter writer;
  const std::vector<float> two(2);
  const std::vector<double> wide(1);
  const std::vector<std::int64_t> step{4};
  writer.add("m.weight", {2}, std::span<const float>(two));
  writer.add("m.bias", {1}, std::span<const double>(wide));
  writer.add("step", {1}, std::span<const std::int64_t>(step));
  writer.write(path);
  Pair p;
  Optimizer optimizer(p.ctx, p.list, TrainConfig{});
  EXPECT_TRUE(
      test::refuses_input({path, "m.weight", "v.weight is missing", "m.bias is F64", "v.bias is missing"},
                          [&] { optimizer.load(p.ctx, path); }));
  EXPECT_EQ(optimizer.steps(), 0);
}

TEST(Schedule, ConstantAfterALinearWarmUp) {
  TrainConfig train;
  train.learning_rate = 0.8;
  train.warmup_epochs = 2;  // of 2 steps
  EXPECT_DOUBLE_EQ(learning_rate_at(train, 1, 2, 100), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate_at(train, 4, 2, 100), 0.8);
  EXPECT_DOUBLE_EQ(learning_rate_at(train, 5, 2, 100), 0.8);
  EXPECT_DOUBLE_EQ(learning_rate_at(train, 100, 2, 100), 0.8);
}

TEST(Schedule, CosineFallsToItsShareOfThePeak) {
  TrainConfig train;
  train.learning_rate = 0.8;
  train.schedule = ScheduleKind::kCosine;
  train.schedule_final = 0.25;
  EXPECT_NEAR(learning_rate_at(train, 50, 1, 100), 0.8 * (0.25 + 0.75 * 0.5), 1e-15);  // half way: cos = 0
  EXPECT_NEAR(learning_rate_at(train, 25, 1, 100), 0.8 * (0.25 + 0.75 * 0.5 * (1 + std::sqrt(0.5))), 1e-15);
  EXPECT_NEAR(learning_rate_at(train, 100, 1, 100), 0.2, 1e-15);
}

}  // namespace
}  // namespace emer
