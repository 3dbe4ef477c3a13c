// tests/reference/evaluation_reference.h - retrieval scores and ranks as plain loops over whole n x n
// matrices and a sort, written from method.md section 5; it takes the CCA projections as given (they have
// tests of their own).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

namespace emer::reference {

using Matrix = std::vector<std::vector<double>>;

// KL(N(mu_p, v_p) || N(mu_q, v_q)), diagonal, v = exp(log variance) + 1e-6.
inline double gaussian_kl(const std::vector<double>& mu_p, const std::vector<double>& lv_p,
                          const std::vector<double>& mu_q, const std::vector<double>& lv_q) {
  double sum = 0.0;
  for (std::size_t k = 0; k < mu_p.size(); ++k) {
    const double vp = std::exp(lv_p[k]) + 1e-6, vq = std::exp(lv_q[k]) + 1e-6;
    sum += vp / vq + (mu_q[k] - mu_p[k]) * (mu_q[k] - mu_p[k]) / vq - 1.0 + std::log(vq / vp);
  }
  return 0.5 * sum;
}

// x[i][k] -> sum over f of (x[i][f] - mean[f]) w[f][k]
inline Matrix project(const Matrix& x, const std::vector<double>& mean, const std::vector<double>& w,
                      std::size_t k_max) {
  Matrix out(x.size(), std::vector<double>(k_max, 0.0));
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t k = 0; k < k_max; ++k)
      for (std::size_t f = 0; f < mean.size(); ++f) out[i][k] += (x[i][f] - mean[f]) * w[f * k_max + k];
  return out;
}

// Entry [i][j]: sum over kept k of c_k |target_j - (a_k query_i + b_k)|; correlation and line from the
// training parts.
inline Matrix cca_dissimilarity(const Matrix& train_query, const Matrix& train_target, const Matrix& query,
                                const Matrix& target, double threshold) {
  Matrix out(query.size(), std::vector<double>(target.size(), 0.0));
  const auto n = static_cast<double>(train_query.size());
  for (std::size_t k = 0; k < query[0].size(); ++k) {
    double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
    for (std::size_t i = 0; i < train_query.size(); ++i) {
      const double x = train_query[i][k], y = train_target[i][k];
      sx += x, sy += y, sxx += x * x, syy += y * y, sxy += x * y;
    }
    const double cov = sxy / n - sx / n * sy / n, vx = sxx / n - sx / n * sx / n,
                 vy = syy / n - sy / n * sy / n;
    const double c = cov / std::sqrt(vx * vy), a = cov / vx, b = sy / n - a * sx / n;
    if (!(c >= threshold)) continue;
    for (std::size_t i = 0; i < query.size(); ++i)
      for (std::size_t j = 0; j < target.size(); ++j)
        out[i][j] += c * std::abs(target[j][k] - (a * query[i][k] + b));
  }
  return out;
}

inline void divide_rows_by_deviation(Matrix& m) {
  for (auto& row : m) {
    const auto n = static_cast<double>(row.size());
    const double mean = std::accumulate(row.begin(), row.end(), 0.0) / n;
    double variance = 0.0;
    for (const double x : row) variance += (x - mean) * (x - mean) / n;
    if (variance > 1e-20)
      for (double& x : row) x /= std::sqrt(variance);
  }
}

// Position of item i in the stable order of row i, counted from 1.
inline std::vector<double> ranks_by_sorting(const Matrix& total) {
  std::vector<double> ranks;
  for (std::size_t i = 0; i < total.size(); ++i) {
    std::vector<std::size_t> order(total[i].size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return total[i][a] < total[i][b]; });
    ranks.push_back(1.0 + static_cast<double>(std::find(order.begin(), order.end(), i) - order.begin()));
  }
  return ranks;
}

}  // namespace emer::reference
