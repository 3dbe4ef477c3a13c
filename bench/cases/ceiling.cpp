// The device's own rates: what per cent figures are taken of.
#include <fmt/core.h>

#include <bit>
#include <cmath>
#include <type_traits>

#include "bench/case.h"
#include "bench/values.h"
#include "core/float16.h"
#include "core/tensor.h"
#include "kernels/cpu/blas.h"
#include "kernels/cuda/matmul.h"

namespace emer::bench {

namespace {

// Ties to even; finite values only.
std::uint16_t nearest_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

// C[m, n] = A[m, k] B[k, n]; T float, double, or uint16_t for bfloat16 (C is float then).
template <class T>
class Product final : public Prepared {
  using Result = std::conditional_t<std::is_same_v<T, double>, double, float>;

 public:
  Product(Context& ctx, const std::string& precision, std::int64_t m, std::int64_t n, std::int64_t k)
      : ctx_(ctx), m_(m), n_(n), k_(k), rounding_(operand_rounding(precision)) {
    const auto draw = [](std::uint64_t array) {
      return [=](std::int64_t i) { return stored(normal_at(array, static_cast<std::uint64_t>(i))); };
    };
    a_ = uploaded<T>(ctx, {m, k}, draw(1));
    b_ = uploaded<T>(ctx, {k, n}, draw(2));
    c_ = uploaded<Result>(ctx, {m, n}, [](std::int64_t) { return NAN; });
  }
  Verdict verify() override {
    Verdict verdict;
    verdict.how = "64 entries against double sums";
    run();
    std::vector<Result> got;
    std::vector<double> want;
    for (std::int64_t e = 0; e < 64; ++e) {
      const std::int64_t row = e * 131 % m_, column = e * 977 % n_;
      double sum = 0.0;
      for (std::int64_t j = 0; j < k_; ++j) sum += value(1, row * k_ + j) * value(2, j * n_ + column);
      want.push_back(sum);
      got.push_back(read_back(ctx_, c_.data() + row * n_ + column, 1).front());
    }
    // A term carries two operands' roundings (none for bfloat16, whose operands are drawn as such), a sum at most k
    // roundings of its own size: tensor cores cut instead of rounding, so that these need not cancel.
    const bool exact_operands = std::is_same_v<T, std::uint16_t>;
    const double sums = std::is_same_v<T, double> ? 0x1p-53 : 0x1p-24;
    verdict.array<Result>("entries", got, want,
                          (exact_operands ? 0.0 : 2 * rounding_) + static_cast<double>(k_) * sums);
    return verdict;
  }
  void run() override {
    if (!ctx_.on_cuda()) {
      if constexpr (!std::is_same_v<T, std::uint16_t>)
        cpu::gemm(cpu::Op::kNone, cpu::Op::kNone, m_, n_, k_, T{1}, a_.data(), k_, b_.data(), n_, T{0},
                  c_.data(), n_);
      return;
    }
    if constexpr (kWithCuda) {
      const auto type = std::is_same_v<T, double>  ? cuda::MatmulType::kDouble
                        : std::is_same_v<T, float> ? cuda::MatmulType::kFloat
                                                   : cuda::MatmulType::kBf16;
      cuda::matmul(ctx_, {.m = m_,
                          .n = n_,
                          .k = k_,
                          .a = a_.data(),
                          .lda = k_,
                          .b = b_.data(),
                          .ldb = n_,
                          .c = c_.data(),
                          .ldc = n_,
                          .input = type,
                          .output = std::is_same_v<T, double> ? type : cuda::MatmulType::kFloat,
                          .precision = ctx_.precision()});
    }
  }
  double flops() const override {
    return 2.0 * static_cast<double>(m_) * static_cast<double>(n_) * static_cast<double>(k_);
  }
  double bytes() const override { return static_cast<double>(a_.bytes() + b_.bytes() + c_.bytes()); }

 private:
  static T stored(double value) {
    if constexpr (std::is_same_v<T, std::uint16_t>)
      return nearest_bf16(static_cast<float>(value));
    else
      return static_cast<T>(value);
  }
  static double value(std::uint64_t array, std::int64_t index) {
    const T kept = stored(normal_at(array, static_cast<std::uint64_t>(index)));
    if constexpr (std::is_same_v<T, std::uint16_t>)
      return static_cast<double>(float_from_bf16(kept));
    else
      return static_cast<double>(kept);
  }
  Context& ctx_;
  std::int64_t m_, n_, k_;
  double rounding_;
  Tensor<T> a_, b_;
  Tensor<Result> c_;
};

class Copy final : public Prepared {
 public:
  Copy(Context& ctx, std::int64_t elements)
      : ctx_(ctx), from_(normal_tensor(ctx, {elements}, 3)), to_(ctx, {elements}) {
    poison(ctx, to_);
  }
  Verdict verify() override {
    Verdict verdict;
    verdict.how = "64 elements, equal";
    run();
    for (std::int64_t e = 0; e < 64; ++e) {
      const std::int64_t i = (e * 1000003) % static_cast<std::int64_t>(from_.size());
      verdict.value("element", read_back(ctx_, to_.data() + i, 1).front(),
                    static_cast<float>(normal_at(3, static_cast<std::uint64_t>(i))), 0.0);
    }
    return verdict;
  }
  void run() override { copy_on_device(ctx_, to_.data(), from_.data(), from_.bytes()); }
  double flops() const override { return 0.0; }
  double bytes() const override { return 2.0 * static_cast<double>(from_.bytes()); }

 private:
  Context& ctx_;
  Tensor<float> from_, to_;
};

Case product(Size size, std::int64_t m, std::int64_t n, std::int64_t k, const char* why) {
  const bool cube = m == n && n == k;
  return {cube ? fmt::format("gemm_{}", m) : fmt::format("gemm_{}x{}x{}", m, n, k),
          "gemm",
          fmt::format("matrix product {} x {} x {} through the library: {}", m, n, k, why),
          size,
          {{"m", m}, {"n", n}, {"k", k}},
          {"bf16", "tf32", "fp32", "fp64"},
          [=](Context& ctx, const std::string& precision) -> std::unique_ptr<Prepared> {
            if (precision == "fp64") return std::make_unique<Product<double>>(ctx, precision, m, n, k);
            if (precision == "bf16") return std::make_unique<Product<std::uint16_t>>(ctx, precision, m, n, k);
            return std::make_unique<Product<float>>(ctx, precision, m, n, k);
          },
          cube};
}

Case copy(Size size, std::int64_t mebibytes) {
  return {
      fmt::format("copy_{}MiB", mebibytes),
      "copy",
      fmt::format("copy of {} MiB within the device", mebibytes),
      size,
      {{"bytes", mebibytes << 20}},
      {"fp32"},
      [=](Context& ctx, const std::string&) { return std::make_unique<Copy>(ctx, (mebibytes << 20) / 4); },
      true};
}

}  // namespace

std::vector<Case> ceiling_cases() {
  return {product(Size::kTiny, 67, 67, 67, "for tests"),
          copy(Size::kTiny, 1),
          product(Size::kPaper, 2048, 2048, 2048, "the ceiling on the CPU"),
          copy(Size::kPaper, 256),
          product(Size::kScale, 8192, 8192, 8192, "the ceiling on a GPU"),
          copy(Size::kScale, 4096),
          product(Size::kPaper, 512, 1024, 1024, "a dense layer of the model, bound by latency")};
}

}  // namespace emer::bench
