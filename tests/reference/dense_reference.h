// tests/reference/dense_reference.h - dense layer with its activation and gradients, as plain loops written from the
// formulas.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "kernels/linear.h"

namespace emer::reference {

// y[i][j] = b[j] + sum_k x[i][k] w[j][k], then ln(1 + e^y) or max(0, y) where asked for.
template <class Real>
std::vector<Real> dense(const std::vector<Real>& x, const std::vector<Real>& w, const std::vector<Real>& b,
                        std::size_t n, std::size_t in, std::size_t out, Activation activation) {
  std::vector<Real> y(n * out);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < out; ++j) {
      Real sum = b[j];
      for (std::size_t k = 0; k < in; ++k) sum += x[i * in + k] * w[j * in + k];
      if (activation == Activation::kSoftplus)
        sum = std::max(sum, Real(0)) + std::log1p(std::exp(-std::abs(sum)));
      else if (activation == Activation::kRelu && sum < 0)
        sum = 0;
      y[i * out + j] = sum;
    }
  return y;
}

template <class Real>
struct DenseGradients {
  std::vector<Real> x, w, b;
};

// Of sum_ij dy[i][j] y[i][j]: the slope of ln(1 + e^z) is 1 / (1 + e^-z), that of max(0, z) is [z > 0].
template <class Real>
DenseGradients<Real> dense_gradients(const std::vector<Real>& x, const std::vector<Real>& w,
                                     const std::vector<Real>& b, const std::vector<Real>& dy, std::size_t n,
                                     std::size_t in, std::size_t out, Activation activation) {
  const std::vector<Real> z = dense(x, w, b, n, in, out, Activation::kNone);
  DenseGradients<Real> d{std::vector<Real>(n * in), std::vector<Real>(out * in), std::vector<Real>(out)};
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < out; ++j) {
      Real g = dy[i * out + j];
      if (activation == Activation::kSoftplus)
        g /= 1 + std::exp(-z[i * out + j]);
      else if (activation == Activation::kRelu && z[i * out + j] <= 0)
        g = 0;
      d.b[j] += g;
      for (std::size_t k = 0; k < in; ++k) {
        d.w[j * in + k] += g * x[i * in + k];
        d.x[i * in + k] += g * w[j * in + k];
      }
    }
  return d;
}

}  // namespace emer::reference
