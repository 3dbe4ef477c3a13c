// Against stored outputs and gradients of PyTorch (tests/goldens/README.md).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/safetensors.h"
#include "layers/vggish.h"
#include "tests/layers/vggish_run.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace emer {
namespace {

// As vggish.py.
template <class Real>
std::vector<Real> formula(std::int64_t count, std::int64_t step, double low, double high) {
  std::vector<Real> result;
  for (std::int64_t k = 0; k < count; ++k)
    result.push_back(static_cast<Real>(low + (high - low) * static_cast<double>(k * step % 10007) / 10007.0));
  return result;
}

template <class Real>
void expect_golden(int piece, double value_bound, double gradient_bound) {
  const auto weights = SafetensorsFile::open(test::golden("vggish.weights.safetensors"));
  const auto want = SafetensorsFile::open(test::golden("vggish.gradients.safetensors"));
  constexpr int kPatches = 3;
  VggishConfig config;
  config.channels = {4, 6, 8, 8, 12, 12};
  config.dense = {32, 24, 16};
  config.piece = piece;
  Context ctx;
  test::VggishRun<Real> run(ctx, config);
  for (auto* p : run.list)
    p->parameter.value.from_host(ctx, weights.read<Real>(p->parameter.name, p->parameter.value.shape()));
  const auto x = formula<Real>(std::int64_t{kPatches} * test::kPatch, 7919, -4, 2);
  const auto dy = formula<Real>(kPatches * 16, 3571, -1, 1);
  const Real* y = run.network.forward(ctx, 1, kPatches, x.data(), nullptr, true);
  EXPECT_TRUE(
      test::near_relative(std::vector<Real>(y, y + dy.size()), want.read<double>("output"), value_bound));
  run.network.backward(ctx, dy.data());
  EXPECT_EQ(run.list.size(), 18u);
  for (const auto* p : run.list) {
    SCOPED_TRACE(p->parameter.name);
    EXPECT_TRUE(test::near_relative(p->parameter.gradient.to_host(ctx), want.read<double>(p->parameter.name),
                                    gradient_bound));
  }
}

// Sums of at most 18,432 products one behind the other, nine layers deep: some thousand roundings of 1.1e-16.
TEST(VggishGolden, DoubleMatchesPyTorch) {
  expect_golden<double>(0, 1e-12, 1e-9);
  expect_golden<double>(2, 1e-12, 1e-9);
}

// Values: the same at 6e-8, errors of both signs. Gradients: a maximum that another place of its window takes in float,
// of 200,000 windows, moves one of 73,728 products of a sum to a neighbouring value.
TEST(VggishGolden, FloatMatchesPyTorch) {
  expect_golden<float>(0, 1e-5, 1e-4);
  expect_golden<float>(1, 1e-5, 1e-4);
}

}  // namespace
}  // namespace emer
