// losses/cca.h - the CCA term of the composite loss: options over kernels/cca_projection.h and
// kernels/cca_exact.h.
#pragma once

#include "core/context.h"
#include "core/parameter.h"
#include "losses/composite.h"

namespace emer {

void check_options(const CcaOptions& options, int d);  // Error(kUsage) on a value outside its range

// Whether cca can be recorded in a CUDA graph (core/work_graph.h): not where it takes eigenvalues or singular values,
// which iterate until they converge.
bool cca_can_record(const CcaOptions& options);

// Overwrites *value (device) with L_cca (divided by d for kMean) and both embedding gradients with
// gradient_weight times its gradients; accumulates into the projections' gradients. projections: two, null in
// the exact form. Error(kRunFailed) where batch.n < 2.
template <class Real>
void cca(Context& ctx, const CcaOptions& options, const PairBatch<Real>& batch,
         const PairGradients<Real>& gradients, double gradient_weight, Parameter<Real>* projections,
         double* value);

}  // namespace emer
