// tests/reference/dense_reference.h - dense layer, activations, Adam as plain loops written from the
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

}  // namespace emer::reference
