// tests/reference/cca_reference.h - both CCA losses by plain loops in double: moments, one-sided Jacobi for
// singular values and square roots. Values only; gradients are judged by central differences. Written from
// method.md 3.2.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace emer::test {

using Matrix = std::vector<double>;  // row-major

inline Matrix multiply(const Matrix& a, const Matrix& b, std::size_t m, std::size_t k, std::size_t n) {
  Matrix c(m * n, 0.0);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t l = 0; l < k; ++l)
      for (std::size_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + l] * b[l * n + j];
  return c;
}
inline Matrix transpose(const Matrix& a, std::size_t m, std::size_t n) {
  Matrix t(n * m);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < n; ++j) t[j * m + i] = a[i * n + j];
  return t;
}

struct JacobiSvd {
  Matrix left, right;          // columns; left's columns are 0 where the value is
  std::vector<double> values;  // unsorted
};
// Rotates pairs of columns of A until all are orthogonal: A V = U D.
inline JacobiSvd jacobi_svd(Matrix a, std::size_t m) {
  Matrix v(m * m, 0.0);
  for (std::size_t i = 0; i < m; ++i) v[i * m + i] = 1.0;
  for (int sweep = 0; sweep < 60; ++sweep) {
    bool rotated = false;
    for (std::size_t p = 0; p < m; ++p)
      for (std::size_t q = p + 1; q < m; ++q) {
        double pp = 0, qq = 0, pq = 0;
        for (std::size_t i = 0; i < m; ++i) {
          pp += a[i * m + p] * a[i * m + p];
          qq += a[i * m + q] * a[i * m + q];
          pq += a[i * m + p] * a[i * m + q];
        }
        if (std::abs(pq) <= 1e-15 * std::sqrt(pp * qq) || pq == 0) continue;
        rotated = true;
        const double zeta = (qq - pp) / (2 * pq);
        const double t = (zeta >= 0 ? 1.0 : -1.0) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        const double c = 1 / std::sqrt(1 + t * t), s = c * t;
        for (Matrix* x : {&a, &v})
          for (std::size_t i = 0; i < m; ++i) {
            const double one = (*x)[i * m + p], two = (*x)[i * m + q];
            (*x)[i * m + p] = c * one - s * two;
            (*x)[i * m + q] = s * one + c * two;
          }
      }
    if (!rotated) break;
  }
  JacobiSvd out{a, v, std::vector<double>(m)};
  for (std::size_t j = 0; j < m; ++j) {
    double squares = 0;
    for (std::size_t i = 0; i < m; ++i) squares += a[i * m + j] * a[i * m + j];
    out.values[j] = std::sqrt(squares);
    for (std::size_t i = 0; i < m; ++i)
      out.left[i * m + j] = out.values[j] > 0 ? a[i * m + j] / out.values[j] : 0.0;
  }
  return out;
}

struct CcaReferenceOptions {
  bool sample_centring = false, row_norm = false, summed = false;
  double ridge = 1e-4;
  std::size_t directions = 0;  // exact form, 0 = all
};

inline Matrix centred(const Matrix& x, std::size_t n, std::size_t d, bool sample) {
  Matrix f = x;
  for (std::size_t a = 0; a < (sample ? n : d); ++a) {
    double mean = 0;
    for (std::size_t b = 0; b < (sample ? d : n); ++b) mean += sample ? x[a * d + b] : x[b * d + a];
    mean /= static_cast<double>(sample ? d : n);
    for (std::size_t b = 0; b < (sample ? d : n); ++b) (sample ? f[a * d + b] : f[b * d + a]) -= mean;
  }
  return f;
}

inline Matrix moment(const Matrix& f, const Matrix& g, std::size_t n, std::size_t d, double ridge) {
  Matrix s = multiply(transpose(f, n, d), g, d, n, d);
  for (double& v : s) v /= static_cast<double>(n - 1);
  for (std::size_t i = 0; i < d; ++i) s[i * d + i] += ridge;
  return s;
}

inline double projection_reference(const Matrix& x1, const Matrix& x2, const Matrix& w1, const Matrix& w2,
                                   std::size_t n, std::size_t d, const CcaReferenceOptions& o) {
  const Matrix f1 = centred(x1, n, d, o.sample_centring), f2 = centred(x2, n, d, o.sample_centring);
  const auto chain = [&](const Matrix& a, const Matrix& s, const Matrix& b) {
    return multiply(multiply(transpose(a, d, d), s, d, d, d), b, d, d, d);
  };
  const Matrix t = chain(w1, moment(f1, f2, n, d, 0), w2);
  const Matrix m1 = chain(w1, moment(f1, f1, n, d, o.ridge), w1),
               m2 = chain(w2, moment(f2, f2, n, d, o.ridge), w2);
  double correlation = 0, penalty = 0;
  if (o.row_norm) {
    for (std::size_t i = 0; i < d; ++i) {
      double squares = 0;
      for (std::size_t j = 0; j < d; ++j) squares += t[i * d + j] * t[i * d + j];
      correlation += std::sqrt(squares);
    }
  } else {
    for (const double v : jacobi_svd(t, d).values) correlation += v;
  }
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t j = 0; j < d; ++j) {
      const double one = (i == j ? 1.0 : 0.0) - m1[i * d + j], two = (i == j ? 1.0 : 0.0) - m2[i * d + j];
      penalty += 0.5 * (o.summed ? std::abs(one + two) : std::abs(one) + std::abs(two));
    }
  return penalty - correlation;
}

inline double exact_reference(const Matrix& x1, const Matrix& x2, std::size_t n, std::size_t d,
                              const CcaReferenceOptions& o) {
  const Matrix f1 = centred(x1, n, d, o.sample_centring), f2 = centred(x2, n, d, o.sample_centring);
  const auto inverse_root = [&](const Matrix& s) {
    const JacobiSvd e = jacobi_svd(s, d);  // S is symmetric positive definite: right vectors are eigenvectors
    Matrix scaled = e.right;
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t j = 0; j < d; ++j) scaled[i * d + j] /= std::sqrt(e.values[j]);
    return multiply(scaled, transpose(e.right, d, d), d, d, d);
  };
  const Matrix k1 = inverse_root(moment(f1, f1, n, d, o.ridge)),
               k2 = inverse_root(moment(f2, f2, n, d, o.ridge));
  const Matrix t = multiply(multiply(k1, moment(f1, f2, n, d, 0), d, d, d), k2, d, d, d);
  std::vector<double> values = jacobi_svd(t, d).values;
  std::sort(values.rbegin(), values.rend());
  double sum = 0;
  for (std::size_t k = 0; k < (o.directions ? o.directions : d); ++k) sum += values[k];
  return -sum;
}

}  // namespace emer::test
