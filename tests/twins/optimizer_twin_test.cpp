// The optimiser on CUDA: as on the CPU, recorded as not recorded, and through exchanges of weights and averages.
#include <gtest/gtest.h>

#include <cmath>

#include "core/work_graph.h"
#include "engine/optimizer.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using OptimizerTwin = test::TwinTest;
using Floats = std::vector<float>;

constexpr double kRate = 0.01;

TrainConfig config() {
  TrainConfig train;
  train.optimizer = OptimizerKind::kAdamW;
  train.weight_decay = 0.1;
  train.ema = 0.75;
  return train;
}

struct Model {
  Context ctx;
  Parameter<float> weight, bias;
  ParameterList<float> list{&weight, &bias};
  Optimizer optimizer;

  explicit Model(DeviceKind kind)
      : ctx(kind),
        weight(ctx, "weight", {50, 60}, true),
        bias(ctx, "bias", {50}, false),
        optimizer(start()) {}
  Optimizer start() {
    weight.value.from_host(ctx, test::uniform<float>(3000, -1, 1, 1));
    bias.value.from_host(ctx, test::uniform<float>(50, -1, 1, 2));
    return Optimizer(ctx, list, config());
  }
  void gradients(std::int64_t t) {
    weight.gradient.from_host(ctx, test::normal<float>(3000, 0, 1, static_cast<std::uint64_t>(10 * t)));
    bias.gradient.from_host(ctx, test::normal<float>(50, 0, 1, static_cast<std::uint64_t>(10 * t + 1)));
  }
  std::vector<Floats> weights() { return {weight.value.to_host(ctx), bias.value.to_host(ctx)}; }
  std::vector<Floats> averages() {
    optimizer.swap_average(ctx);
    std::vector<Floats> values = weights();
    optimizer.swap_average(ctx);
    return values;
  }
};

TEST_F(OptimizerTwin, FollowsTheCpu) {
  Model cpu(DeviceKind::kCpu), cuda(DeviceKind::kCuda);
  for (std::int64_t t = 1; t <= 3; ++t)
    for (Model* model : {&cpu, &cuda}) {
      model->gradients(t);
      model->optimizer.step(model->ctx, kRate, 0.5);
    }
  // 3 steps of 12 roundings each way.
  for (std::size_t k = 0; k < 2; ++k) {
    EXPECT_TRUE(test::near_relative(cuda.weights()[k], cpu.weights()[k], 2 * 3 * 12 * 6e-8));
    EXPECT_TRUE(test::near_relative(cuda.averages()[k], cpu.averages()[k], 2 * 3 * 12 * 6e-8));
  }
}

TEST_F(OptimizerTwin, RecordedStepsAreTheSameAndClearTheGradients) {
  Model plain(DeviceKind::kCuda), recorded(DeviceKind::kCuda);
  Tensor<StepScalars> scalars(recorded.ctx, {1});
  Tensor<double> norm(recorded.ctx, {1});
  plain.gradients(1);
  plain.optimizer.step(plain.ctx, kRate, 0.5);
  recorded.gradients(1);
  recorded.optimizer.step(recorded.ctx, kRate, 0.5);  // also makes the table
  recorded.optimizer.sum_squared_gradients(recorded.ctx, norm.data());
  WorkGraph graph(recorded.ctx, [&] {
    recorded.optimizer.sum_squared_gradients(recorded.ctx, norm.data());
    recorded.optimizer.step_from(recorded.ctx, scalars.data());
  });
  const TrainConfig train = config();
  for (std::int64_t t = 2; t <= 3; ++t) {
    // An exchange and back between two steps leaves recorded steps right.
    EXPECT_EQ(recorded.averages(), plain.averages());
    plain.gradients(t);
    plain.optimizer.step(plain.ctx, kRate / static_cast<double>(t), 0.5);
    recorded.gradients(t);
    scalars.from_host(
        recorded.ctx,
        std::vector<StepScalars>{{.t = t,
                                  .learning_rate = kRate / static_cast<double>(t),
                                  .beta1_correction = 1 - std::pow(train.beta1, static_cast<double>(t)),
                                  .beta2_correction = 1 - std::pow(train.beta2, static_cast<double>(t)),
                                  .gradient_scale = 0.5}});
    graph.launch(recorded.ctx);
    EXPECT_EQ(recorded.weights(), plain.weights());
    long double squares = 0;
    for (const Parameter<float>* p : plain.list)
      for (const float g : p->gradient.to_host(plain.ctx)) squares += static_cast<long double>(g) * g;
    EXPECT_TRUE(
        test::near_relative(norm.to_host(recorded.ctx)[0], static_cast<double>(squares), 3050 * 1.2e-16));
    EXPECT_EQ(recorded.weight.gradient.to_host(recorded.ctx), Floats(3000, 0.0f));
  }
  recorded.optimizer.count_steps(2);
  EXPECT_EQ(recorded.optimizer.steps(), plain.optimizer.steps());
}

TEST_F(OptimizerTwin, StepsOnExchangedWeightsToo) {
  Model a(DeviceKind::kCuda), b(DeviceKind::kCpu);
  for (Model* model : {&a, &b}) {
    model->gradients(1);
    model->optimizer.step(model->ctx, kRate, 1.0);
    model->optimizer.swap_average(model->ctx);
    model->optimizer.step(model->ctx, kRate, 1.0);
  }
  EXPECT_TRUE(test::near_relative(a.weights()[0], b.weights()[0], 2 * 2 * 12 * 6e-8));
}

}  // namespace
}  // namespace emer
