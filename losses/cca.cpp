#include "losses/cca.h"

#include <cmath>

#include "core/check.h"
#include "kernels/cca_exact.h"
#include "kernels/cca_projection.h"

namespace emer {

void check_options(const CcaOptions& options, int d) {
  if (!(options.ridge > 0) || !std::isfinite(options.ridge))
    fail_usage("loss.cca.ridge is {}; it must be above 0", options.ridge);
  if (options.directions < 0 || options.directions > d)
    fail_usage("loss.cca.directions is {}; it must be from 0 (all) to the embedding width {}",
               options.directions, d);
  if (options.directions > 0 && options.form != CcaForm::kExact)
    fail_usage(
        "loss.cca.directions is {}, but the projection form has no directions to choose: set loss.cca.form "
        "to "
        "exact, or directions to 0",
        options.directions);
}

bool cca_can_record(const CcaOptions& options) {
  if (options.form == CcaForm::kProjection && options.correlation == CcaCorrelation::kRowNorm) return true;
  return options.solver == CcaSolver::kPolar && options.directions == 0;
}

template <class Real>
void cca(Context& ctx, const CcaOptions& options, const PairBatch<Real>& batch,
         const PairGradients<Real>& gradients, double gradient_weight, Parameter<Real>* projections,
         double* value) {
  const double scale = options.reduction == Reduction::kMean ? 1.0 / batch.d : 1.0;
  const Centring centring =
      options.centring == CcaCentring::kFeature ? Centring::kFeature : Centring::kSample;
  const bool polar = options.solver == CcaSolver::kPolar;
  if (options.form == CcaForm::kExact) {
    cca_exact<Real>(ctx, {.n = batch.n,
                          .total = batch.total,
                          .d = batch.d,
                          .x1 = batch.music_embedding,
                          .x2 = batch.emotion_embedding,
                          .d_x1 = gradients.music_embedding,
                          .d_x2 = gradients.emotion_embedding,
                          .centring = centring,
                          .route = polar ? CcaRoute::kPolar : CcaRoute::kEigen,
                          .directions = options.directions,
                          .ridge = options.ridge,
                          .scale = scale,
                          .gradient_weight = gradient_weight,
                          .loss = value});
    return;
  }
  const auto view = [&](const Real* x, Real* d_x, Parameter<Real>& projection) {
    return ProjectedView<Real>{x, projection.value.data(), d_x, projection.gradient.data()};
  };
  cca_projection<Real>(
      ctx, {.n = batch.n,
            .total = batch.total,
            .d = batch.d,
            .first = view(batch.music_embedding, gradients.music_embedding, projections[0]),
            .second = view(batch.emotion_embedding, gradients.emotion_embedding, projections[1]),
            .centring = centring,
            .correlation = options.correlation == CcaCorrelation::kNuclear ? Correlation::kNuclear
                                                                           : Correlation::kRowNorm,
            .penalty_summed = options.penalty == CcaPenalty::kSummed,
            .solver = polar ? PolarSolver::kPolar : PolarSolver::kSvd,
            .ridge = options.ridge,
            .scale = scale,
            .gradient_weight = gradient_weight,
            .loss = value});
}

template void cca(Context&, const CcaOptions&, const PairBatch<float>&, const PairGradients<float>&, double,
                  Parameter<float>*, double*);
template void cca(Context&, const CcaOptions&, const PairBatch<double>&, const PairGradients<double>&, double,
                  Parameter<double>*, double*);

}  // namespace emer
