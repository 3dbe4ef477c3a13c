// Layers and losses say of every trained gradient that it is complete: once a pass, in backward order, when it is.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "engine/prepared_data.h"
#include "engine/step.h"
#include "tests/engine/run_support.h"

namespace emer {
namespace {

struct Call {
  std::string name;
  std::vector<double> gradient;  // as it was at the call
};

std::vector<Call> calls_of_a_pass(const std::string& data, const std::vector<std::string>& overrides) {
  const Config config = test::small_config(data, overrides);
  const PreparedData prepared = prepare_data(config);
  Context ctx;
  DualEncoder<double> model(ctx, config, input_shape(prepared.dataset));
  model.initialise(ctx, 7);
  std::vector<Call> calls;
  for (Parameter<double>* p : model.parameters())
    p->on_gradient_complete = [&calls, &ctx, p] { calls.push_back({p->name, p->gradient.to_host(ctx)}); };
  TrainingStep<double> step(config.loss);
  const std::vector<std::int64_t> rows(prepared.train.begin(), prepared.train.begin() + 7);
  const DropoutKey dropout{.training = true, .seed = 3, .step = 0};
  for (int pass = 0; pass < 2; ++pass) {  // a pass leaves nothing behind that hinders the next
    calls.clear();
    step.forward_backward(ctx, model, prepared.dataset, rows, dropout);
  }
  std::vector<std::string> called, expected;
  for (const Call& call : calls) called.push_back(call.name);
  std::map<std::string, std::vector<double>> final;
  for (const Parameter<double>* p : model.in_backward_order()) {
    if (p->gradient.size() == 0) continue;
    expected.push_back(p->name);
    final[p->name] = p->gradient.to_host(ctx);
  }
  EXPECT_EQ(called, expected);
  for (const Call& call : calls)
    EXPECT_EQ(call.gradient, final[call.name]) << call.name << " was not complete";
  EXPECT_EQ(model.in_backward_order().size(), model.parameters().size());
  for (Parameter<double>* p : model.in_backward_order())
    EXPECT_EQ(std::ranges::count(model.parameters(), p), 1) << p->name;
  return calls;
}

class GradientComplete : public ::testing::Test {
 protected:
  bool has(const std::vector<Call>& calls, const std::string& name) {
    return std::ranges::any_of(calls, [&](const Call& call) { return call.name == name; });
  }
  test::TemporaryFolder folder_;
};

TEST_F(GradientComplete, OfBothLosses) {
  const std::vector<Call> calls = calls_of_a_pass(
      test::small_data(folder_),
      {"model.emotion.kind=bigru", "loss.kl={form: softmax, learn_temperature: true}", "loss.lambda=0.5"});
  EXPECT_EQ(calls.front().name, "cca.projection1");
  EXPECT_TRUE(has(calls, "kl.log_temperature"));
  EXPECT_EQ(calls.back().name, "emotion_encoder.gru.forward.input_weight");
}

// Heads that receive no gradient are complete too: with zero.
TEST_F(GradientComplete, OfOneLossAlone) {
  const std::string data = test::small_data(folder_);
  for (const char* lambda : {"loss.lambda=0", "loss.lambda=1"}) {
    SCOPED_TRACE(lambda);
    const std::vector<Call> calls = calls_of_a_pass(data, {lambda, "loss.cca.form=exact"});
    EXPECT_TRUE(has(calls, "music_encoder.embedding.weight"));
    EXPECT_TRUE(has(calls, "music_encoder.log_variance.bias"));
  }
}

TEST_F(GradientComplete, OfAConvEncoderByPieces) {
  const std::string data = test::small_patch_data(folder_);
  const std::vector<Call> calls =
      calls_of_a_pass(data, test::small_vggish("vggish_bigru", {"model.vggish.piece=3"}));
  EXPECT_TRUE(has(calls, "vggish.conv1.weight"));
  const std::vector<Call> frozen = calls_of_a_pass(
      data, test::small_vggish("vggish_mlp", {"model.vggish.piece=3", "model.vggish.trainable=false"}));
  EXPECT_FALSE(has(frozen, "vggish.conv1.weight"));
  EXPECT_FALSE(has(frozen, "vggish.fc3.bias"));
}

TEST_F(GradientComplete, OfAnEncoderThatReceivesNothing) {
  Context ctx;
  EncoderConfig config;
  config.input_width = 3;
  config.widths = {4};
  config.embedding_dim = 2;
  Encoder<double> encoder(ctx, config, "e");
  encoder.initialise(ctx, 1, 0);
  std::vector<std::string> calls;
  for (Parameter<double>* p : encoder.parameters())
    p->on_gradient_complete = [&calls, p] { calls.push_back(p->name); };
  const Tensor<double> x(ctx, {2, 3}, std::vector<double>{1, 2, 3, 4, 5, 6});
  encoder.forward(ctx, {.values = x.data(), .n = 2}, {});
  encoder.backward(ctx, {});
  EXPECT_EQ(calls.size(), encoder.parameters().size());
  EXPECT_EQ(calls.front(), "e.embedding.bias");
}

}  // namespace
}  // namespace emer
