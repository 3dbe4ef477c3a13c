// kernels/cpu/centred_gaussians.h - the Gaussians of gaussian_kl_rank in gauge coordinates, in double.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/parallel.h"
#include "kernels/gaussian_kl_rank.h"

namespace emer::cpu {

inline constexpr double kKlVarianceFloor = 1e-6;  // added to exp(log_variance), method.md 3.1

// One side, [samples, d].
struct CentredGaussians {
  double* mean;          // (mu - c) / s
  double* variance;      // v / s^2
  double* log_variance;  // ln of the line above
};

// `count` samples as they are, in the place of sample `first` and those after it.
template <class Real>
void load_gaussians(const GaussianSide<Real>& from, const CentredGaussians& to, std::int64_t first,
                    std::int64_t count, std::int64_t d) {
  parallel_for(count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin * d; k < end * d; ++k) {
      const double v = std::exp(static_cast<double>(from.log_variance[k])) + kKlVarianceFloor;
      to.mean[first * d + k] = static_cast<double>(from.mean[k]);
      to.variance[first * d + k] = v;
      to.log_variance[first * d + k] = std::log(v);
    }
  });
}

// Brings all samples of both sides to the gauge of the first n. inverse_scale [d] <- 1/s.
inline void centre_gaussians(const CentredGaussians& music, const CentredGaussians& emotion, std::int64_t n,
                             std::int64_t samples, std::int64_t d, double* inverse_scale) {
  constexpr std::int64_t kGrain = 64;
  parallel_for(d, kGrain, [&](std::int64_t begin, std::int64_t end) {
    double shift[kGrain] = {}, log_scale[kGrain] = {}, shrink[kGrain];
    const std::int64_t width = end - begin;
    for (const CentredGaussians* side : {&music, &emotion})
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t k = 0; k < width; ++k) {
          shift[k] += side->mean[i * d + begin + k];
          log_scale[k] += side->log_variance[i * d + begin + k];
        }
    for (std::int64_t k = 0; k < width; ++k) {
      shift[k] /= static_cast<double>(2 * n);
      log_scale[k] /= static_cast<double>(2 * n);
      shrink[k] = std::exp(-log_scale[k]);
      inverse_scale[begin + k] = std::sqrt(shrink[k]);
    }
    for (const CentredGaussians* side : {&music, &emotion})
      for (std::int64_t i = 0; i < samples; ++i)
        for (std::int64_t k = 0; k < width; ++k) {
          const std::int64_t cell = i * d + begin + k;
          side->mean[cell] = (side->mean[cell] - shift[k]) * inverse_scale[begin + k];
          side->variance[cell] *= shrink[k];
          side->log_variance[cell] -= log_scale[k];
        }
  });
}

}  // namespace emer::cpu
