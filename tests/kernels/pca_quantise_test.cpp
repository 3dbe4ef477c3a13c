// Post-processing by hand arithmetic and against plain loops.
#include "kernels/pca_quantise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/check.h"
#include "tests/support/values.h"

namespace emer {
namespace {

std::vector<std::uint8_t> quantised(const std::vector<float>& e, const std::vector<float>& matrix,
                                    const std::vector<float>& mean, PcaRounding rounding) {
  Context ctx;
  std::vector<std::uint8_t> out(e.size(), 77);
  pca_quantise(ctx, {.rows = static_cast<std::int64_t>(e.size() / mean.size()),
                     .width = static_cast<int>(mean.size()),
                     .e = e.data(),
                     .matrix = matrix.data(),
                     .mean = mean.data(),
                     .rounding = rounding,
                     .out = out.data()});
  return out;
}

TEST(PcaQuantise, ByHand) {
  // y = (x1 - 1, 2 x0 - 1): rows give (-2, -1), (0, 0), (2, 3), (0.01, -0.99)
  const std::vector<float> e = {0, -1, 0.5f, 1, 2, 3, 0.005f, 1.01f}, matrix = {0, 1, 2, 0}, mean = {0.5f, 1};
  EXPECT_EQ(quantised(e, matrix, mean, PcaRounding::kTruncate),
            (std::vector<std::uint8_t>{0, 63, 127, 127, 255, 255, 128, 64}));
  EXPECT_EQ(quantised(e, matrix, mean, PcaRounding::kNearest),
            (std::vector<std::uint8_t>{0, 64, 128, 128, 255, 255, 128, 64}));
}

// y = x. 127.5, at y = 0, is the only half between levels that a float gives exactly.
TEST(PcaQuantise, TheHalfGoesToTheEvenLevel) {
  EXPECT_EQ(quantised({0.0f, 1.0f}, {1}, {0}, PcaRounding::kNearest), (std::vector<std::uint8_t>{128, 191}));
  EXPECT_EQ(quantised({0.0f, 1.0f}, {1}, {0}, PcaRounding::kTruncate), (std::vector<std::uint8_t>{127, 191}));
}

TEST(PcaQuantise, EqualsPlainLoops) {
  for (const std::size_t width : {1u, 7u, 128u}) {
    const std::size_t rows = 37;
    const auto e = test::normal<float>(rows * width, 0, 1, width);
    const auto matrix =
        test::normal<float>(width * width, 0, 1.0 / std::sqrt(static_cast<double>(width)), width + 1);
    const auto mean = test::normal<float>(width, 0, 0.3, width + 2);
    const auto down = quantised(e, matrix, mean, PcaRounding::kTruncate),
               nearest = quantised(e, matrix, mean, PcaRounding::kNearest);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t i = 0; i < width; ++i) {
        long double y = 0;
        for (std::size_t j = 0; j < width; ++j)
          y += static_cast<long double>(matrix[i * width + j]) *
               (static_cast<long double>(e[r * width + j]) - static_cast<long double>(mean[j]));
        const auto level = static_cast<double>((std::fmin(std::fmax(y, -2.0L), 2.0L) + 2.0L) * 255.0L / 4.0L);
        // A value within rounding of an edge may fall to either side.
        EXPECT_TRUE(down[r * width + i] == std::floor(level - 1e-9) ||
                    down[r * width + i] == std::floor(level + 1e-9))
            << r << ' ' << i << ' ' << level;
        EXPECT_LE(std::abs(nearest[r * width + i] - level), 0.5 + 1e-9) << r << ' ' << i;
      }
  }
}

TEST(PcaQuantise, NanIsZeroAndNothingIsNothing) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(quantised({nan, infinity, -infinity}, {1}, {0}, PcaRounding::kNearest),
            (std::vector<std::uint8_t>{0, 255, 0}));
  EXPECT_TRUE(quantised({}, {1}, {0}, PcaRounding::kNearest).empty());
  Context ctx;
  EXPECT_THROW(pca_quantise(ctx, {.rows = 1, .width = 0}), Error);
  EXPECT_THROW(pca_quantise(ctx, {.rows = 1, .width = 4}), Error);
}

}  // namespace
}  // namespace emer
