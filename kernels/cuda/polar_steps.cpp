#include "kernels/cuda/polar_steps.h"

#include <cmath>

namespace emer::cuda {

namespace {

struct BestStep {
  PolarStep p;
  double error;  // E
};

// On [l, 1]. With t = s^2, p(s)/s is a quadratic in t through the values (1 -+ E)/s of four points, so their third
// divided difference is 0, which gives E.
BestStep best_on(double l) {
  double inner[2] = {(3.0 * l + 1.0) / 4.0, (l + 3.0) / 4.0};
  BestStep best{};
  constexpr int kMaxExchanges = 20;  // four settle it; the exchange converges quadratically
  for (int round = 0; round < kMaxExchanges; ++round) {
    const double s[4] = {l, inner[0], inner[1], 1.0}, sign[4] = {1.0, -1.0, 1.0, -1.0};
    double plain = 0.0, alternating = 0.0;
    for (int i = 0; i < 4; ++i) {
      double weight = 1.0 / s[i];
      for (int j = 0; j < 4; ++j)
        if (j != i) weight /= s[i] * s[i] - s[j] * s[j];
      plain += weight;
      alternating += weight * sign[i];
    }
    const double error = plain / alternating;
    const double t0 = s[1] * s[1], t1 = s[2] * s[2];
    const double v0 = (1.0 + error) / s[1], v1 = (1.0 - error) / s[2], v2 = 1.0 + error;
    const double slope = (v1 - v0) / (t1 - t0), c = ((v2 - v1) / (1.0 - t1) - slope) / (1.0 - t0);
    const double b = slope - c * (t0 + t1), a = v0 - t0 * (b + c * t0);
    const bool settled = std::abs(error - best.error) <= 1e-13 * error;
    best = {{a, b, c}, error};
    if (settled) break;
    const double root = std::sqrt(9.0 * b * b - 20.0 * a * c);  // of p' = a + 3 b t + 5 c t^2
    inner[0] = std::sqrt((-3.0 * b - root) / (10.0 * c));
    inner[1] = std::sqrt((-3.0 * b + root) / (10.0 * c));
  }
  return best;
}

std::vector<PolarStep> compute_steps() {
  constexpr double kClose = 1e-5;  // cubic convergence: one step from 1 - 1e-5 is past 1 - 1e-14
  // p is steep at its upper end (up to 13 times as steep as the line to it), and what rounding lifts above that end
  // would grow from step to step. So the interval ends a little above the largest value.
  constexpr double kMargin = 1e-3;
  std::vector<PolarStep> steps;
  const auto push = [&](const PolarStep& p, double scale) {
    const double squared = scale * scale;
    steps.push_back({p.a * scale, p.b * scale * squared, p.c * scale * squared * squared});
  };
  double l = kSmallestPolarValue, u = 1.0 + kMargin;
  while (l < (1.0 - kClose) * u) {
    const BestStep best = best_on(l / u);
    push(best.p, 1.0 / u);
    l = 1.0 - best.error;
    u = 1.0 + (1.0 + kMargin) * best.error;
  }
  push({15.0 / 8.0, -10.0 / 8.0, 3.0 / 8.0}, 2.0 / (l + u));  // the limit of best_on at l = 1
  return steps;
}

}  // namespace

const std::vector<PolarStep>& polar_steps() {
  static const std::vector<PolarStep> steps = compute_steps();
  return steps;
}

}  // namespace emer::cuda
