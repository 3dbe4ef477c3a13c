// tests/reference/dense_reference.h - dense layer, softplus, Adam as plain loops written from the formulas.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace emer::reference {

// y[i][j] = b[j] + sum_k x[i][k] w[j][k], then ln(1 + e^y) where asked for.
template <class Real>
std::vector<Real> dense(const std::vector<Real>& x, const std::vector<Real>& w, const std::vector<Real>& b,
                        std::size_t n, std::size_t in, std::size_t out, bool softplus) {
  std::vector<Real> y(n * out);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < out; ++j) {
      Real sum = b[j];
      for (std::size_t k = 0; k < in; ++k) sum += x[i * in + k] * w[j * in + k];
      y[i * out + j] = softplus ? std::max(sum, Real(0)) + std::log1p(std::exp(-std::abs(sum))) : sum;
    }
  return y;
}

}  // namespace emer::reference
