// The CCA losses, value and gradients, and the eigendecomposition that their reference route rests on.
#include <fmt/core.h>

#include <cmath>
#include <span>

#include "bench/case.h"
#include "bench/cases/known_correlations.h"
#include "bench/values.h"
#include "core/tensor.h"
#include "kernels/cca_exact.h"
#include "kernels/cca_projection.h"
#include "kernels/cuda/solver.h"
#include "kernels/symmetric_eigen.h"

namespace emer::bench {

namespace {

std::vector<double> widened(Context& ctx, const Tensor<float>& tensor) {
  const std::vector<float> values = tensor.to_host(ctx);
  return {values.begin(), values.end()};
}

// x1, x2 [n, d], w1, w2 [d, d] and their gradients in the same order.
template <class Real>
struct ProjectionArrays {
  Tensor<Real> inputs[4], gradients[4];
  Tensor<double> loss;

  ProjectionArrays(Context& ctx, std::int64_t n, std::int64_t d) : loss(ctx, {1}) {
    for (int a = 0; a < 4; ++a) {
      inputs[a].resize(ctx, {a < 2 ? n : d, d});
      gradients[a].resize(ctx, {a < 2 ? n : d, d});
    }
  }
  void run(Context& ctx, bool row_norm, std::int64_t n, std::int64_t d) {
    for (int a = 2; a < 4; ++a) gradients[a].zero(ctx);  // these accumulate
    cca_projection<Real>(
        ctx, {.n = static_cast<int>(n),
              .d = static_cast<int>(d),
              .first = {inputs[0].data(), inputs[2].data(), gradients[0].data(), gradients[2].data()},
              .second = {inputs[1].data(), inputs[3].data(), gradients[1].data(), gradients[3].data()},
              .centring = row_norm ? Centring::kSample : Centring::kFeature,
              .correlation = row_norm ? Correlation::kRowNorm : Correlation::kNuclear,
              .penalty_summed = row_norm,
              .loss = loss.data()});
  }
};

class ProjectionCase final : public Prepared {
 public:
  ProjectionCase(Context& ctx, const std::string& precision, bool row_norm, std::int64_t n, std::int64_t d)
      : ctx_(ctx),
        row_norm_(row_norm),
        n_(n),
        d_(d),
        rounding_(operand_rounding(precision)),
        arrays_(ctx, n, d) {
    for (int a = 0; a < 4; ++a)
      upload(ctx, arrays_.inputs[a].data(), static_cast<std::int64_t>(arrays_.inputs[a].size()),
             [=](std::int64_t i) {
               return (a < 2 ? 1.0 : 0.1) *
                      normal_at(static_cast<std::uint64_t>(20 + a), static_cast<std::uint64_t>(i));
             });
  }
  Verdict verify() override {
    Verdict verdict;
    verdict.how = "loss and all gradients against the CPU in float64";
    for (Tensor<float>& gradient : arrays_.gradients) poison(ctx_, gradient);
    run();
    Context host;
    ProjectionArrays<double> wide(host, n_, d_);
    for (int a = 0; a < 4; ++a) wide.inputs[a].from_host(host, widened(ctx_, arrays_.inputs[a]));
    wide.run(host, row_norm_, n_, d_);
    // Chains of four products. Penalty entries nearer to zero than their rounding may take the other sign; that share
    // of the signs enters the gradients' norms by its root.
    const double bound = 16.0 * rounding_ + 1e-4, flips = 4.0 * std::sqrt(rounding_);
    verdict.value("loss", arrays_.loss.to_host(ctx_)[0], wide.loss.data()[0], bound);
    constexpr const char* kNames[] = {"d first view", "d second view", "d first projection",
                                      "d second projection"};
    for (int a = 0; a < 4; ++a)
      verdict.array<float>(kNames[a], arrays_.gradients[a].to_host(ctx_), wide.gradients[a].to_host(host),
                           bound + flips);
    return verdict;
  }
  void run() override { arrays_.run(ctx_, row_norm_, n_, d_); }
  // Projected views, the symmetric residual and the cross product, each with its two gradients; the nuclear norm's
  // polar factor as six iterations of two products and a factorisation with its solves.
  double flops() const override {
    const double n = static_cast<double>(n_), d = static_cast<double>(d_);
    const double products = 3.0 * (4.0 * n * d * d + 2.0 * n * d * d) + 6.0 * d * d * d;
    return products + (row_norm_ ? 0.0 : 24.0 * d * d * d);
  }

 private:
  Context& ctx_;
  bool row_norm_;
  std::int64_t n_, d_;
  double rounding_;
  ProjectionArrays<float> arrays_;
};

template <class Real>
void run_exact(Context& ctx, Tensor<Real> (&x)[2], Tensor<Real> (&d_x)[2], Tensor<double>& loss) {
  cca_exact<Real>(ctx, {.n = static_cast<int>(x[0].extent(0)),
                        .d = static_cast<int>(x[0].extent(1)),
                        .x1 = x[0].data(),
                        .x2 = x[1].data(),
                        .d_x1 = d_x[0].data(),
                        .d_x2 = d_x[1].data(),
                        .ridge = KnownCorrelations::kRidge,
                        .loss = loss.data()});
}

class ExactCase final : public Prepared {
 public:
  ExactCase(Context& ctx, std::int64_t n, std::int64_t d) : ctx_(ctx), n_(n), d_(d), loss_(ctx, {1}) {
    for (int view = 0; view < 2; ++view) {
      x_[view].resize(ctx, {n, d});
      d_x_[view].resize(ctx, {n, d});
      if (KnownCorrelations::exist(n, d)) {
        x_[view].from_host(ctx, KnownCorrelations(n, d).view(view));
      } else {
        upload(ctx, x_[view].data(), n * d, [=](std::int64_t i) {
          return normal_at(30 + static_cast<std::uint64_t>(view), static_cast<std::uint64_t>(i));
        });
      }
    }
  }
  Verdict verify() override {
    for (Tensor<float>& gradient : d_x_) poison(ctx_, gradient);
    run();
    Verdict verdict;
    double want = 0.0;
    std::vector<double> gradients[2];
    if (KnownCorrelations::exist(n_, d_)) {
      verdict.how = "loss and all gradients against views of known correlations, in closed form";
      const KnownCorrelations known(n_, d_);
      want = known.loss();
      for (int view = 0; view < 2; ++view) gradients[view] = known.gradient(view);
    } else {
      verdict.how = "loss and all gradients against the CPU in float64";
      Context host;
      Tensor<double> x[2], d_x[2], loss(host, {1});
      for (int view = 0; view < 2; ++view) {
        x[view] = Tensor<double>(host, {n_, d_}, widened(ctx_, x_[view]));
        d_x[view].resize(host, {n_, d_});
      }
      run_exact(host, x, d_x, loss);
      want = loss.data()[0];
      for (int view = 0; view < 2; ++view) gradients[view] = d_x[view].to_host(host);
    }
    // The views are stored in float; the rest is in double. The gradient is a difference of terms of like size.
    verdict.value("loss", loss_.to_host(ctx_)[0], want, 1e-5);
    for (int view = 0; view < 2; ++view)
      verdict.array<float>(view == 0 ? "d first view" : "d second view", d_x_[view].to_host(ctx_),
                           gradients[view], 1e-3);
    return verdict;
  }
  void run() override { run_exact(ctx_, x_, d_x_, loss_); }
  // Moments, two Cholesky factors, whitening and its gradient, six polar iterations as above.
  double flops() const override {
    const double n = static_cast<double>(n_), d = static_cast<double>(d_);
    return 3.0 * n * d * d + 2.0 * d * d * d / 3.0 + 8.0 * d * d * d + 24.0 * d * d * d;
  }

 private:
  Context& ctx_;
  std::int64_t n_, d_;
  Tensor<float> x_[2], d_x_[2];
  Tensor<double> loss_;
};

template <class Real>
class EigenCase final : public Prepared {
 public:
  EigenCase(Context& ctx, std::int64_t m)
      : ctx_(ctx), m_(m), matrix_(ctx, {m, m}), values_(ctx, {m}), vectors_(ctx, {m, m}) {
    upload(ctx, matrix_.data(), m * m, [&](std::int64_t i) { return entry(i / m_, i % m_); });
  }
  Verdict verify() override {
    Verdict verdict;
    verdict.how = "16 vectors: S q = value q, length one, right angles, in double";
    run();
    const std::vector<Real> values = values_.to_host(ctx_);
    std::vector<std::vector<Real>> q;
    std::vector<double> sums, scaled, angles;
    std::vector<Real> got_scaled, got_angles;
    for (std::int64_t e = 0; e < 16; ++e) {
      const std::int64_t k = e * (m_ - 1) / 15;
      q.push_back(read_back(ctx_, vectors_.data() + k * m_, m_));
      for (std::int64_t i = 0; i < m_; i += 7) {
        double sum = 0.0;
        for (std::int64_t j = 0; j < m_; ++j)
          sum += static_cast<Real>(entry(i, j)) * static_cast<double>(q.back()[static_cast<std::size_t>(j)]);
        scaled.push_back(sum);
        got_scaled.push_back(values[static_cast<std::size_t>(k)] * q.back()[static_cast<std::size_t>(i)]);
      }
      for (std::int64_t other = 0; other <= e; ++other) {
        double product = 0.0;
        for (std::size_t i = 0; i < q.back().size(); ++i)
          product +=
              static_cast<double>(q.back()[i]) * static_cast<double>(q[static_cast<std::size_t>(other)][i]);
        got_angles.push_back(static_cast<Real>(product));
        angles.push_back(other * (m_ - 1) / 15 == k ? 1.0 : 0.0);
      }
    }
    const double bound = 100.0 * (sizeof(Real) == 4 ? 0x1p-24 : 0x1p-53) * std::sqrt(static_cast<double>(m_));
    verdict.array<Real>("S q", got_scaled, scaled, bound);
    verdict.array<Real>("q q", got_angles, angles, bound);
    return verdict;
  }
  void run() override {
    if constexpr (kWithCuda && std::is_same_v<Real, double>) {
      if (ctx_.on_cuda())
        return cuda::symmetric_eigen<double>(ctx_, static_cast<int>(m_), matrix_.data(), values_.data(),
                                             vectors_.data());
    }
    symmetric_eigen<Real>(ctx_, {.m = static_cast<int>(m_),
                                 .matrix = matrix_.data(),
                                 .values = values_.data(),
                                 .vectors = vectors_.data()});
  }
  // To tridiagonal form, its eigenvectors, and back: LAPACK's count.
  double flops() const override { return 9.0 * std::pow(static_cast<double>(m_), 3); }
  bool recordable() const override { return false; }  // iterates until converged

 private:
  double entry(std::int64_t i, std::int64_t j) const {
    const std::int64_t low = std::min(i, j), high = std::max(i, j);
    return normal_at(40, static_cast<std::uint64_t>(low * m_ + high)) + (i == j ? 2.0 : 0.0);
  }
  Context& ctx_;
  std::int64_t m_;
  Tensor<Real> matrix_, values_, vectors_;
};

Case projection(Size size, bool row_norm, std::int64_t n, std::int64_t d) {
  return {fmt::format("cca_{}_{}x{}", row_norm ? "row_norm" : "nuclear", n, d),
          row_norm ? "cca_row_norm" : "cca_nuclear",
          fmt::format("projection CCA, {}, {} x {}, value and gradients",
                      row_norm ? "row norms, summed penalty" : "nuclear norm by polar iteration", n, d),
          size,
          {{"n", n}, {"d", d}},
          {"bf16", "tf32", "fp32"},
          [=](Context& ctx, const std::string& precision) {
            return std::make_unique<ProjectionCase>(ctx, precision, row_norm, n, d);
          }};
}

Case exact(Size size, std::int64_t n, std::int64_t d) {
  return {fmt::format("cca_exact_{}x{}", n, d),
          "cca_exact",
          fmt::format("exact CCA, polar route, {} x {}, value and gradients", n, d),
          size,
          {{"n", n}, {"d", d}},
          {"fp32"},
          [=](Context& ctx, const std::string&) { return std::make_unique<ExactCase>(ctx, n, d); }};
}

Case eigen(Size size, std::int64_t m) {
  return {fmt::format("eigen_{}", m),
          "eigen",
          fmt::format("symmetric eigendecomposition (syevd), {} x {}", m, m),
          size,
          {{"m", m}},
          {"fp32", "fp64"},
          [=](Context& ctx, const std::string& precision) -> std::unique_ptr<Prepared> {
            if (precision == "fp64") return std::make_unique<EigenCase<double>>(ctx, m);
            return std::make_unique<EigenCase<float>>(ctx, m);
          }};
}

}  // namespace

std::vector<Case> cca_cases() {
  return {projection(Size::kTiny, true, 37, 19),
          projection(Size::kTiny, false, 37, 19),
          exact(Size::kTiny, 76, 19),
          exact(Size::kTiny, 17, 19),
          eigen(Size::kTiny, 67),
          projection(Size::kPaper, true, 512, 1024),
          projection(Size::kPaper, false, 512, 1024),
          exact(Size::kPaper, 512, 1024),
          exact(Size::kScale, 512, 128),
          exact(Size::kScale, 2048, 512),
          exact(Size::kScale, 4096, 1024),
          exact(Size::kScale, 8192, 2048),
          exact(Size::kScale, 16384, 4096),
          eigen(Size::kPaper, 512),
          eigen(Size::kPaper, 1024),
          eigen(Size::kScale, 2048)};
}

}  // namespace emer::bench
