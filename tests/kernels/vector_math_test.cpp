// Against libm in double, over the whole range of float in fine geometric steps; packed products against
// plain loops.
#include "kernels/cpu/vector_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/cpu/column_sums.h"
#include "kernels/cpu/packed_product.h"
#include "tests/support/compare.h"
#include "tests/support/values.h"

namespace emer {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();

// 0, and +-x for x from 1e-30 to 200 in steps of 1/2000.
std::vector<float> sweep() {
  std::vector<float> points{0.0f};
  for (double x = 1e-30; x < 200; x *= 1.0005) {
    points.push_back(static_cast<float>(x));
    points.push_back(static_cast<float>(-x));
  }
  return points;
}

// The largest error in units of the last place of the exact result, where that is a normal number.
double worst_ulp(const std::vector<float>& points, const std::function<float(float)>& got,
                 const std::function<double(double)>& want, float* where) {
  double worst = 0;
  for (const float x : points) {
    const double exact = want(x);
    if (std::abs(exact) < 2 * 1.17549435e-38) continue;
    const double error = std::abs(got(x) - exact) / std::ldexp(1.0, std::ilogb(exact) - 23);
    if (!(error <= worst)) {
      worst = error;
      *where = x;
    }
  }
  return worst;
}

TEST(VectorMath, StaysWithinFourUlp) {
  const auto all = sweep();
  std::vector<float> negative;
  for (const float x : all)
    if (x <= 0 && x > -87) negative.push_back(x);
  float at = 0;
  EXPECT_LE(
      worst_ulp(
          negative, [](float x) { return cpu::exp_negative(x); }, [](double x) { return std::exp(x); }, &at),
      4)
      << at;
  EXPECT_LE(worst_ulp(
                negative, [](float x) { return cpu::expm1_negative(x); },
                [](double x) { return std::expm1(x); }, &at),
            4)
      << at;
  std::vector<float> bounded;
  for (const float x : all)
    if (std::abs(x) < 87) bounded.push_back(x);
  EXPECT_LE(worst_ulp(
                bounded, [](float x) { return cpu::sigmoid(x); },
                [](double x) { return 1 / (1 + std::exp(-x)); }, &at),
            4)
      << at;
  EXPECT_LE(worst_ulp(
                all, [](float x) { return cpu::tanh(x); }, [](double x) { return std::tanh(x); }, &at),
            4)
      << at;
  EXPECT_LE(worst_ulp(
                bounded, [](float x) { return cpu::softplus(x); },
                [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }, &at),
            4)
      << at;
  std::vector<float> normal;
  for (double x = 1.2e-38; x < 3.4e38; x *= 1.0007) normal.push_back(static_cast<float>(x));
  EXPECT_LE(
      worst_ulp(
          normal, [](float x) { return cpu::log_normal(x); }, [](double x) { return std::log(x); }, &at),
      4)
      << at;
}

TEST(VectorMath, EndsOfTheRange) {
  EXPECT_EQ(cpu::sigmoid(kInfinity), 1.0f);
  EXPECT_LT(cpu::sigmoid(-kInfinity), 2e-38f);
  EXPECT_EQ(cpu::tanh(kInfinity), 1.0f);
  EXPECT_EQ(cpu::tanh(-kInfinity), -1.0f);
  EXPECT_EQ(cpu::softplus(1e30f), 1e30f);
  EXPECT_LT(cpu::softplus(-1e30f), 2e-38f);
  EXPECT_EQ(cpu::softplus_slope(1e30f), 1.0f);
  EXPECT_EQ(cpu::softplus_slope(0.0f), 0.0f);
  EXPECT_EQ(cpu::log_normal(kInfinity), kInfinity);
  EXPECT_EQ(cpu::log_normal(1.0f), 0.0f);
  for (const float v : {cpu::sigmoid(kNaN), cpu::tanh(kNaN), cpu::softplus(kNaN), cpu::softplus_slope(kNaN),
                        cpu::log_normal(kNaN)})
    EXPECT_TRUE(std::isnan(v));
}

template <class Real>
void expect_product(cpu::Op op, std::int64_t rows, std::int64_t k, std::int64_t columns) {
  SCOPED_TRACE(testing::Message() << rows << " x " << k << " x " << columns);
  const auto size = [](std::int64_t count) { return static_cast<std::size_t>(count); };
  // Whole numbers up to 3: sums below 2^24 are exact whatever their order.
  auto whole = [&](std::int64_t count, std::uint64_t seed) {
    auto v = test::uniform<Real>(size(count), -3.5, 3.5, seed);
    for (Real& x : v) x = std::round(x);
    return v;
  };
  const std::int64_t lda = k + 3, ldc = columns + 5, ldb = op == cpu::Op::kNone ? columns + 2 : k + 2;
  const auto a = whole(rows * lda, 1), b = whole((op == cpu::Op::kNone ? k : columns) * ldb, 2),
             start = whole(rows * ldc, 3);
  std::vector<Real> packed(size(cpu::packed_size<Real>(k, columns)), static_cast<Real>(kNaN)),
      scratch(size(cpu::packed_scratch_size<Real>(rows, k)), static_cast<Real>(kNaN)), c = start,
                                                                                       want = start;
  cpu::pack(op, k, columns, b.data(), ldb, packed.data());
  cpu::packed_product(rows, k, columns, a.data(), lda, packed.data(), c.data(), ldc, scratch.data());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      for (std::int64_t p = 0; p < k; ++p)
        want[size(i * ldc + j)] +=
            a[size(i * lda + p)] * b[size(op == cpu::Op::kNone ? p * ldb + j : j * ldb + p)];
  EXPECT_EQ(c, want);  // the gaps between the rows of C too
}

TEST(PackedProduct, IsExactOnWholeNumbers) {
  for (const cpu::Op op : {cpu::Op::kNone, cpu::Op::kTranspose})
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25})
      for (const std::int64_t columns : {1, 15, 16, 31, 32, 33, 70}) {
        expect_product<float>(op, rows, 5, columns);
        expect_product<double>(op, rows, 5, columns);
      }
  expect_product<float>(cpu::Op::kTranspose, 12, 1, 32);
  expect_product<float>(cpu::Op::kTranspose, 61, 130, 390);
  expect_product<float>(cpu::Op::kNone, 61, 1025, 257);  // several chunks of panels
}

TEST(ColumnSums, AreExactOnWholeNumbersAndLeaveOtherColumns) {
  for (const std::int64_t rows : {0, 1, 7, 8, 9, 17}) {
    std::vector<float> g(static_cast<std::size_t>(rows * 6), kNaN), sums{10, 20, 30, 40};
    std::vector<float> want = sums;
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < 3; ++j) {
        const auto value = static_cast<float>(i * 5 % 7 - j);
        g[static_cast<std::size_t>(i * 6 + j)] = value;
        want[static_cast<std::size_t>(j)] += value;
      }
    cpu::add_column_sums(g.data(), rows, 3, 6, sums.data());
    EXPECT_EQ(sums, want);
  }
}

}  // namespace
}  // namespace emer
