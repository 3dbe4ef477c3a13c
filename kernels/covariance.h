// kernels/covariance.h - centred views and their second moments.
//
//   centre      feature: y_ik = x_ik - mean_i x_ik       (each feature's mean over the batch; textbook)
//               sample:  y_ik = x_ik - mean_k x_ik       (each sample's own mean over features; released code)
//   covariance  S11 = F1'F1/(n-1) + ridge I,   S22 likewise,   S12 = F1'F2/(n-1),   F = centred views
// Both divide by n - 1 whatever the centring. Centring is a symmetric projection, so the same op takes dL/dy
// to dL/dx.
// Source: method.md 3.2, EMER-CL src/loss.py.
// NaN:    passes through.
// Order:  fixed; means are summed in double.
// Batch:  couples samples. Of several ranks each gives its rows of the global batch (core/shard.h) and gets them back
//         centred; the column sums are all-reduced in double, then S11, S22, S12 in one call, the same bits on every
//         rank. Sample centring exchanges nothing.
// CUDA:   products as ctx.precision() says, kBf16 meaning kTf32.
// Errors: EMER_CHECK on sizes and null pointers.
#pragma once

#include "core/context.h"

namespace emer {

enum class Centring { kFeature, kSample };

template <class Real>
struct Centre {
  int n = 0;      // samples of this rank, >= 1, of several ranks >= 0
  int total = 0;  // samples of all ranks; 0: n are all there are, and nothing is exchanged
  int d = 0;      // features, >= 1
  Centring centring = Centring::kFeature;
  const Real* x = nullptr;  // in   [n, d] row-major
  Real* y = nullptr;        // out  [n, d], overwritten; may be x
};

// Outputs that are not wanted may be null, f1 and f2 excepted. All row-major, overwritten; f1 may be x1, f2
// may be x2.
template <class Real>
struct Covariance {
  int n = 0;      // samples of this rank; of all ranks >= 2
  int total = 0;  // as in Centre
  int d = 0;      // >= 1
  Centring centring = Centring::kFeature;
  double ridge = 0.0;        // >= 0
  const Real* x1 = nullptr;  // in   [n, d]
  const Real* x2 = nullptr;  // in   [n, d]
  Real* f1 = nullptr;        // out  [n, d]
  Real* f2 = nullptr;        // out  [n, d]
  Real* s11 = nullptr;       // out  [d, d], exactly symmetric
  Real* s22 = nullptr;       // out  [d, d], exactly symmetric
  Real* s12 = nullptr;       // out  [d, d], rows: view 1
};

template <class Real>
void centre(Context& ctx, const Centre<Real>& args);
template <class Real>
void covariance(Context& ctx, const Covariance<Real>& args);

namespace cpu {
template <class Real>
void centre(Context& ctx, const Centre<Real>& args);
template <class Real>
void covariance(Context& ctx, const Covariance<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void centre(Context& ctx, const Centre<Real>& args);
template <class Real>
void covariance(Context& ctx, const Covariance<Real>& args);
}  // namespace cuda

}  // namespace emer
