// The losses alone, value and gradients, at the paper's batch and width.
#include <cmath>

#include "bench/case.h"
#include "core/random.h"
#include "core/tensor.h"
#include "losses/composite.h"

namespace emer::bench {

namespace {

constexpr int kBatch = 512, kWidth = 1024;

// The six heads of a batch, normal values, and room for their gradients.
template <class Real>
struct Heads {
  explicit Heads(Context& ctx) {
    for (int k = 0; k < 6; ++k) {
      values[k].resize(ctx, {kBatch, kWidth});
      gradients[k].resize(ctx, {kBatch, kWidth});
      RandomStream random(7, static_cast<std::uint64_t>(k));
      std::vector<Real> host(values[k].size());
      for (Real& v : host)
        v = static_cast<Real>(static_cast<float>((k % 3 == 2 ? 0.3 : 1.0) * random.normal()));
      values[k].from_host(ctx, host);
    }
  }
  PairBatch<Real> batch() const {
    return {kBatch,           kWidth,           values[0].data(), values[1].data(),
            values[2].data(), values[3].data(), values[4].data(), values[5].data()};
  }
  PairGradients<Real> outputs() {
    return {gradients[0].data(), gradients[1].data(), gradients[2].data(),
            gradients[3].data(), gradients[4].data(), gradients[5].data()};
  }
  Tensor<Real> values[6], gradients[6];
};

class LossCase final : public Prepared {
 public:
  LossCase(Context& ctx, const LossOptions& options, double flops)
      : ctx_(ctx), options_(options), heads_(ctx), loss_(ctx, options, kWidth), flops_(flops) {
    loss_.initialise(ctx, 1, 0);
  }
  int verify(std::string& how) override {
    how = "value against the float64 instantiation, 1e-4";
    Heads<double> wide_heads(ctx_);
    CompositeLoss<double> wide(ctx_, options_, kWidth);
    wide.initialise(ctx_, 1, 0);
    wide.evaluate(ctx_, wide_heads.batch(), wide_heads.outputs());
    const double want = wide.read_values(ctx_).loss;
    run();
    const double got = loss_.read_values(ctx_).loss;
    return std::abs(got - want) <= 1e-4 * std::abs(want) ? 0 : 1;
  }
  void run() override { loss_.evaluate(ctx_, heads_.batch(), heads_.outputs()); }
  double flops() const override { return flops_; }

 private:
  Context& ctx_;
  LossOptions options_;
  Heads<float> heads_;
  CompositeLoss<float> loss_;
  double flops_;
};

Case loss_case(const std::string& name, const std::string& description, const LossOptions& options,
               double flops) {
  return {name, description, [=](Context& ctx) { return std::make_unique<LossCase>(ctx, options, flops); }};
}

}  // namespace

std::vector<Case> loss_cases() {
  const double n = kBatch, d = kWidth;
  LossOptions kl, projection, exact;
  kl.lambda = 0.0;
  projection.lambda = 1.0;
  exact.lambda = 1.0;
  exact.cca.form = CcaForm::kExact;
  const double cca = 3.0 * (2.0 * 2.0 * n * d * d + 2.0 * n * d * d) + 3.0 * 2.0 * d * d * d;
  LossOptions row_norm = projection;
  row_norm.cca.correlation = CcaCorrelation::kRowNorm;
  // Exact: covariances, two Cholesky factors, triangular solves both ways, and six polar iterations of about
  // 2 products, a factorisation and two solves each.
  const double whitening = 3.0 * n * d * d + 2.0 * d * d * d / 3.0 + 8.0 * d * d * d;
  return {loss_case("kl_512x1024", "KL ranking loss, hinge, value and gradients", kl, 24.0 * n * n * d),
          loss_case("cca_row_norm_512x1024", "projection CCA, row norms, value and gradients", row_norm, cca),
          loss_case("cca_nuclear_512x1024",
                    "projection CCA, nuclear norm by polar iteration, value and gradients", projection,
                    cca + 6.0 * 4.0 * d * d * d),
          loss_case("cca_exact_512x1024", "exact CCA, polar route, value and gradients", exact,
                    whitening + 6.0 * 4.0 * d * d * d)};
}

}  // namespace emer::bench
