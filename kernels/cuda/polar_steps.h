// kernels/cuda/polar_steps.h - the polynomials by which the CUDA twin of kernels/polar_factor.h iterates. Host code.
//
// X <- X (a I + b X'X + c (X'X)^2) moves every singular value s to p(s) = a s + b s^3 + c s^5 and leaves the singular
// vectors alone. Each p is the one nearest to 1, in the maximum norm, over all of [l, u], the interval the step before
// has left: it equals 1 - E, 1 + E, 1 - E, 1 + E in turn at l, at its two extrema and at u (Chebyshev), and is found by
// Remez's exchange. Taking the best p at every step gives the best composition (Amsel, Persson, Musco, Gower, The Polar
// Express, arXiv 2505.16932). So the number of steps and all weights follow from l_0 alone, whatever the matrix.
#pragma once

#include <vector>

namespace emer::cuda {

struct PolarStep {
  double a, b, c;
};

inline constexpr double kSmallestPolarValue = 1e-7;  // l_0: [l_0, 1] is taken to 1, [0, l_0] into [0, 1]

const std::vector<PolarStep>& polar_steps();  // 14

}  // namespace emer::cuda
