// The KL ranking loss, value and gradients.
//
// The check works at any n: the batch is a prime number of different pairs, repeated (repeated_pairs.h). One rank's
// rows of a batch that several share are timed alone, and checked by the sum over all ranks' rows.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "bench/case.h"
#include "bench/cases/repeated_pairs.h"
#include "bench/values.h"
#include "core/shard.h"
#include "core/tensor.h"
#include "kernels/gaussian_kl_rank.h"

namespace emer::bench {

namespace {

class KlCase final : public Prepared {
 public:
  KlCase(Context& ctx, const std::string& precision, Phase phase, std::int64_t n, std::int64_t d,
         KlKernel kernel, int ranks)
      : ctx_(ctx),
        phase_(phase),
        n_(n),
        d_(d),
        kernel_(kernel),
        ranks_(ranks),
        rounding_(operand_rounding(precision)),
        loss_(ctx, {1}) {
    for (int a = 0; a < 4; ++a) {
      inputs_[a].resize(ctx, {n, d});
      gradients_[a].resize(ctx, {n, d});
    }
    fill(n);
  }

  Verdict verify() override {
    const std::int64_t b = std::min<std::int64_t>(n_, 61);
    fill(b);
    Verdict verdict;
    const std::int64_t rows = std::min<std::int64_t>(n_, 1024);
    verdict.how = fmt::format(
        "loss and {} rows of every gradient of a batch of {} repeated pairs, against double loops", rows, b);
    const Bases bases(phase_, b, d_);
    // A score is a sum of 2d products of operands of about one with two roundings each, which add up like a random
    // walk (three deviations of it), and a float sum of its size, about d.
    const double width = static_cast<double>(d_);
    const double score_error = 3.0 * std::sqrt(2.0 * width) * rounding_ + width * 0x1p-23;
    const RepeatedPairs want(bases, n_, score_error);
    const auto row_of = [&](std::int64_t r) { return rows == n_ ? r : (r * 7919 + r / 2) % n_; };
    double loss = 0.0;
    std::vector<float> sums_of_ranks[4];
    for (std::vector<float>& all : sums_of_ranks) all.resize(static_cast<std::size_t>(rows * d_));
    for (int rank = 0; rank < ranks_; ++rank) {
      for (Tensor<float>& gradient : gradients_) poison(ctx_, gradient);
      run_rank(rank);
      loss += read_back(ctx_, loss_.data(), 1).front();
      for (int a = 0; a < 4; ++a)
        for (std::int64_t r = 0; r < rows; ++r) {
          const std::vector<float> values = read_back(ctx_, gradients_[a].data() + row_of(r) * d_, d_);
          for (std::int64_t k = 0; k < d_; ++k)
            sums_of_ranks[a][static_cast<std::size_t>(r * d_ + k)] += values[static_cast<std::size_t>(k)];
        }
    }
    verdict.compare("loss", std::abs(loss - want.loss), 1e-5 * std::abs(want.loss) + want.loss_allowance);
    for (int a = 0; a < 4; ++a) {
      const int side = a / 2;
      const GradientSums& sums = a % 2 == 0 ? want.mean : want.log_variance;
      std::vector<double> expected;
      double masses = 0.0, ties = 0.0;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t k = 0; k < d_; ++k) {
          const auto at = static_cast<std::size_t>(row_of(r) % b * d_ + k);
          expected.push_back(sums.sum[side][at]);
          masses += sums.mass[side][at] * sums.mass[side][at];
          ties += sums.tie[side][at] * sums.tie[side][at];
        }
      }
      constexpr const char* kNames[] = {"d music mean", "d music log variance", "d emotion mean",
                                        "d emotion log variance"};
      verdict.array<float>(kNames[a], sums_of_ranks[a], expected, 0.0,
                           (2.0 * rounding_ + 1e-5) * std::sqrt(masses) + std::sqrt(ties));
    }
    fill(n_);
    return verdict;
  }

  void run() override { run_rank(0); }
  // Two directions, forward and two gradients each, products of depth 2d: the fused form's least.
  double flops() const override {
    return 24.0 * static_cast<double>(shard_of(n_, ranks_, 0).count) * static_cast<double>(n_) *
           static_cast<double>(d_);
  }
  double bytes() const override { return 8.0 * static_cast<double>(inputs_[0].bytes()); }

 private:
  void run_rank(int rank) {
    const Shard own = shard_of(n_, ranks_, rank);
    gaussian_kl_rank<float>(
        ctx_, {.n = static_cast<int>(n_),
               .d = static_cast<int>(d_),
               .first_row = static_cast<int>(own.first),
               .rows = static_cast<int>(own.count),
               .music = {inputs_[0].data(), inputs_[1].data(), gradients_[0].data(), gradients_[1].data()},
               .emotion = {inputs_[2].data(), inputs_[3].data(), gradients_[2].data(), gradients_[3].data()},
               .margin = kMargin,
               .norm_weight = kNormWeight,
               .loss = loss_.data(),
               .kernel = kernel_});
  }
  // Sample i holds the values of sample i mod `period`.
  void fill(std::int64_t period) {
    for (int a = 0; a < 4; ++a)
      upload(ctx_, inputs_[a].data(), n_ * d_,
             [&](std::int64_t i) { return input_at(phase_, a, i / d_ % period * d_ + i % d_); });
  }
  Context& ctx_;
  Phase phase_;
  std::int64_t n_, d_;
  KlKernel kernel_;
  int ranks_;
  double rounding_;
  Tensor<float> inputs_[4], gradients_[4];  // music mean, log variance, emotion mean, log variance
  Tensor<double> loss_;
};

Case kl(Size size, Phase phase, std::int64_t n, std::int64_t d) {
  const bool late = phase == Phase::kLate;
  std::vector<std::string> precisions{"bf16", "tf32", "fp32"};
  if (size == Size::kLarge) precisions = {"bf16"};
  return {fmt::format("kl_{}{}", late ? "late_" : "", n),
          "kl",
          fmt::format("KL ranking loss, hinge, {} x {}, value and gradients, {}", n, d,
                      late ? "hardly any hinge active" : "about half of all hinges active"),
          size,
          {{"n", n}, {"d", d}, {"late", late ? 1 : 0}},
          precisions,
          [=](Context& ctx, const std::string& precision) {
            return std::make_unique<KlCase>(ctx, precision, phase, n, d, KlKernel::kAuto, 1);
          }};
}

// The same by one of our own tensor-core kernels, which know bf16 only.
Case kl_by(KlKernel kernel, Size size, Phase phase, std::int64_t n, std::int64_t d) {
  const char* name = kernel == KlKernel::kTiles ? "tiles" : "hopper";
  Case one = kl(size, phase, n, d);
  one.name = fmt::format("kl_{}_{}{}", name, phase == Phase::kLate ? "late_" : "", n);
  one.group = "kl_kernels";
  one.description += fmt::format(", kernel {}", name);
  one.precisions = {"bf16"};
  one.prepare = [=](Context& ctx, const std::string& precision) {
    return std::make_unique<KlCase>(ctx, precision, phase, n, d, kernel, 1);
  };
  return one;
}

// What the first of `ranks` ranks has to do.
Case kl_of_rank(Size size, int ranks, std::int64_t n, std::int64_t d) {
  Case one = kl(size, Phase::kEarly, n, d);
  one.name = fmt::format("kl_rank_of_{}_{}", ranks, n);
  one.description += fmt::format(", the rows of one of {} ranks", ranks);
  one.group = "kl_ranks";
  one.extents.emplace_back("ranks", ranks);
  one.prepare = [=](Context& ctx, const std::string& precision) {
    return std::make_unique<KlCase>(ctx, precision, Phase::kEarly, n, d, KlKernel::kAuto, ranks);
  };
  return one;
}

}  // namespace

std::vector<Case> kl_cases() {
  std::vector<Case> all{kl(Size::kTiny, Phase::kEarly, 67, 37),
                        kl(Size::kTiny, Phase::kLate, 300, 16),
                        kl(Size::kPaper, Phase::kEarly, 512, 1024),
                        kl(Size::kScale, Phase::kEarly, 8192, 1024),
                        kl(Size::kScale, Phase::kEarly, 32768, 1024),
                        kl(Size::kScale, Phase::kLate, 32768, 1024),
                        kl(Size::kScale, Phase::kEarly, 131072, 1024),
                        kl(Size::kLarge, Phase::kEarly, 1048576, 1024),
                        kl_of_rank(Size::kTiny, 3, 67, 37),
                        kl_of_rank(Size::kScale, 8, 131072, 1024)};
  for (const KlKernel kernel : {KlKernel::kTiles, KlKernel::kHopper}) {
    all.push_back(kl_by(kernel, Size::kTiny, Phase::kEarly, 67, 37));
    all.push_back(kl_by(kernel, Size::kPaper, Phase::kEarly, 512, 1024));
    all.push_back(kl_by(kernel, Size::kScale, Phase::kEarly, 8192, 1024));
    all.push_back(kl_by(kernel, Size::kScale, Phase::kEarly, 32768, 1024));
    all.push_back(kl_by(kernel, Size::kScale, Phase::kLate, 32768, 1024));
    all.push_back(kl_by(kernel, Size::kScale, Phase::kEarly, 131072, 1024));
  }
  return all;
}

}  // namespace emer::bench
