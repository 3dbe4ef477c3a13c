// kernels/cuda/kl_rank_device.h - the Gaussians in gauge coordinates, as the kernels of gaussian_kl_rank read them.
// Only .cu files include this.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "kernels/cuda/kl_rank.h"

namespace emer::cuda {

inline constexpr double kKlVarianceFloor = 1e-6;  // added to exp(log_variance), method.md 3.1

struct KlGauged {
  double mean;      // (mu - c) / s
  double variance;  // v / s^2
};

__device__ inline double kl_variance(float log_variance) {
  return exp(static_cast<double>(log_variance)) + kKlVarianceFloor;
}

// Of one cell [i, k]. Values in double are formed anew from the inputs wherever they are needed: held, they would
// take more memory than all else together.
__device__ inline KlGauged kl_gauged(const GaussianSide<float>& side, std::int64_t cell, double shift,
                                     double inverse_scale) {
  return {(static_cast<double>(side.mean[cell]) - shift) * inverse_scale,
          kl_variance(side.log_variance[cell]) * (inverse_scale * inverse_scale)};
}

__device__ inline const GaussianSide<float>& kl_row_side(const KlRankPlan& p, int direction) {
  return direction == 0 ? p.args.emotion : p.args.music;
}
__device__ inline const GaussianSide<float>& kl_column_side(const KlRankPlan& p, int direction) {
  return direction == 0 ? p.args.music : p.args.emotion;
}

__device__ inline double kl_temperature(const KlRankPlan& p) {
  return p.args.log_temperature != nullptr ? exp(static_cast<double>(*p.args.log_temperature))
                                           : p.args.temperature;
}

// What a unit of u pulls with: dL/dS_ij = -kl_pull * u_ij.
__device__ inline double kl_pull(const KlRankPlan& p) {
  const double weight = p.args.pair_weight * p.args.gradient_weight;
  return p.args.ranking == KlRanking::kSoftmax ? weight / kl_temperature(p) : weight;
}

__device__ inline std::uint16_t kl_to_bf16(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
__device__ inline float kl_from_bf16(std::uint16_t bits) {
  return __uint_as_float(static_cast<unsigned>(bits) << 16);
}

}  // namespace emer::cuda
