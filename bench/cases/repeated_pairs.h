// bench/cases/repeated_pairs.h - the KL ranking loss of a batch made of a few different pairs, repeated: loss and
// gradients at any n from a small square of scores in double, by plain loops (method.md 3.1).
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "bench/values.h"
#include "core/parallel.h"

namespace emer::bench {

inline constexpr double kMargin = 1.0, kNormWeight = 1e-3, kVarianceFloor = 1e-6;

// What the two views have in common. Early: nothing, as at the start of a training, and about half of all hinges are
// active. Late: emotion is music slightly moved, so that the match beats everything and hardly a hinge is active.
enum class Phase { kEarly, kLate };

inline double input_at(Phase phase, int array, std::int64_t index) {
  const auto i = static_cast<std::uint64_t>(index);
  const bool variance = array % 2 == 1;
  const double own = (variance ? 0.3 : 1.0) * normal_at(static_cast<std::uint64_t>(10 + array), i);
  if (phase == Phase::kEarly || array < 2) return own;
  return input_at(phase, array - 2, index) + 0.05 * own;
}

using Matrix = std::vector<double>;

// The b different pairs in double: variances and scores by their definitions.
struct Bases {
  std::int64_t b, d;
  Matrix mean[2], variance[2], growth[2];  // growth = e^log_variance = dv / d log_variance
  Matrix score[2];                         // [i, j] = KL(other side's j || side's i), rows of side 0 or 1

  Bases(Phase phase, std::int64_t bases, std::int64_t width) : b(bases), d(width) {
    for (int side = 0; side < 2; ++side) {
      const auto count = static_cast<std::size_t>(b * d);
      mean[side].resize(count);
      variance[side].resize(count);
      growth[side].resize(count);
      for (std::int64_t i = 0; i < b * d; ++i) {
        const auto at = static_cast<std::size_t>(i);
        mean[side][at] = static_cast<float>(input_at(phase, 2 * side, i));
        growth[side][at] =
            std::exp(static_cast<double>(static_cast<float>(input_at(phase, 2 * side + 1, i))));
        variance[side][at] = growth[side][at] + kVarianceFloor;
      }
    }
    for (int side = 0; side < 2; ++side) {
      score[side].resize(static_cast<std::size_t>(b * b));
      parallel_for(b * b, 16, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t pair = begin; pair < end; ++pair)
          score[side][static_cast<std::size_t>(pair)] = divergence(1 - side, pair % b, side, pair / b);
      });
    }
  }
  // KL(p || q) of two of the Gaussians.
  double divergence(int side_p, std::int64_t p, int side_q, std::int64_t q) const {
    double sum = 0.0;
    for (std::int64_t k = 0; k < d; ++k) {
      const auto ip = static_cast<std::size_t>(p * d + k), iq = static_cast<std::size_t>(q * d + k);
      const double vp = variance[side_p][ip], vq = variance[side_q][iq];
      const double gap = mean[side_q][iq] - mean[side_p][ip];
      sum += vp / vq - 1.0 + std::log(vq / vp) + gap * gap / vq;
    }
    return 0.5 * sum;
  }
  double at(int side, std::int64_t i, std::int64_t j) const {
    return score[side][static_cast<std::size_t>(i * b + j)];
  }
};

// Sums over the pairs that touch a base; [b, d] per side.
struct GradientSums {
  Matrix sum[2];   // the gradient
  Matrix mass[2];  // every operand of every pair taken as positive: what rounding is relative to
  Matrix tie[2];   // what hinges too near their kink to be decided could add or take

  explicit GradientSums(std::size_t count) {
    for (int side = 0; side < 2; ++side)
      for (Matrix* m : {&sum[side], &mass[side], &tie[side]}) m->assign(count, 0.0);
  }
  // What `weight` times a pair gives, whose part is a sum of operands of `size` together.
  void add(int side, std::size_t at, double part, double size, double weight, double twins,
           double undecided) {
    sum[side][at] += weight * part;
    mass[side][at] += (std::abs(weight) + twins) * size;
    tie[side][at] += undecided * std::abs(part);
  }
};

// What the loss of n samples is, sample i being base i mod b.
struct RepeatedPairs {
  double loss = 0.0, loss_allowance = 0.0;
  GradientSums mean, log_variance;  // of every sample of a base

  // score_error: how far a computed score may be off.
  RepeatedPairs(const Bases& bases, std::int64_t n, double score_error)
      : mean(static_cast<std::size_t>(bases.b * bases.d)),
        log_variance(static_cast<std::size_t>(bases.b * bases.d)),
        bases_(bases),
        n_(n),
        error_(score_error) {
    direction(0);
    direction(1);
  }

 private:
  double count(std::int64_t a) const {
    return static_cast<double>(n_ / bases_.b + (a < n_ % bases_.b ? 1 : 0));
  }

  // Rows are Gaussians q of `side`, columns Gaussians p of the other.
  void direction(int side) {
    for (std::int64_t i = 0; i < bases_.b; ++i) {
      const double own = bases_.at(side, i, i);
      double hinges = 0.0, active = 0.0, undecided = 0.0;
      for (std::int64_t j = 0; j < bases_.b; ++j) {
        if (j == i) continue;
        const double v = own - bases_.at(side, i, j) + kMargin;
        const bool open = std::abs(v) < error_;
        undecided += open ? count(j) : 0.0;
        if (v > 0.0) {
          hinges += count(j) * v;
          active += count(j);
        }
        if (v > 0.0 || open) add_pair(side, i, j, v > 0.0 ? -1.0 : 0.0, 0.0, open ? 1.0 : 0.0);
      }
      // The other samples of base i have the same scores: their hinges are the margin, and what their pairs give to
      // the diagonal they take from it.
      const double twins = count(i) - 1.0, sign = own > 0.0 ? 1.0 : own < 0.0 ? -1.0 : 0.0;
      loss += count(i) * (hinges + twins * kMargin + kNormWeight * std::abs(own));
      loss_allowance += count(i) * (active + undecided + twins) * error_;
      add_pair(side, i, i, (active + kNormWeight * sign) / count(i), 2.0 * twins / count(i),
               undecided / count(i));
    }
  }
  // What the pairs (every sample of base i of `side`, every sample of base j of the other) give to one sample of each,
  // `weight` being a pair's.
  void add_pair(int side, std::int64_t i, std::int64_t j, double weight, double twins, double undecided) {
    const double of_q = count(j), of_p = count(i);
    for (std::int64_t k = 0; k < bases_.d; ++k) {
      const auto q = static_cast<std::size_t>(i * bases_.d + k),
                 p = static_cast<std::size_t>(j * bases_.d + k);
      const double vq = bases_.variance[side][q], vp = bases_.variance[1 - side][p];
      const double mq = bases_.mean[side][q], mp = bases_.mean[1 - side][p], gap = mq - mp;
      const double of_means = (std::abs(mq) + std::abs(mp)) / vq;
      const double eq = 0.5 * bases_.growth[side][q], ep = 0.5 * bases_.growth[1 - side][p];
      const double q_part = eq * (1.0 / vq - (vp + gap * gap) / (vq * vq)),
                   p_part = ep * (1.0 / vq - 1.0 / vp);
      const double q_size = eq * (1.0 / vq + (vp + mp * mp) / (vq * vq) + of_means * of_means);
      const double p_size = ep * (1.0 / vq + 1.0 / vp);
      mean.add(side, q, gap / vq, of_means, weight * of_q, twins * of_q, undecided * of_q);
      mean.add(1 - side, p, -gap / vq, of_means, weight * of_p, twins * of_p, undecided * of_p);
      log_variance.add(side, q, q_part, q_size, weight * of_q, twins * of_q, undecided * of_q);
      log_variance.add(1 - side, p, p_part, p_size, weight * of_p, twins * of_p, undecided * of_p);
    }
  }
  const Bases& bases_;
  std::int64_t n_;
  double error_;
};

}  // namespace emer::bench
