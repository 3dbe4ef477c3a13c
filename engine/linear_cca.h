// engine/linear_cca.h - a fitted linear canonical correlation analysis (kernels/linear_cca.h), float64.
#pragma once

#include <span>
#include <vector>

#include "core/context.h"

namespace emer {

struct LinearCca {
  int d1 = 0, d2 = 0, directions = 0;  // directions = min(d1, d2)
  std::vector<double> mean1, mean2;    // [d1], [d2]
  std::vector<double> w1, w2;        // [d1, directions], [d2, directions] row-major; column k is direction k
  std::vector<double> correlations;  // [directions], descending: D, of the ridged covariances
};

// x1 [n, d1], x2 [n, d2] row-major on ctx's device, row i of one belongs to row i of the other. Throws
// Error(kRunFailed) for n < 2, a value that is not finite (naming view and row), or a decomposition that does not
// converge. CUDA takes d1 = d2. total > 0: the rows of all ranks, of which n are this rank's, in the order of ranks; all
// get the same fit, or the same error.
LinearCca fit_linear_cca(Context& ctx, const double* x1, const double* x2, int n, int d1, int d2,
                         double ridge, int total = 0);
// The same on the CPU, of one rank.
LinearCca fit_linear_cca(std::span<const double> x1, std::span<const double> x2, int n, int d1, int d2,
                         double ridge);

// (x - mean) w, [n, directions]: of the first or the second view, on the CPU.
std::vector<double> project_first(const LinearCca& cca, std::span<const double> x1, int n);
std::vector<double> project_second(const LinearCca& cca, std::span<const double> x2, int n);

}  // namespace emer
