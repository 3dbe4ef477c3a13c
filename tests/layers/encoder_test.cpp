// Central differences through whole encoders; dropout, clamp, initialisation.
#include "layers/encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "core/check.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/one_thread.h"
#include "tests/support/values.h"

namespace emer {
namespace {

struct Batch {
  std::vector<double> values;
  std::vector<std::int32_t> lengths;
  int n, steps;
  EncoderInput<double> input() const {
    return {.values = values.data(),
            .lengths = lengths.empty() ? nullptr : lengths.data(),
            .n = n,
            .steps = steps};
  }
};

EncoderConfig small(EncoderKind kind, float dropout) {
  EncoderConfig c;
  c.kind = kind;
  c.input_width = 3;
  c.widths = {4, 5};
  c.embedding_dim = 4;
  c.gru_hidden = 3;
  c.dropout = dropout;
  c.input_dropout = kind == EncoderKind::kMlp ? dropout : 0.0f;
  return c;
}

Batch batch(EncoderKind kind) {
  if (kind == EncoderKind::kMlp) return {test::uniform<double>(6 * 3, -1, 1, 1), {}, 6, 0};
  return {test::uniform<double>(6 * 4 * 3, -1, 1, 1), {4, 2, 1, 3, 4, 2}, 6, 4};
}

double weighted(const HeadOutputs<double>& out, const std::vector<double>& weights, std::size_t size) {
  double sum = 0;
  for (std::size_t k = 0; k < size; ++k)
    sum += out.embedding[k] * weights[k] + out.mean[k] * weights[size + k] +
           out.log_variance[k] * weights[2 * size + k];
  return sum;
}

std::vector<double> flat(const ParameterList<double>& parameters, bool gradients) {
  std::vector<double> all;
  for (const Parameter<double>* p : parameters) {
    const Tensor<double>& t = gradients ? p->gradient : p->value;
    all.insert(all.end(), t.data(), t.data() + t.size());
  }
  return all;
}

void set_values(const ParameterList<double>& parameters, const std::vector<double>& all) {
  auto from = all.begin();
  for (Parameter<double>* p : parameters) {
    std::copy_n(from, p->value.size(), p->value.data());
    from += static_cast<std::ptrdiff_t>(p->value.size());
  }
}

class EncoderGradients : public ::testing::TestWithParam<std::tuple<EncoderKind, float>> {};

TEST_P(EncoderGradients, MatchCentralDifferences) {
  const auto [kind, dropout] = GetParam();
  EncoderConfig config = small(kind, dropout);
  Context ctx;
  const Batch b = batch(kind);
  const DropoutKey key{.training = true, .seed = 9, .step = 3, .view = 1};
  const std::size_t size = 6 * 4;
  {  // Bounds halfway between neighbouring outputs: a third below, a third above, none within a difference's
     // reach.
    Encoder<double> unclamped(ctx, config, "e");
    unclamped.initialise(ctx, 5, 0);
    const auto out = unclamped.forward(ctx, b.input(), key);
    std::vector<double> sorted(out.log_variance, out.log_variance + size);
    std::sort(sorted.begin(), sorted.end());
    config.log_variance_min = static_cast<float>((sorted[7] + sorted[8]) / 2);
    config.log_variance_max = static_cast<float>((sorted[15] + sorted[16]) / 2);
  }
  Encoder<double> encoder(ctx, config, "e");
  encoder.initialise(ctx, 5, 0);
  const auto weights = test::uniform<double>(3 * size, -1, 1, 2);
  const auto out = encoder.forward(ctx, b.input(), key);
  const auto at = [&](float bound) {
    return std::count(out.log_variance, out.log_variance + size, double{bound});
  };
  EXPECT_EQ(at(config.log_variance_min), 8);
  EXPECT_EQ(at(config.log_variance_max), 8);
  encoder.backward(ctx, {weights.data(), weights.data() + size, weights.data() + 2 * size});
  const auto gradient = flat(encoder.parameters(), true);
  const auto value = [&](const std::vector<double>& p) {
    set_values(encoder.parameters(), p);
    return weighted(encoder.forward(ctx, b.input(), key), weights, size);
  };
  // h = 1e-5: truncation and rounding near 1e-10 for values of order 10; the same key draws the same masks.
  EXPECT_TRUE(test::gradient_matches(flat(encoder.parameters(), false), gradient, value, 1e-5, 2e-9));
}

INSTANTIATE_TEST_SUITE_P(Kinds, EncoderGradients,
                         ::testing::Combine(::testing::Values(EncoderKind::kMlp, EncoderKind::kBiGru),
                                            ::testing::Values(0.0f, 0.4f)));

// From the heads through dense layers, mean or GRU, and the conv encoder.
class ConvEncoderGradients : public ::testing::TestWithParam<EncoderKind> {};

TEST_P(ConvEncoderGradients, MatchCentralDifferences) {
  const test::OneThread one;
  EncoderConfig config = small(GetParam(), 0.0f);
  config.vggish = VggishConfig{.channels = {3, 2, 3, 2, 3, 2}, .dense = {8, 8, 3}, .piece = 2};
  Context ctx;
  const Batch b{test::uniform<double>(2 * 2 * 96 * 64, -2, 2, 3), {2, 1}, 2, 2};
  const DropoutKey key{.training = true};
  Encoder<double> encoder(ctx, config, "e");
  encoder.initialise(ctx, 6, 0);
  const std::size_t size = 2 * 4;
  const auto weights = test::uniform<double>(3 * size, -1, 1, 2);
  encoder.forward(ctx, b.input(), key);
  encoder.backward(ctx, {weights.data(), weights.data() + size, weights.data() + 2 * size});
  EXPECT_EQ(encoder.parameters().front()->name, "vggish.conv1.weight");
  const auto gradient = flat(encoder.parameters(), true);
  std::size_t conv = 0, moving = 0;
  for (const Parameter<double>* p : encoder.parameters()) {
    if (p->name.rfind("vggish.", 0) != 0) continue;
    conv += p->gradient.size();
    for (const double g : p->gradient.to_host(ctx)) moving += g != 0.0 ? 1 : 0;
  }
  EXPECT_GT(moving, conv / 3) << "too few places where a ReLU lets gradients through to tell anything";
  const auto value = [&](const std::vector<double>& p) {
    set_values(encoder.parameters(), p);
    return weighted(encoder.forward(ctx, b.input(), key), weights, size);
  };
  // Differences over 1e-6 cross few ends of ReLUs and ties of pools, each of which adds what one place of thousands
  // gives.
  EXPECT_TRUE(test::gradient_matches(flat(encoder.parameters(), false), gradient, value, 1e-6, 1e-6, 17));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ConvEncoderGradients,
                         ::testing::Values(EncoderKind::kMlp, EncoderKind::kBiGru));

TEST(Encoder, AFrozenConvEncoderHasNoGradients) {
  Context ctx;
  EncoderConfig config = small(EncoderKind::kBiGru, 0.0f);
  config.vggish = VggishConfig{.channels = {1, 1, 1, 1, 1, 1}, .dense = {3, 4, 3}};
  config.vggish_trainable = false;
  const Batch b{test::uniform<double>(2 * 2 * 96 * 64, -2, 2, 3), {2, 1}, 2, 2};
  Encoder<double> encoder(ctx, config, "e");
  encoder.initialise(ctx, 6, 0);
  encoder.forward(ctx, b.input(), {.training = true});
  const std::vector<double> ones(8, 1.0);
  encoder.backward(ctx, {.embedding = ones.data()});
  for (const Parameter<double>* p : encoder.parameters())
    EXPECT_EQ(p->gradient.size(), p->name.rfind("vggish.", 0) == 0 ? 0 : p->value.size()) << p->name;
  config.vggish->dense[2] = 5;
  EXPECT_THROW((Encoder<double>(ctx, config, "e")), std::exception) << "another width than the GRU's input";
}

TEST(Encoder, NullHeadGradientsAreZeros) {
  Context ctx;
  const EncoderConfig config = small(EncoderKind::kBiGru, 0.0f);
  const Batch b = batch(EncoderKind::kBiGru);
  const DropoutKey key{.training = true};
  const std::vector<double> zeros(24, 0.0), ones(24, 1.0);
  std::vector<double> gradients[2];
  for (int k = 0; k < 2; ++k) {
    Encoder<double> encoder(ctx, config, "e");
    encoder.initialise(ctx, 5, 0);
    encoder.forward(ctx, b.input(), key);
    encoder.backward(ctx, {.embedding = k == 0 ? nullptr : zeros.data(),
                           .mean = ones.data(),
                           .log_variance = k == 0 ? nullptr : zeros.data()});
    gradients[k] = flat(encoder.parameters(), true);
  }
  EXPECT_EQ(gradients[0], gradients[1]);

  Encoder<double> untouched(ctx, config, "e");
  untouched.forward(ctx, b.input(), key);
  untouched.backward(ctx, {});
  for (const double g : flat(untouched.parameters(), true)) ASSERT_EQ(g, 0.0);
}

TEST(Encoder, DropoutActsInTrainingOnlyAndFollowsItsKey) {
  Context ctx;
  Encoder<double> encoder(ctx, small(EncoderKind::kMlp, 0.5f), "e");
  encoder.initialise(ctx, 5, 0);
  const Batch b = batch(EncoderKind::kMlp);
  const auto means = [&](const DropoutKey& key) {
    const auto out = encoder.forward(ctx, b.input(), key);
    return std::vector<double>(out.mean, out.mean + 24);
  };
  const DropoutKey key{.training = true, .seed = 1, .step = 2, .view = 0};
  const auto first = means(key);
  EXPECT_EQ(means(key), first);
  EXPECT_NE(means({.training = true, .seed = 1, .step = 3, .view = 0}), first);
  EXPECT_NE(means({.training = true, .seed = 1, .step = 2, .view = 1}), first);
  EXPECT_NE(means({.training = true, .seed = 2, .step = 2, .view = 0}), first);
  EXPECT_NE(means({}), first);
  EXPECT_EQ(means({.training = false, .seed = 7}), means({}));
}

TEST(Encoder, ParametersAreNamedAndShapedAsExchanged) {
  Context ctx;
  EncoderConfig config = small(EncoderKind::kBiGru, 0.5f);
  Encoder<float> encoder(ctx, config, "music_encoder");
  std::vector<std::string> names;
  for (const auto* p : encoder.parameters()) {
    names.push_back(p->name);
    EXPECT_EQ(p->decay, p->value.shape().size() == 2) << p->name;
    EXPECT_EQ(p->gradient.shape(), p->value.shape());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"music_encoder.gru.forward.input_weight",
                                             "music_encoder.gru.forward.recurrent_weight",
                                             "music_encoder.gru.forward.bias",
                                             "music_encoder.gru.forward.recurrent_bias",
                                             "music_encoder.gru.backward.input_weight",
                                             "music_encoder.gru.backward.recurrent_weight",
                                             "music_encoder.gru.backward.bias",
                                             "music_encoder.gru.backward.recurrent_bias",
                                             "music_encoder.dense1.weight",
                                             "music_encoder.dense1.bias",
                                             "music_encoder.dense2.weight",
                                             "music_encoder.dense2.bias",
                                             "music_encoder.dense3.weight",
                                             "music_encoder.dense3.bias",
                                             "music_encoder.embedding.weight",
                                             "music_encoder.embedding.bias",
                                             "music_encoder.mean.weight",
                                             "music_encoder.mean.bias",
                                             "music_encoder.log_variance.weight",
                                             "music_encoder.log_variance.bias"}));
  config.gru_reset = GruReset::kBefore;
  Encoder<float> before(ctx, config, "e");
  EXPECT_EQ(before.parameters().size(), names.size() - 2);
}

TEST(Encoder, InitialValuesHaveTheirDistributions) {
  Context ctx;
  EncoderConfig config;
  config.kind = EncoderKind::kBiGru;
  config.input_width = 20;
  config.widths = {100};
  config.embedding_dim = 50;
  config.gru_hidden = 24;
  Encoder<double> encoder(ctx, config, "e");
  encoder.initialise(ctx, 3, 100);
  std::set<double> firsts;
  for (const auto* p : encoder.parameters()) {
    SCOPED_TRACE(p->name);
    const auto v = p->value.to_host(ctx);
    if (p->value.shape().size() == 1) {
      for (const double x : v) ASSERT_EQ(x, 0.0);
      continue;
    }
    EXPECT_TRUE(firsts.insert(v.front()).second) << "two arrays from one stream";
    const auto rows = static_cast<std::size_t>(p->value.extent(0)),
               columns = static_cast<std::size_t>(p->value.extent(1));
    if (p->name.ends_with("recurrent_weight")) {
      for (std::size_t i = 0; i < columns; ++i)
        for (std::size_t j = 0; j < columns; ++j) {
          double dot = 0;
          for (std::size_t k = 0; k < rows; ++k) dot += v[k * columns + i] * v[k * columns + j];
          ASSERT_NEAR(dot, i == j ? 1.0 : 0.0, 1e-13);  // 72 products below 1 at 1.1e-16
        }
      continue;
    }
    const double limit = std::sqrt(6.0 / static_cast<double>(rows + columns));
    double largest = 0, mean = 0, square = 0;
    for (const double x : v) {
      largest = std::max(largest, std::abs(x));
      mean += x / static_cast<double>(v.size());
      square += x * x / static_cast<double>(v.size());
    }
    EXPECT_LE(largest, limit);
    EXPECT_GT(largest, 0.99 * limit);  // 1 in (1/.99)^1440 > 5e5 draws would fail
    // Standard errors over at least 1440 uniform values: limit/sqrt(3*1440) = .015 limit, and .024 of the
    // variance.
    EXPECT_NEAR(mean, 0.0, 5 * 0.016 * limit);
    EXPECT_NEAR(square / (limit * limit / 3), 1.0, 5 * 0.024);
  }
}

TEST(Encoder, RefusesWhatItCannotMean) {
  Context ctx;
  EncoderConfig config = small(EncoderKind::kBiGru, 0.5f);
  config.input_dropout = 0.1f;
  EXPECT_THROW((Encoder<float>(ctx, config, "e")), Error);
  config = small(EncoderKind::kBiGru, 0.0f);
  Encoder<double> encoder(ctx, config, "e");
  const Batch b = batch(EncoderKind::kBiGru);
  encoder.forward(ctx, b.input(), {});
  const std::vector<double> ones(24, 1.0);
  EXPECT_THROW(encoder.backward(ctx, {.embedding = ones.data()}), std::exception) << "nothing was kept";
}

}  // namespace
}  // namespace emer
