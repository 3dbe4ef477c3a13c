// bench/cases/known_correlations.h - two views whose canonical correlations, exact CCA loss and gradients are known in
// closed form at any size with n > 2d.
//
// With h_k the k-th cosine of the discrete cosine transform, orthonormal and of mean zero,
//   view 1, column k:  (n-1)^1/2 a_k h_k        view 2:  (n-1)^1/2 b_k (r_k h_k + (1 - r_k^2)^1/2 h_{d+k})
// S11 = diag(a^2) + ridge, S22 likewise, S12 = diag(a b r), so that T is diagonal with entries
//   s_k = a_k b_k r_k ((a_k^2 + ridge) (b_k^2 + ridge))^-1/2
// and kernels/cca_exact.h's gradient works column by column. Each view's columns are then mixed by two reflections,
// which the ridge does not notice, so that nothing about the arrays is diagonal.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "bench/values.h"
#include "core/parallel.h"

namespace emer::bench {

class KnownCorrelations {
 public:
  static constexpr double kRidge = 1e-4;
  static bool exist(std::int64_t n, std::int64_t d) { return n > 2 * d; }

  KnownCorrelations(std::int64_t n, std::int64_t d) : n_(n), d_(d) {
    for (int view = 0; view < 2; ++view)
      for (int r = 0; r < 2; ++r) {
        std::vector<double>& axis = axes_[view][r];
        double squares = 0.0;
        for (std::int64_t k = 0; k < d; ++k) {
          axis.push_back(
              normal_at(static_cast<std::uint64_t>(50 + 2 * view + r), static_cast<std::uint64_t>(k)));
          squares += axis.back() * axis.back();
        }
        for (double& v : axis) v *= std::sqrt(2.0 / squares);
      }
  }

  std::vector<float> view(int v) const {
    std::vector<float> values(static_cast<std::size_t>(n_ * d_));
    const double scale = std::sqrt(static_cast<double>(n_ - 1));
    rows(v, values, [&](std::int64_t i, std::int64_t k) {
      const double own =
          v == 0 ? cosine(i, k) : r(k) * cosine(i, k) + std::sqrt(1 - r(k) * r(k)) * cosine(i, d_ + k);
      return scale * size(v, k) * own;
    });
    return values;
  }
  double loss() const {
    double sum = 0.0;
    for (std::int64_t k = 0; k < d_; ++k) sum -= s(k);
    return sum;
  }
  std::vector<double> gradient(int v) const {
    std::vector<double> values(static_cast<std::size_t>(n_ * d_));
    rows(v, values, [&](std::int64_t i, std::int64_t k) {
      const double a = size(0, k) / whitened(0, k) * cosine(i, k);
      const double b = size(1, k) / whitened(1, k) *
                       (r(k) * cosine(i, k) + std::sqrt(1 - r(k) * r(k)) * cosine(i, d_ + k));
      const double towards = v == 0 ? b - s(k) * a : a - s(k) * b;
      return -towards / (whitened(v, k) * std::sqrt(static_cast<double>(n_ - 1)));
    });
    return values;
  }

 private:
  double r(std::int64_t k) const { return 0.95 * (static_cast<double>(k) + 0.5) / static_cast<double>(d_); }
  double size(int v, std::int64_t k) const { return 0.5 + 0.25 * static_cast<double>((k + 3 * v) % 7); }
  double whitened(int v, std::int64_t k) const { return std::sqrt(size(v, k) * size(v, k) + kRidge); }
  double s(std::int64_t k) const {
    return size(0, k) * size(1, k) * r(k) / (whitened(0, k) * whitened(1, k));
  }
  double cosine(std::int64_t i, std::int64_t k) const {           // h_{k+1}(i): the 0th is constant
    const std::int64_t turns = (2 * i + 1) * (k + 1) % (4 * n_);  // keeps the argument small
    return std::sqrt(2.0 / static_cast<double>(n_)) *
           std::cos(M_PI * static_cast<double>(turns) / (2.0 * static_cast<double>(n_)));
  }
  // Row by row: the columns as given, then the view's reflections.
  template <class T, class At>
  void rows(int v, std::vector<T>& values, At&& at) const {
    parallel_for(n_, 4, [&](std::int64_t begin, std::int64_t end) {
      std::vector<double> row(static_cast<std::size_t>(d_));
      for (std::int64_t i = begin; i < end; ++i) {
        for (std::int64_t k = 0; k < d_; ++k) row[static_cast<std::size_t>(k)] = at(i, k);
        for (const std::vector<double>& axis : axes_[v]) {
          double along = 0.0;
          for (std::size_t k = 0; k < row.size(); ++k) along += row[k] * axis[k];
          for (std::size_t k = 0; k < row.size(); ++k) row[k] -= along * axis[k];
        }
        for (std::size_t k = 0; k < row.size(); ++k)
          values[static_cast<std::size_t>(i) * row.size() + k] = static_cast<T>(row[k]);
      }
    });
  }
  std::int64_t n_, d_;
  std::vector<double> axes_[2][2];  // of squared length two: x - (x . u) u is the reflection
};

}  // namespace emer::bench
