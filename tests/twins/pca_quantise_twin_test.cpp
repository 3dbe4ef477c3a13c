// Post-processing sums in double, in one order: the twins agree byte for byte.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/pca_quantise.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using PcaQuantiseTwin = test::TwinTest;

std::vector<std::uint8_t> run(DeviceKind kind, const std::vector<float>& e, const std::vector<float>& matrix,
                              const std::vector<float>& mean, PcaRounding rounding) {
  Context ctx(kind);
  test::DeviceArray<float> in(ctx, e), weights(ctx, matrix), centre(ctx, mean);
  auto out = test::DeviceArray<std::uint8_t>::poisoned(ctx, e.size());
  pca_quantise(ctx, {.rows = static_cast<std::int64_t>(e.size() / mean.size()),
                     .width = static_cast<int>(mean.size()),
                     .e = in.data(),
                     .matrix = weights.data(),
                     .mean = centre.data(),
                     .rounding = rounding,
                     .out = out.data()});
  return out.read();
}

TEST_F(PcaQuantiseTwin, EqualsTheCpu) {
  for (const std::size_t width : {1u, 16u, 35u, 128u})
    for (const std::size_t rows : {1u, 17u}) {
      auto e = test::normal<float>(rows * width, 0, 1, width + rows);
      e[0] = std::numeric_limits<float>::quiet_NaN();
      const auto matrix =
          test::normal<float>(width * width, 0, 1.0 / std::sqrt(static_cast<double>(width)), width);
      const auto mean = test::normal<float>(width, 0, 0.3, width + 1);
      for (const PcaRounding rounding : {PcaRounding::kTruncate, PcaRounding::kNearest})
        EXPECT_EQ(run(DeviceKind::kCuda, e, matrix, mean, rounding),
                  run(DeviceKind::kCpu, e, matrix, mean, rounding))
            << rows << " x " << width;
    }
}

}  // namespace
}  // namespace emer
