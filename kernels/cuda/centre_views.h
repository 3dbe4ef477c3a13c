// kernels/cuda/centre_views.h - centring (kernels/covariance.h) of one or two views in the same two launches, from one
// type to another. CUDA twins only.
#pragma once

#include "kernels/covariance.h"

namespace emer::cuda {

// y = scale * (x - mean), means summed in double. y[v] may be x[v] where the types agree.
template <class In, class Out>
struct CentreViews {
  int views = 2;
  int n = 0, total = 0, d = 0;  // as in Centre
  Centring centring = Centring::kFeature;
  double scale = 1.0;
  const In* x[2] = {nullptr, nullptr};  // in   [n, d]
  Out* y[2] = {nullptr, nullptr};       // out  [n, d], overwritten
};
// Scratch: 66 d doubles, given back.
template <class In, class Out>
void centre_views(Context& ctx, const CentreViews<In, Out>& args);

}  // namespace emer::cuda
