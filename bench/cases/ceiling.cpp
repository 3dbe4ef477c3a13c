// The machine's own rate for a large float32 product: what per cent figures are taken of.
#include <cmath>

#include "bench/case.h"
#include "core/random.h"
#include "core/tensor.h"
#include "kernels/cpu/blas.h"

namespace emer::bench {

namespace {

constexpr int kSize =
    2048;  // operands of 16 MiB: far beyond the caches of one core, as the model's products are

class Sgemm final : public Prepared {
 public:
  explicit Sgemm(Context& ctx) : a_(ctx, {kSize, kSize}), b_(ctx, {kSize, kSize}), c_(ctx, {kSize, kSize}) {
    EMER_CHECK(!ctx.on_cuda(), "bench: the sgemm ceiling is measured on the CPU");
    for (std::size_t i = 0; i < a_.size(); ++i) {
      const PhiloxBlock draw = philox(1, 0, i);
      a_.data()[i] = unit_float(draw.word[0]) - 0.5f;
      b_.data()[i] = unit_float(draw.word[1]) - 0.5f;
      c_.data()[i] = NAN;
    }
  }
  int verify(std::string& how) override {
    how = "64 entries against double sums";
    run();
    int wrong = 0;
    for (int k = 0; k < 64; ++k) {
      const std::size_t row = static_cast<std::size_t>(k * 31 % kSize),
                        column = static_cast<std::size_t>(k * 977 % kSize);
      double want = 0.0, size = 0.0;
      for (std::size_t j = 0; j < kSize; ++j) {
        const double term = double{a_.data()[row * kSize + j]} * double{b_.data()[j * kSize + column]};
        want += term;
        size += std::abs(term);
      }
      // Any order of summation errs by less than depth * eps * sum |terms|; the depth is far under 2048.
      if (!(std::abs(c_.data()[row * kSize + column] - want) <= 128 * 6e-8 * size)) ++wrong;
    }
    return wrong;
  }
  void run() override {
    cpu::gemm(cpu::Op::kNone, cpu::Op::kNone, kSize, kSize, kSize, 1.0f, a_.data(), kSize, b_.data(), kSize,
              0.0f, c_.data(), kSize);
  }
  double flops() const override { return 2.0 * kSize * kSize * kSize; }

 private:
  Tensor<float> a_, b_, c_;
};

}  // namespace

std::vector<Case> ceiling_cases() {
  return {{"sgemm", "float32 matrix product 2048 x 2048 x 2048 through OpenBLAS: the ceiling",
           [](Context& ctx) { return std::make_unique<Sgemm>(ctx); }}};
}

}  // namespace emer::bench
