// tests/reference/kl_reference.h - the KL ranking loss by the plainest loops over pairs, value and gradient,
// in long double where a sum is long. Written from method.md 3.1, not from a kernel.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace emer::test {

struct KlInputs {
  std::size_t n = 0, d = 0;
  std::vector<double> music_mean, music_log_variance, emotion_mean, emotion_log_variance;
};

struct KlGradients {
  double loss = 0.0;
  double log_temperature = 0.0;
  std::vector<double> music_mean, music_log_variance, emotion_mean, emotion_log_variance;
};

struct KlReferenceOptions {
  bool softmax = false;
  double margin = 1.0, temperature = 1.0, pair_weight = 1.0, norm_weight = 1e-3;
};

// KL(p_j || q_i) from its definition.
inline double kl_of_pair(const double* mp, const double* lp, const double* mq, const double* lq,
                         std::size_t d) {
  long double sum = 0;
  for (std::size_t k = 0; k < d; ++k) {
    const long double vp = std::exp(static_cast<long double>(lp[k])) + 1e-6L;
    const long double vq = std::exp(static_cast<long double>(lq[k])) + 1e-6L;
    const long double gap = static_cast<long double>(mq[k]) - mp[k];
    sum += vp / vq + gap * gap / vq - 1 + std::log(vq) - std::log(vp);
  }
  return static_cast<double>(sum / 2);
}

namespace detail {
inline void kl_direction(const KlReferenceOptions& o, std::size_t n, std::size_t d,
                         const std::vector<double>& mp, const std::vector<double>& lp,
                         const std::vector<double>& mq, const std::vector<double>& lq,
                         std::vector<double>& dmp, std::vector<double>& dlp, std::vector<double>& dmq,
                         std::vector<double>& dlq, KlGradients& out) {
  std::vector<double> s(n * n), g(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      s[i * n + j] = kl_of_pair(&mp[j * d], &lp[j * d], &mq[i * d], &lq[i * d], d);
  for (std::size_t i = 0; i < n; ++i) {
    const double own = s[i * n + i];
    if (o.softmax) {
      double low = own, z = 0;
      for (std::size_t j = 0; j < n; ++j) low = std::min(low, s[i * n + j]);
      for (std::size_t j = 0; j < n; ++j) z += std::exp(-(s[i * n + j] - low) / o.temperature);
      out.loss += o.pair_weight * ((own - low) / o.temperature + std::log(z));
      for (std::size_t j = 0; j < n; ++j) {
        const double p = std::exp(-(s[i * n + j] - low) / o.temperature) / z;
        g[i * n + j] += o.pair_weight / o.temperature * ((i == j ? 1.0 : 0.0) - p);
        out.log_temperature += o.pair_weight * p * (s[i * n + j] - own) / o.temperature;
      }
    } else {
      for (std::size_t j = 0; j < n; ++j) {
        const double v = own - s[i * n + j] + o.margin;
        if (j == i || v <= 0) continue;
        out.loss += o.pair_weight * v;
        g[i * n + i] += o.pair_weight;
        g[i * n + j] -= o.pair_weight;
      }
    }
    out.loss += o.norm_weight * std::abs(own);
    g[i * n + i] += o.norm_weight * (own > 0 ? 1.0 : own < 0 ? -1.0 : 0.0);
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t k = 0; k < d; ++k) {
        const double ep = std::exp(lp[j * d + k]), eq = std::exp(lq[i * d + k]);
        const double vp = ep + 1e-6, vq = eq + 1e-6, gap = mq[i * d + k] - mp[j * d + k], w = g[i * n + j];
        dmq[i * d + k] += w * gap / vq;
        dmp[j * d + k] -= w * gap / vq;
        dlp[j * d + k] += w * 0.5 * (1 / vq - 1 / vp) * ep;
        dlq[i * d + k] += w * 0.5 * (1 / vq - (vp + gap * gap) / (vq * vq)) * eq;
      }
}
}  // namespace detail

inline KlGradients kl_reference(const KlInputs& x, const KlReferenceOptions& o) {
  KlGradients out;
  out.music_mean = out.music_log_variance = out.emotion_mean = out.emotion_log_variance =
      std::vector<double>(x.n * x.d, 0.0);
  detail::kl_direction(o, x.n, x.d, x.music_mean, x.music_log_variance, x.emotion_mean,
                       x.emotion_log_variance, out.music_mean, out.music_log_variance, out.emotion_mean,
                       out.emotion_log_variance, out);
  detail::kl_direction(o, x.n, x.d, x.emotion_mean, x.emotion_log_variance, x.music_mean,
                       x.music_log_variance, out.emotion_mean, out.emotion_log_variance, out.music_mean,
                       out.music_log_variance, out);
  return out;
}

}  // namespace emer::test
