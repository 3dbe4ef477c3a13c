#include <gtest/gtest.h>

#include <cmath>

#include "tests/losses/loss_run.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/one_thread.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

Arrays heads(int n, int d, std::uint64_t seed) {
  Arrays inputs;
  const auto size = static_cast<std::size_t>(n) * static_cast<std::size_t>(d);
  for (const std::string& name : head_names()) inputs[name] = normal(size, 0.1, 0.6, seed++);
  for (const char* head : {".embedding", ".mean"})
    for (std::size_t i = 0; i < size; ++i)
      inputs[std::string("emotion") + head][i] += 0.7 * inputs[std::string("music") + head][i];
  return inputs;
}

Arrays only(const Arrays& inputs, const std::string& part) {
  Arrays some;
  for (const auto& [name, values] : inputs)
    if ((name.find("embedding") != std::string::npos) == (part == "embedding")) some[name] = values;
  return some;
}

std::vector<double> times(std::vector<double> v, double factor) {
  for (double& x : v) x *= factor;
  return v;
}

TEST(CompositeLoss, MixesTheTermsByLambda) {
  const Arrays inputs = heads(7, 4, 1);
  LossOptions o;
  o.lambda = 0.0;
  const LossRun kl = run_loss(o, 7, 4, inputs);
  o.lambda = 1.0;
  const LossRun cca = run_loss(o, 7, 4, inputs);
  o.lambda = 0.25;
  const LossRun both = run_loss(o, 7, 4, inputs);
  EXPECT_EQ(kl.values.cca, 0.0);
  EXPECT_EQ(cca.values.kl, 0.0);
  EXPECT_EQ(kl.values.loss, kl.values.kl);
  EXPECT_EQ(cca.values.loss, cca.values.cca);
  EXPECT_EQ(both.values.cca, cca.values.cca);
  EXPECT_EQ(both.values.kl, kl.values.kl);
  EXPECT_DOUBLE_EQ(both.values.loss, 0.25 * cca.values.cca + 0.75 * kl.values.kl);
  for (const char* name : {"music.embedding", "emotion.embedding", "cca.projection1", "cca.projection2"})
    EXPECT_TRUE(near_relative(both.gradients.at(name), times(cca.gradients.at(name), 0.25), 1e-13)) << name;
  for (const char* name : {"music.mean", "music.log_variance", "emotion.mean", "emotion.log_variance"})
    EXPECT_TRUE(near_relative(both.gradients.at(name), times(kl.gradients.at(name), 0.75), 1e-13)) << name;
  // A term that is off: its gradients were poisoned and must come back as zeros.
  EXPECT_EQ(kl.gradients.at("music.embedding"), std::vector<double>(28, 0.0));
  EXPECT_EQ(cca.gradients.at("emotion.log_variance"), std::vector<double>(28, 0.0));
}

TEST(CompositeLoss, TermsThatAreOffNeedNoHeads) {
  const Arrays inputs = heads(6, 3, 2);
  LossOptions o;
  o.lambda = 0.0;
  EXPECT_EQ(run_loss(o, 6, 3, only(inputs, "gaussian")).values.loss, run_loss(o, 6, 3, inputs).values.loss);
  o.lambda = 1.0;
  EXPECT_EQ(run_loss(o, 6, 3, only(inputs, "embedding")).values.loss, run_loss(o, 6, 3, inputs).values.loss);
  o.lambda = 0.5;
  EXPECT_THROW(run_loss(o, 6, 3, only(inputs, "embedding")), std::exception);
}

TEST(CompositeLoss, NanOfATermThatIsOffStaysOut) {
  Arrays inputs = heads(6, 3, 3);
  inputs["music.embedding"][0] = std::nan("");
  LossOptions o;
  o.lambda = 0.0;
  EXPECT_TRUE(std::isfinite(run_loss(o, 6, 3, inputs).values.loss));
  o.lambda = 0.5;
  EXPECT_TRUE(std::isnan(run_loss(o, 6, 3, inputs).values.loss));
}

TEST(CompositeLoss, GradientsMatchCentralDifferences) {
  const OneThread quiet;
  const Arrays inputs = heads(6, 3, 4);
  std::vector<LossOptions> forms(4);
  forms[1].kl = {.form = KlForm::kSoftmax,
                 .margin = 1.0,
                 .norm_rate = 0.01,
                 .temperature = 1.5,
                 .learn_temperature = true};
  forms[1].cca.form = CcaForm::kExact;
  forms[1].cca.ridge = 0.05;
  forms[2].kl.reduction = forms[2].cca.reduction = Reduction::kMean;
  forms[2].kl.norm_broadcast = true;
  forms[3].cca = {.correlation = CcaCorrelation::kRowNorm,
                  .centring = CcaCentring::kSample,
                  .penalty = CcaPenalty::kSummed,
                  .ridge = 0.05};
  for (const LossOptions& o : forms) {
    const LossRun at = run_loss(o, 6, 3, inputs);
    for (const auto& [name, gradient] : at.gradients) {
      if (!inputs.contains(name)) continue;  // parameters: the next test
      Arrays moved = inputs;
      EXPECT_TRUE(gradient_matches(
          inputs.at(name), gradient,
          [&](const std::vector<double>& v) {
            moved[name] = v;
            return run_loss(o, 6, 3, moved).values.loss;
          },
          1e-6, 1e-7))
          << name;
    }
  }
}

// Parameters get explicit values here so that they can be moved.
TEST(CompositeLoss, ParameterGradientsMatchCentralDifferences) {
  const OneThread quiet;
  Arrays inputs = heads(6, 3, 5);
  inputs["cca.projection1"] = normal(9, 0.0, 0.5, 60);
  inputs["cca.projection2"] = normal(9, 0.0, 0.5, 61);
  inputs["kl.log_temperature"] = {0.3};
  LossOptions o;
  o.kl.form = KlForm::kSoftmax;
  o.kl.learn_temperature = true;
  const LossRun at = run_loss(o, 6, 3, inputs);
  for (const char* name : {"cca.projection1", "cca.projection2", "kl.log_temperature"})
    EXPECT_TRUE(gradient_matches(
        inputs.at(name), at.gradients.at(name),
        [&](const std::vector<double>& v) {
          Arrays moved = inputs;
          moved[name] = v;
          return run_loss(o, 6, 3, moved).values.loss;
        },
        1e-6, 1e-7))
        << name;
}

TEST(CompositeLoss, ReductionsAndNormCountAsSpecified) {
  const int n = 6, d = 3;
  const Arrays inputs = heads(n, d, 6);
  LossOptions o;
  o.lambda = 0.0;
  o.kl.norm_rate = 0.0;
  const double hinges = run_loss(o, n, d, inputs).values.kl;
  o.kl.norm_rate = 0.25;
  const double norm = run_loss(o, n, d, inputs).values.kl - hinges;
  EXPECT_GT(norm, 0.0);
  o.kl.norm_broadcast = true;
  EXPECT_NEAR(run_loss(o, n, d, inputs).values.kl, hinges + n * norm, 1e-11);
  o.kl.reduction = Reduction::kMean;
  EXPECT_NEAR(run_loss(o, n, d, inputs).values.kl, hinges / (n * (n - 1)) + norm, 1e-12);
  o.kl.norm_broadcast = false;
  EXPECT_NEAR(run_loss(o, n, d, inputs).values.kl, hinges / (n * (n - 1)) + norm / n, 1e-12);
  o.lambda = 1.0;
  const double cca = run_loss(o, n, d, inputs).values.cca;
  o.cca.reduction = Reduction::kMean;
  EXPECT_NEAR(run_loss(o, n, d, inputs).values.cca, cca / d, 1e-13);
}

TEST(CompositeLoss, OnePairHasNoHingeAndNoCca) {
  const Arrays inputs = heads(1, 3, 7);
  LossOptions o;
  o.lambda = 0.0;
  for (const Reduction reduction : {Reduction::kSum, Reduction::kMean}) {
    o.kl.reduction = reduction;
    const LossRun run = run_loss(o, 1, 3, inputs);
    EXPECT_TRUE(std::isfinite(run.values.loss));
    EXPECT_GT(run.values.loss, 0.0);  // the norm part
    for (const double g : run.gradients.at("music.mean")) EXPECT_TRUE(std::isfinite(g));
  }
  o.lambda = 0.5;
  EXPECT_THROW(run_loss(o, 1, 3, inputs), Error);
}

TEST(CompositeLoss, ParametersFollowTheOptions) {
  Context ctx;
  const auto names = [&](const LossOptions& o) {
    CompositeLoss<float> loss(ctx, o, 5);
    std::vector<std::string> list;
    for (const auto* p : loss.parameters()) list.push_back(p->name);
    return list;
  };
  using Names = std::vector<std::string>;
  LossOptions o;
  EXPECT_EQ(names(o), (Names{"cca.projection1", "cca.projection2"}));
  o.kl.form = KlForm::kSoftmax;
  o.kl.learn_temperature = true;
  EXPECT_EQ(names(o), (Names{"cca.projection1", "cca.projection2", "kl.log_temperature"}));
  o.cca.form = CcaForm::kExact;
  EXPECT_EQ(names(o), (Names{"kl.log_temperature"}));
  o.lambda = 1.0;
  EXPECT_EQ(names(o), Names{});
}

// A normal of deviation 0.1 truncated at 2 sigma has deviation 0.08796 (variance 1 -
// 2*2*phi(2)/(2*Phi(2)-1)); of 10,000 draws the mean errs by 9e-4 and the deviation by about 5e-4: five times
// that is allowed.
TEST(CompositeLoss, InitialisesAsSpecified) {
  Context ctx;
  LossOptions o;
  o.kl = {.form = KlForm::kSoftmax, .temperature = 2.0, .learn_temperature = true};
  CompositeLoss<double> loss(ctx, o, 100);
  loss.initialise(ctx, 9, 3);
  const auto parameters = loss.parameters();
  ASSERT_EQ(parameters.size(), 3u);
  const auto first = parameters[0]->value.to_host(ctx), second = parameters[1]->value.to_host(ctx);
  double sum = 0, squares = 0;
  for (const double v : first) {
    EXPECT_LE(std::abs(v), 0.2);
    sum += v;
    squares += v * v;
  }
  EXPECT_NEAR(sum / 1e4, 0.0, 4.5e-3);
  EXPECT_NEAR(std::sqrt(squares / 1e4), 0.08796, 2.5e-3);
  EXPECT_NE(first, second);
  EXPECT_DOUBLE_EQ(parameters[2]->value.to_host(ctx)[0], std::log(2.0));
  CompositeLoss<double> again(ctx, o, 100);
  again.initialise(ctx, 9, 3);
  EXPECT_EQ(again.parameters()[1]->value.to_host(ctx), second);
}

TEST(CompositeLoss, RefusesOptionsOutsideTheirRange) {
  Context ctx;
  const auto refused = [&](auto&& change) {
    LossOptions o;
    change(o);
    return refuses(ErrorKind::kUsage, {}, [&] { CompositeLoss<float>(ctx, o, 4); });
  };
  EXPECT_FALSE(refused([](LossOptions&) {}));
  EXPECT_TRUE(refused([](LossOptions& o) { o.lambda = 1.01; }));
  EXPECT_TRUE(refused([](LossOptions& o) { o.lambda = std::nan(""); }));
  EXPECT_TRUE(refused([](LossOptions& o) { o.cca.ridge = 0.0; }));
  EXPECT_TRUE(refused([](LossOptions& o) { o.cca.directions = 2; }));
  EXPECT_TRUE(refused([](LossOptions& o) {
    o.cca.form = CcaForm::kExact;
    o.cca.directions = 5;
  }));
  EXPECT_TRUE(refused([](LossOptions& o) { o.kl.margin = -1.0; }));
  EXPECT_TRUE(refused([](LossOptions& o) { o.kl.norm_rate = -1e-3; }));
  EXPECT_TRUE(refused([](LossOptions& o) { o.kl.temperature = 0.0; }));
  EXPECT_TRUE(refused([](LossOptions& o) { o.kl.pieces = -1; }));
}

TEST(CompositeLoss, WarnsOfExactCcaOnSmallBatches) {
  Context ctx;
  LossOptions o;
  o.cca.form = CcaForm::kExact;
  CompositeLoss<float> exact(ctx, o, 8);
  EXPECT_NE(exact.warning(8).find("correlations tend to 1"), std::string::npos);
  EXPECT_EQ(exact.warning(9), "");
  CompositeLoss<float> projection(ctx, {}, 8);
  EXPECT_EQ(projection.warning(2), "");
}

TEST(CompositeLoss, TwoRunsAgreeBitForBit) {
  const Arrays inputs = heads(300, 24, 8);
  const LossRun a = run_loss<float>({}, 300, 24, inputs), b = run_loss<float>({}, 300, 24, inputs);
  EXPECT_EQ(a.values.loss, b.values.loss);
  EXPECT_EQ(a.gradients, b.gradients);
}

}  // namespace
}  // namespace emer::test
