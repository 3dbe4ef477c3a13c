// engine/linear_cca.h - textbook linear canonical correlation analysis, in float64 on the host.
//
//   S11 = X1'X1/(n-1) + r I,  S22 likewise,  S12 = X1'X2/(n-1)       X centred by feature
//   S11 = V1 E1 V1',  K1 = V1 E1^{-1/2}  (so K1' S11 K1 = I),  K1' S12 K2 = U D V',  w1 = K1 U,  w2 = K2 V
// Source: method.md 3.2 and 5; Hotelling 1936, with a ridge. Eigenvalues are floored at the ridge, which they
// cannot be below in exact arithmetic, so fewer samples than features and constant features give finite
// projections.
#pragma once

#include <span>
#include <vector>

namespace emer {

struct LinearCca {
  int d1 = 0, d2 = 0, directions = 0;  // directions = min(d1, d2)
  std::vector<double> mean1, mean2;    // [d1], [d2]
  std::vector<double> w1, w2;        // [d1, directions], [d2, directions] row-major; column k is direction k
  std::vector<double> correlations;  // [directions], descending: D, of the ridged covariances
};

// x1 [n, d1], x2 [n, d2] row-major, row i of one belongs to row i of the other. Throws Error(kRunFailed) for
// n < 2 or a value that is not finite (naming view and row).
LinearCca fit_linear_cca(std::span<const double> x1, std::span<const double> x2, int n, int d1, int d2,
                         double ridge);

// (x - mean) w, [n, directions]: of the first or the second view.
std::vector<double> project_first(const LinearCca& cca, std::span<const double> x1, int n);
std::vector<double> project_second(const LinearCca& cca, std::span<const double> x2, int n);

}  // namespace emer
