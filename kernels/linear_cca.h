// kernels/linear_cca.h - textbook linear canonical correlation analysis and what the evaluation makes of its
// projections. float64 on both devices.
//
//   S11 = X1'X1/(n-1) + r I,  S22 likewise,  S12 = X1'X2/(n-1)       X centred by feature
//   S11 = V1 E1 V1',  K1 = V1 E1^{-1/2}  (so K1' S11 K1 = I),  K1' S12 K2 = U D V',  w1 = K1 U,  w2 = K2 V
// Source: docs/method.md 3.2 and 5; Hotelling 1936, with a ridge. Eigenvalues are floored at the ridge, which they
// cannot be below in exact arithmetic, so fewer samples than features and constant features give finite projections.
//
// Signs:  of a pair of columns of w1 and w2 are the library's, and so is the choice inside equal correlations; the
//         devices differ in them.
// NaN:    inputs must be finite. A decomposition that does not converge is Error(kRunFailed) on the CPU, NaN in
//         correlations, w1 and w2 on CUDA.
// Graphs: linear_cca_fit iterates and must not be recorded.
// Batch:  linear_cca_fit and regression_lines couple samples. Of several ranks each may give some of them, any number and
//         any of them: column sums, then S11, S22, S12 in one call, are all-reduced, and all get the same result.
// Errors: EMER_CHECK on sizes and null pointers.
#pragma once

#include "core/context.h"

namespace emer {

struct LinearCcaFit {
  int n = 0;                       // samples of this rank; of all ranks >= 2
  int total = 0;                   // samples of all ranks; 0: n are all there are, and nothing is exchanged
  int d1 = 0, d2 = 0;              // >= 1; equal on CUDA
  double ridge = 0.0;              // >= 0
  const double* x1 = nullptr;      // in   [n, d1]
  const double* x2 = nullptr;      // in   [n, d2]
  double* mean1 = nullptr;         // out  [d1], overwritten, as all below
  double* mean2 = nullptr;         // out  [d2]
  double* w1 = nullptr;            // out  [d1, k], k = min(d1, d2); column j is direction j
  double* w2 = nullptr;            // out  [d2, k]
  double* correlations = nullptr;  // out  [k] descending: D, of the ridged covariances
};
void linear_cca_fit(Context& ctx, const LinearCcaFit& args);

// out = (x - mean) w
struct LinearCcaProject {
  int n = 0, d = 0, directions = 0;
  const double* x = nullptr;     // in   [n, d]
  const double* mean = nullptr;  // in   [d]
  const double* w = nullptr;     // in   [d, directions]
  double* out = nullptr;         // out  [n, directions], overwritten
};
void linear_cca_project(Context& ctx, const LinearCcaProject& args);

// By column, over n rows: Pearson's correlation of a and b, and least squares b = slope_ab a + offset_ab and a =
// slope_ba b + offset_ba. Where a or b varies by no more than 1e-12 (variance): correlation and slopes 0.
struct RegressionLines {
  int n = 0, total = 0, d = 0;    // as in LinearCcaFit; of all ranks >= 1
  const double* a = nullptr;      // in   [n, d]
  const double* b = nullptr;      // in   [n, d]
  double* correlation = nullptr;  // out  [d], overwritten, as all below
  double* slope_ab = nullptr;
  double* offset_ab = nullptr;
  double* slope_ba = nullptr;
  double* offset_ba = nullptr;
};
void regression_lines(Context& ctx, const RegressionLines& args);

// out[i][s] = factor[s] * (slope[s] * x[i][column[s]] + offset[s])
struct ScaledColumns {
  int n = 0, d = 0, kept = 0;
  const double* x = nullptr;    // in   [n, d]
  const int* column = nullptr;  // in   [kept], each in [0, d); so for the three below
  const double* factor = nullptr;
  const double* slope = nullptr;
  const double* offset = nullptr;
  double* out = nullptr;  // out  [n, kept], overwritten
};
void scaled_columns(Context& ctx, const ScaledColumns& args);

namespace cpu {
void linear_cca_fit(Context& ctx, const LinearCcaFit& args);
void linear_cca_project(Context& ctx, const LinearCcaProject& args);
void regression_lines(Context& ctx, const RegressionLines& args);
void scaled_columns(Context& ctx, const ScaledColumns& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA
void linear_cca_fit(Context& ctx, const LinearCcaFit& args);
void linear_cca_project(Context& ctx, const LinearCcaProject& args);
void regression_lines(Context& ctx, const RegressionLines& args);
void scaled_columns(Context& ctx, const ScaledColumns& args);
}  // namespace cuda

}  // namespace emer
