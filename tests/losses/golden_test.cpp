// Every loss and gradient of tests/goldens/loss_*, made by an independent automatic-differentiation
// implementation.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/safetensors.h"
#include "tests/losses/loss_run.h"
#include "tests/losses/ranks_loss_run.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/one_thread.h"

namespace emer::test {
namespace {

LossOptions options_of(const std::string& form) {
  LossOptions o;
  if (form.starts_with("kl")) {
    o.lambda = 0.0;
    o.kl.norm_broadcast = form == "kl_released";
    return o;
  }
  o.lambda = 1.0;
  o.cca.penalty = CcaPenalty::kSummed;
  if (form == "cca_exact") o.cca.form = CcaForm::kExact;
  if (form == "cca_released") o.cca.centring = CcaCentring::kSample;
  if (form != "cca_feature_nuclear") o.cca.correlation = CcaCorrelation::kRowNorm;
  return o;
}

struct Case {
  std::string shape, form;
};

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const char* shape : {"small", "medium", "narrow", "far"})
    for (const char* form : {"cca_released", "cca_feature_row_norm", "cca_feature_nuclear", "cca_exact",
                             "kl_released", "kl_norm_once"})
      if (std::string(shape) != "narrow" || std::string(form) != "cca_exact") list.push_back({shape, form});
  return list;
}

class LossGolden : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case& c = GetParam();
    const auto file = SafetensorsFile::open(golden("loss_" + c.shape + ".inputs.safetensors"));
    for (const TensorInfo& info : file.tensors()) inputs_[info.name] = file.read<double>(info.name);
    n_ = static_cast<int>(file.info("music.mean").shape[0]);
    d_ = static_cast<int>(file.info("music.mean").shape[1]);
    std::ifstream stream(golden("loss_" + c.shape + ".losses.json"));
    loss_ = nlohmann::json::parse(stream).at(c.form).get<double>();
    const auto stored =
        SafetensorsFile::open(golden("loss_" + c.shape + "." + c.form + ".gradients.safetensors"));
    for (const TensorInfo& info : stored.tensors()) gradients_[info.name] = stored.read<double>(info.name);
    ASSERT_GE(gradients_.size(), 2u);
  }

  void expect(const LossRun& got, double tolerance) const {
    EXPECT_TRUE(near_relative(got.values.loss, loss_, tolerance));
    for (const auto& [name, want] : gradients_) {
      ASSERT_TRUE(got.gradients.contains(name)) << name;
      EXPECT_TRUE(near_relative(got.gradients.at(name), want, tolerance)) << name;
    }
  }

  const OneThread quiet_;
  Arrays inputs_, gradients_;
  int n_ = 0, d_ = 0;
  double loss_ = 0.0;
};

TEST_P(LossGolden, DoubleMatches) {
  LossOptions options = options_of(GetParam().form);
  expect(run_loss(options, n_, d_, inputs_), 1e-9);
  options.cca.solver = CcaSolver::kEigen;
  expect(run_loss(options, n_, d_, inputs_), 1e-9);
}

// KL: inputs of size up to `far`'s rounded to float move a score by 2^-24 * |mu| * |gap| / v, which the
// max-norm of the tensor's gradients bounds with room: 2e-5. CCA: products of depth n and d, 2^-24 * sqrt(n
// d), times what inverting singular values or row norms of T multiplies: 1e-3. Signs in the penalty are safe:
// entries are far from zero.
TEST_P(LossGolden, FloatIsClose) {
  const bool kl = GetParam().form.starts_with("kl");
  expect(run_loss<float>(options_of(GetParam().form), n_, d_, inputs_), kl ? 2e-5 : 1e-3);
}

class KlGolden : public LossGolden {};

TEST_P(KlGolden, RanksMatch) {
  for (const int ranks : worlds({2, 3, 8}))
    expect(run_loss_on_ranks(ranks, options_of(GetParam().form), n_, d_, inputs_), 1e-9);
}

std::vector<Case> kl_cases() {
  std::vector<Case> list = cases();
  std::erase_if(list, [](const Case& c) { return !c.form.starts_with("kl"); });
  return list;
}

INSTANTIATE_TEST_SUITE_P(Goldens, KlGolden, ::testing::ValuesIn(kl_cases()),
                         [](const auto& c) { return c.param.shape + "_" + c.param.form; });
INSTANTIATE_TEST_SUITE_P(Goldens, LossGolden, ::testing::ValuesIn(cases()),
                         [](const auto& c) { return c.param.shape + "_" + c.param.form; });

}  // namespace
}  // namespace emer::test
