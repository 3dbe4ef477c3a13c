// kernels/cpu/centre_views.h - centring (kernels/covariance.h) of one or two views, whose column sums travel together.
// CPU twins only.
#pragma once

#include "kernels/covariance.h"

namespace emer::cpu {

template <class Real>
struct CentreViews {
  int views = 2;
  int n = 0, total = 0, d = 0;  // as in Centre
  Centring centring = Centring::kFeature;
  const Real* x[2] = {nullptr, nullptr};  // in   [n, d]
  Real* y[2] = {nullptr, nullptr};        // out  [n, d], overwritten; y[v] may be x[v]
};
template <class Real>
void centre_views(Context& ctx, const CentreViews<Real>& args);

}  // namespace emer::cpu
