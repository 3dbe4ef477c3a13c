// The released form against stored outputs: reset before, hard sigmoid, no dropout (tests/goldens/README.md).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/safetensors.h"
#include "layers/encoder.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace emer {
namespace {

// Widths as in the stored weights: dense1..dense4 are the configured ones, dense5 is as wide as the
// embedding.
EncoderConfig config_of(const SafetensorsFile& weights, const std::string& prefix, int input_width) {
  EncoderConfig config;
  config.input_width = input_width;
  config.widths.clear();
  for (int k = 1; k <= 4; ++k)
    config.widths.push_back(
        static_cast<int>(weights.info(prefix + ".dense" + std::to_string(k) + ".bias").elements()));
  config.embedding_dim = static_cast<int>(weights.info(prefix + ".mean.bias").elements());
  if (weights.find(prefix + ".gru.forward.bias") != nullptr) {
    config.kind = EncoderKind::kBiGru;
    config.gru_hidden = static_cast<int>(weights.info(prefix + ".gru.forward.bias").elements() / 3);
  }
  config.gru_reset = GruReset::kBefore;
  config.gru_activation = GateActivation::kHardSigmoid;
  config.dropout = 0.0f;
  return config;
}

template <class Real>
void expect_outputs(const std::string& model, const std::string& view, double tolerance) {
  SCOPED_TRACE(model + " " + view);
  const auto weights = SafetensorsFile::open(test::golden(model + ".weights.safetensors"));
  const auto data = SafetensorsFile::open(test::golden(model + ".data.safetensors"));
  const auto want = SafetensorsFile::open(test::golden(model + ".outputs.safetensors"));
  const std::string prefix = view + "_encoder";
  const auto& shape = data.info(view).shape;
  Context ctx;
  Encoder<Real> encoder(ctx, config_of(weights, prefix, static_cast<int>(shape.back())), prefix);
  for (Parameter<Real>* p : encoder.parameters())
    p->value.from_host(ctx, weights.read<Real>(p->name, p->value.shape()));

  const auto values = data.read<Real>(view);
  std::vector<std::int32_t> lengths;
  if (shape.size() == 3) lengths = data.read<std::int32_t>(view + "_length");
  const auto n = static_cast<std::size_t>(shape.front());
  const auto out = encoder.forward(ctx,
                                   {.values = values.data(),
                                    .lengths = lengths.empty() ? nullptr : lengths.data(),
                                    .n = static_cast<int>(n),
                                    .steps = shape.size() == 3 ? static_cast<int>(shape[1]) : 0},
                                   {});
  const std::size_t size = n * static_cast<std::size_t>(encoder.config().embedding_dim);
  const std::pair<const char*, const Real*> heads[] = {
      {".embedding", out.embedding}, {".mean", out.mean}, {".log_variance", out.log_variance}};
  for (const auto& [head, got] : heads) {
    SCOPED_TRACE(head);
    EXPECT_TRUE(
        test::near_relative(std::vector<Real>(got, got + size), want.read<double>(view + head), tolerance));
  }
}

// Float: at most 16 + 24 + 24 + 16 + 10 terms deep after 9 steps of 16, about 300 roundings of 6e-8, which
// softplus (slope below 1) does not amplify: 1.8e-5 at worst, their random sum below 1e-6. Double: the same
// at 1.1e-16.
TEST(EncoderGolden, VectorModel) {
  for (const char* view : {"music", "emotion"}) {
    expect_outputs<float>("model_vector", view, 1e-5);
    expect_outputs<double>("model_vector", view, 1e-12);
  }
}

TEST(EncoderGolden, SequenceModel) {
  for (const char* view : {"music", "emotion"}) {
    expect_outputs<float>("model_sequence", view, 1e-5);
    expect_outputs<double>("model_sequence", view, 1e-12);
  }
}

}  // namespace
}  // namespace emer
