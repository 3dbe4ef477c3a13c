// Products through cuBLASLt against plain loops in double. Bounds, with u = 2^-24 and S = sum |a b|:
//   float   each product and each of the k sums rounds once, so do alpha and beta: (k + 4) u (|alpha| S + |beta c|)
//   tf32    tensor cores may cut off where they add: 4 (k + 4) u; an operand loses 2^-10 where it is cut: 2.01 * 2^-10 S
//   bf16    operands are rounded here as well, exactly; then as tf32 without its second part
//   double  as float with u = 2^-53
// and half a unit of what C is stored in.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "core/float16.h"
#include "core/work_graph.h"
#include "kernels/cuda/matmul.h"
#include "tests/support/bf16.h"
#include "tests/support/device_run.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using cuda::Epilogue;
using cuda::Matmul;
using cuda::MatmulType;
using MatmulTwin = test::TwinTest;

std::vector<std::uint16_t> bf16_bits(const std::vector<float>& values) {
  std::vector<std::uint16_t> bits;
  for (const float value : values)
    bits.push_back(static_cast<std::uint16_t>(
        std::bit_cast<std::uint32_t>(static_cast<float>(test::bf16_rounded(value))) >> 16));
  return bits;
}
std::vector<float> from_bits(const std::vector<std::uint16_t>& bits) {
  std::vector<float> values;
  for (const std::uint16_t b : bits) values.push_back(float_from_bf16(b));
  return values;
}

// What a product over `values` must be, and how far off it may be. `c` is C before; `rounds` rounds an operand.
struct Oracle {
  const Matmul& p;
  const std::vector<float>&a, &b;
  std::vector<float> c, bias;
  double unit, operand_loss;
  bool rounds;

  double operand(const std::vector<float>& x, std::int64_t index) const {
    const double value = x[static_cast<std::size_t>(index)];
    return rounds ? test::bf16_rounded(value) : value;
  }
  void expect(const std::vector<float>& got, double stored_unit) const {
    for (int batch = 0; batch < p.batch; ++batch)
      for (std::int64_t i = 0; i < p.m; ++i)
        for (std::int64_t j = 0; j < p.ldc && batch * p.stride_c + i * p.ldc + j < std::ssize(got); ++j) {
          const auto cell = static_cast<std::size_t>(batch * p.stride_c + i * p.ldc + j);
          if (j >= p.n) {
            EXPECT_TRUE(std::isnan(got[cell])) << "written between rows, row " << i;
            continue;
          }
          double sum = 0, size = 0;
          for (std::int64_t t = 0; t < p.k; ++t) {
            const double left =
                operand(a, batch * p.stride_a + (p.transpose_a ? t * p.lda + i : i * p.lda + t));
            const double right =
                operand(b, batch * p.stride_b + (p.transpose_b ? j * p.ldb + t : t * p.ldb + j));
            sum += left * right;
            size += std::abs(left * right);
          }
          double want = p.alpha * sum;
          double bound = std::abs(p.alpha) * size * (operand_loss + unit * static_cast<double>(p.k + 4));
          if (p.beta != 0) {
            want += p.beta * static_cast<double>(c[cell]);
            bound += 4 * unit * std::abs(p.beta * static_cast<double>(c[cell]));
          }
          if (!bias.empty()) {
            const double shift = bias[static_cast<std::size_t>(batch * p.stride_bias + j)];
            want += stored_unit > unit ? test::bf16_rounded(shift) : shift;
            bound += 4 * unit * std::abs(shift);
          }
          if (p.epilogue == Epilogue::kReluBias) want = std::max(want, 0.0);
          bound += stored_unit * std::abs(want) * 1.01;
          ASSERT_NEAR(got[cell], want, bound) << "[" << p.m << ", " << p.k << "] by [" << p.k << ", " << p.n
                                              << "] at (" << i << ", " << j << ")";
        }
  }
};

constexpr double kFloatUnit = 0x1p-24;
// What is computed last would show that it took the algorithm of what came before.
constexpr Precision kPrecisions[] = {Precision::kTf32, Precision::kBf16, Precision::kFp32};

std::size_t length(std::int64_t rows, std::int64_t ld, int batch = 1, std::int64_t stride = 0) {
  return static_cast<std::size_t>((batch - 1) * stride + rows * ld);
}

// Runs p over fresh values in the given precision twice, checks against the oracle and both runs against each other.
void check_float(Context& ctx, Matmul p, std::uint64_t seed) {
  const auto a =
      test::uniform<float>(length(p.transpose_a ? p.k : p.m, p.lda, p.batch, p.stride_a), -1, 1, seed);
  const auto b =
      test::uniform<float>(length(p.transpose_b ? p.n : p.k, p.ldb, p.batch, p.stride_b), -1, 1, seed + 1);
  std::vector<float> c(length(p.m, p.ldc, p.batch, p.stride_c), std::numeric_limits<float>::quiet_NaN());
  if (p.beta != 0) {
    const auto before = test::uniform<float>(c.size(), -2, 2, seed + 2);
    for (int batch = 0; batch < p.batch; ++batch)
      for (std::int64_t i = 0; i < p.m; ++i)
        for (std::int64_t j = 0; j < p.n; ++j) {
          const auto cell = static_cast<std::size_t>(batch * p.stride_c + i * p.ldc + j);
          c[cell] = before[cell];
        }
  }
  std::vector<float> bias;
  if (p.epilogue != Epilogue::kNone)
    bias =
        test::uniform<float>(static_cast<std::size_t>((p.batch - 1) * p.stride_bias + p.n), -2, 2, seed + 3);

  test::DeviceArray<float> device_a(ctx, a), device_b(ctx, b), device_bias(ctx, bias);
  p.a = device_a.data();
  p.b = device_b.data();
  if (!bias.empty()) p.bias = device_bias.data();
  std::vector<float> runs[2];
  for (auto& run : runs) {
    auto device_c = test::DeviceArray<float>::poisoned(ctx, c.size());
    copy_to_device(ctx, device_c.data(), c.data(), c.size() * sizeof(float));
    p.c = device_c.data();
    cuda::matmul(ctx, p);
    run = device_c.read();
  }
  EXPECT_EQ(std::memcmp(runs[0].data(), runs[1].data(), runs[0].size() * sizeof(float)), 0);
  const bool tensor = p.precision != Precision::kFp32;
  const Oracle oracle{.p = p,
                      .a = a,
                      .b = b,
                      .c = c,
                      .bias = bias,
                      .unit = tensor ? 4 * kFloatUnit : kFloatUnit,
                      .operand_loss = p.precision == Precision::kTf32 ? 2.01 * 0x1p-10 : 0.0,
                      .rounds = p.precision == Precision::kBf16};
  oracle.expect(runs[0], kFloatUnit);
}

TEST_F(MatmulTwin, EveryTranspositionAndPrecision) {
  Context ctx(DeviceKind::kCuda);
  struct Size {
    std::int64_t m, n, k;
  };
  for (const Size& s : {Size{1, 1, 1}, {2, 3, 5}, {31, 33, 32}, {64, 17, 127}, {5, 100, 257}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true})
        for (const Precision precision : kPrecisions) {
          check_float(ctx,
                      {.transpose_a = ta,
                       .transpose_b = tb,
                       .m = s.m,
                       .n = s.n,
                       .k = s.k,
                       .lda = (ta ? s.m : s.k),
                       .ldb = (tb ? s.k : s.n),
                       .ldc = s.n,
                       .precision = precision},
                      7);
          check_float(ctx,
                      {.transpose_a = ta,
                       .transpose_b = tb,
                       .m = s.m,
                       .n = s.n,
                       .k = s.k,
                       .alpha = -0.5,
                       .lda = (ta ? s.m : s.k) + 3,
                       .ldb = (tb ? s.k : s.n) + 1,
                       .beta = 2.0,
                       .ldc = s.n + 5,
                       .precision = precision},
                      8);
        }
}

TEST_F(MatmulTwin, LeadingDimensions) {
  Context ctx(DeviceKind::kCuda);
  for (const int gaps : {0, 1, 2, 4})  // of A, B, C
    check_float(
        ctx,
        {.m = 9, .n = 8, .k = 7, .lda = 7 + 2 * (gaps & 1), .ldb = 8 + (gaps & 2), .ldc = 8 + (gaps & 4)}, 9);
}

TEST_F(MatmulTwin, BiasAndRelu) {
  Context ctx(DeviceKind::kCuda);
  for (const Epilogue epilogue : {Epilogue::kNone, Epilogue::kBias, Epilogue::kReluBias})
    for (const Precision precision : kPrecisions)
      check_float(ctx,
                  {.m = 33,
                   .n = 20,
                   .k = 40,
                   .lda = 40,
                   .ldb = 20,
                   .ldc = 22,
                   .precision = precision,
                   .epilogue = epilogue},
                  9);
}

// Two and three products: of matrices of their own, and of one matrix with three; a bias for each, and one for all.
TEST_F(MatmulTwin, Batches) {
  Context ctx(DeviceKind::kCuda);
  for (const Precision precision : kPrecisions) {
    Matmul p{.transpose_b = true,
             .m = 10,
             .n = 12,
             .k = 9,
             .lda = 9,
             .ldb = 9,
             .ldc = 12,
             .precision = precision,
             .batch = 3,
             .stride_a = 90,
             .stride_b = 108,
             .stride_c = 120};
    check_float(ctx, p, 10);
    p.batch = 2;
    check_float(ctx, p, 11);
    p.batch = 3;
    p.stride_a = 0;
    check_float(ctx, p, 12);
    p.epilogue = Epilogue::kBias;
    p.stride_bias = 12;
    check_float(ctx, p, 13);
    p.stride_bias = 0;
    check_float(ctx, p, 14);
  }
}

TEST_F(MatmulTwin, NothingToSumLeavesBetaAndBias) {
  Context ctx(DeviceKind::kCuda);
  for (const double beta : {0.0, 0.5})
    for (const Epilogue epilogue : {Epilogue::kNone, Epilogue::kBias, Epilogue::kReluBias})
      check_float(
          ctx,
          {.m = 3, .n = 300, .k = 0, .lda = 0, .ldb = 300, .beta = beta, .ldc = 301, .epilogue = epilogue},
          13);
}

TEST_F(MatmulTwin, EmptyResultsAreLeftAlone) {
  Context ctx(DeviceKind::kCuda);
  cuda::matmul(ctx, {.m = 0, .n = 4, .k = 4, .lda = 4, .ldb = 4, .ldc = 4});
  cuda::matmul(ctx, {.m = 4, .n = 0, .k = 4, .lda = 4, .ldb = 0, .ldc = 0});
  ctx.synchronize();
}

TEST_F(MatmulTwin, Bfloat16InAndOut) {
  Context ctx(DeviceKind::kCuda);
  const std::int64_t m = 19, n = 24, k = 70;
  const auto a_bits = bf16_bits(test::uniform<float>(static_cast<std::size_t>(m * k), -1, 1, 14));
  const auto b_bits = bf16_bits(test::uniform<float>(static_cast<std::size_t>(k * n), -1, 1, 15));
  const auto a = from_bits(a_bits), b = from_bits(b_bits);
  const auto bias = test::uniform<float>(static_cast<std::size_t>(n), -1, 1, 16);
  test::DeviceArray<std::uint16_t> device_a(ctx, a_bits), device_b(ctx, b_bits);
  test::DeviceArray<float> device_bias(ctx, bias);
  Matmul p{.m = m,
           .n = n,
           .k = k,
           .a = device_a.data(),
           .lda = k,
           .b = device_b.data(),
           .ldb = n,
           .ldc = n,
           .input = MatmulType::kBf16};
  Oracle oracle{.p = p,
                .a = a,
                .b = b,
                .c = {},
                .bias = {},
                .unit = 4 * kFloatUnit,
                .operand_loss = 0,
                .rounds = false};
  auto wide = test::DeviceArray<float>::poisoned(ctx, static_cast<std::size_t>(m * n));
  p.c = wide.data();
  cuda::matmul(ctx, p);
  oracle.expect(wide.read(), kFloatUnit);

  auto narrow = test::DeviceArray<std::uint16_t>::poisoned(ctx, static_cast<std::size_t>(m * n));
  p.c = narrow.data();
  p.output = MatmulType::kBf16;
  p.epilogue = Epilogue::kReluBias;
  p.bias = device_bias.data();
  oracle.bias = bias;
  cuda::matmul(ctx, p);
  oracle.expect(from_bits(narrow.read()), 0x1p-8);

  // Float operands to a bfloat16 result, and then nothing to sum.
  const auto floats = test::uniform<float>(static_cast<std::size_t>(m * k), -1, 1, 17);
  test::DeviceArray<float> device_floats(ctx, floats), device_b_floats(ctx, b);
  Matmul q = p;
  q.a = device_floats.data();
  q.b = device_b_floats.data();
  q.input = MatmulType::kFloat;
  q.precision = Precision::kBf16;
  cuda::matmul(ctx, q);
  Oracle{.p = q,
         .a = floats,
         .b = b,
         .c = {},
         .bias = bias,
         .unit = 4 * kFloatUnit,
         .operand_loss = 0,
         .rounds = true}
      .expect(from_bits(narrow.read()), 0x1p-8);
  q.k = 0;
  q.epilogue = Epilogue::kNone;
  q.bias = nullptr;
  cuda::matmul(ctx, q);
  for (const std::uint16_t bits : narrow.read()) EXPECT_EQ(bits, 0);
}

TEST_F(MatmulTwin, Double) {
  Context ctx(DeviceKind::kCuda);
  const std::int64_t m = 13, n = 9, k = 66;
  const auto a = test::uniform<double>(static_cast<std::size_t>(k * m), -1, 1, 18);
  const auto b = test::uniform<double>(static_cast<std::size_t>(k * n), -1, 1, 19);
  const auto c = test::uniform<double>(static_cast<std::size_t>(m * n), -1, 1, 20);
  test::DeviceArray<double> device_a(ctx, a), device_b(ctx, b), device_c(ctx, c);
  cuda::matmul(ctx, {.transpose_a = true,
                     .m = m,
                     .n = n,
                     .k = k,
                     .alpha = 0.1,
                     .a = device_a.data(),
                     .lda = m,
                     .b = device_b.data(),
                     .ldb = n,
                     .beta = -0.3,
                     .c = device_c.data(),
                     .ldc = n,
                     .input = MatmulType::kDouble,
                     .output = MatmulType::kDouble});
  const auto got = device_c.read();
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::int64_t t = 0; t < k; ++t)
        sum += a[static_cast<std::size_t>(t * m + i)] * b[static_cast<std::size_t>(t * n + j)];
      const auto cell = static_cast<std::size_t>(i * n + j);
      EXPECT_NEAR(got[cell], 0.1 * sum - 0.3 * c[cell], 2 * (k + 4) * 0x1p-53 * k);
    }
}

// The algorithm depends on the pointers' alignment: each of the four on and off an aligned address.
TEST_F(MatmulTwin, OperandsAnywhere) {
  Context ctx(DeviceKind::kCuda);
  const std::int64_t m = 4, n = 8, k = 8;
  const auto values = test::uniform<float>(128, -1, 1, 21);
  const auto from = [&](std::ptrdiff_t offset) {
    return std::vector<float>(values.begin() + offset, values.end());
  };
  test::DeviceArray<float> a(ctx, values), b(ctx, values), bias(ctx, values), c(ctx, values);
  for (const Precision precision : kPrecisions)
    for (unsigned off = 0; off < 16; ++off) {
      const std::ptrdiff_t at_a = off & 1, at_b = off >> 1 & 1, at_c = off >> 2 & 1, at_bias = off >> 3 & 1;
      const Matmul p{.m = m,
                     .n = n,
                     .k = k,
                     .a = a.data() + at_a,
                     .lda = k,
                     .b = b.data() + at_b,
                     .ldb = n,
                     .c = c.data() + at_c,
                     .ldc = n,
                     .precision = precision,
                     .epilogue = Epilogue::kBias,
                     .bias = bias.data() + at_bias};
      cuda::matmul(ctx, p);
      auto got = c.read();
      got.erase(got.begin(), got.begin() + at_c);
      got.resize(static_cast<std::size_t>(m * n));
      const std::vector<float> a_here = from(at_a), b_here = from(at_b);
      Oracle{.p = p,
             .a = a_here,
             .b = b_here,
             .c = {},
             .bias = from(at_bias),
             .unit = 4 * kFloatUnit,
             .operand_loss = precision == Precision::kTf32 ? 2.01 * 0x1p-10 : 0.0,
             .rounds = precision == Precision::kBf16}
          .expect(got, kFloatUnit);
    }
}

TEST_F(MatmulTwin, Records) {
  for (const Precision precision : kPrecisions) {
    Context ctx(DeviceKind::kCuda);
    Tensor<float> a(ctx, {1, 100}, std::vector<float>(100, 1.0f)),
        b(ctx, {100, 1}, std::vector<float>(100, 1.0f));
    Tensor<float> c(ctx, {1}, std::vector<float>{1.0f});
    const auto accumulate = [&] {
      cuda::matmul(ctx, {.m = 1,
                         .n = 1,
                         .k = 100,
                         .a = a.data(),
                         .lda = 100,
                         .b = b.data(),
                         .ldb = 1,
                         .beta = 1,
                         .c = c.data(),
                         .ldc = 1,
                         .precision = precision});
    };
    accumulate();  // the arena finds its size
    ctx.synchronize();
    WorkGraph graph(ctx, accumulate);
    graph.launch(ctx);
    a.from_host(ctx, std::vector<float>(100, 2.0f));
    graph.launch(ctx);
    EXPECT_EQ(c.to_host(ctx), std::vector<float>{401.0f});
  }
}

TEST_F(MatmulTwin, RefusesWhatDoesNotGoTogether) {
  Context ctx(DeviceKind::kCuda);
  const Matmul good{.m = 2, .n = 2, .k = 2, .lda = 2, .ldb = 2, .ldc = 2};
  const auto refused = [&](Matmul p, std::string_view part) {
    try {
      cuda::matmul(ctx, p);
    } catch (const std::exception& error) {
      return test::contains(error.what(), part);
    }
    return ::testing::AssertionFailure() << "nothing was thrown";
  };
  Matmul p = good;
  p.lda = 1;
  EXPECT_TRUE(refused(p, "leading dimensions 1, 2, 2"));
  p = good;
  p.output = MatmulType::kDouble;
  EXPECT_TRUE(refused(p, "double does not mix"));
  p = good;
  p.output = MatmulType::kBf16;
  EXPECT_TRUE(refused(p, "bf16 precision only"));
  p = good;
  p.epilogue = Epilogue::kBias;
  EXPECT_TRUE(refused(p, "a bias goes with its epilogue"));
}

}  // namespace
}  // namespace emer
