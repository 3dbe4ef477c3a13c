// kernels/cuda/kl_rank_device.h - the Gaussians in gauge coordinates, as the kernels of gaussian_kl_rank read them.
// Only .cu files include this.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "core/cuda/device_code.h"
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

// The same of the rows' samples.
__device__ inline const GaussianSide<float>& kl_row_home(const KlRankPlan& p, int direction) {
  return direction == 0 ? p.row_emotion : p.row_music;
}
__device__ inline const GaussianSide<float>& kl_own_home(const KlRankPlan& p, int direction) {
  return direction == 0 ? p.row_music : p.row_emotion;
}

// The column that is row i's own pair, or -1.
__device__ inline std::int64_t kl_own_column(const KlRankPlan& p, std::int64_t i) {
  if (!p.apart) return p.first_row + i;
  return i >= p.args.piece.own_begin && i < p.args.piece.own_end ? p.first_row + i - p.args.piece.own_begin
                                                                 : -1;
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

// Eight elements side by side; at a multiple of 16 bytes.
__device__ inline void kl_load8(const std::uint16_t* from, float (&to)[8]) {
  const uint4 eight = *reinterpret_cast<const uint4*>(from);
  const unsigned pairs[] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
  for (int pair = 0; pair < 4; ++pair) {
    to[2 * pair] = __uint_as_float(pairs[pair] << 16);
    to[2 * pair + 1] = __uint_as_float(pairs[pair] & 0xffff0000u);
  }
}
__device__ inline void kl_load8(const float* from, float (&to)[8]) {
  const float4 low = reinterpret_cast<const float4*>(from)[0],
               high = reinterpret_cast<const float4*>(from)[1];
  const float eight[] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
  for (int e = 0; e < 8; ++e) to[e] = eight[e];
}

// R_i . C_j from the operands and what rounding left of them: the warp's lanes share the dimensions, all must call.
template <class Element>
__device__ inline float kl_fine_product(const KlRankPlan& p, int slot, std::int64_t i, std::int64_t j) {
  const std::int64_t row = (slot * p.rows + i) * p.operand_ld, column = (slot * p.n + j) * p.operand_ld;
  const auto* rows = static_cast<const Element*>(p.row_operand) + row;
  const auto* columns = static_cast<const Element*>(p.column_operand) + column;
  float sum = 0.0f;
  for (std::int64_t k = threadIdx.x % 32 * 8; k < p.operand_ld; k += 256) {
    float r[8], r_rest[8], c[8], c_rest[8];
    kl_load8(rows + k, r);
    kl_load8(p.row_rest + row + k, r_rest);
    kl_load8(columns + k, c);
    kl_load8(p.column_rest + column + k, c_rest);
#pragma unroll
    for (int e = 0; e < 8; ++e) sum += (r[e] + r_rest[e]) * (c[e] + c_rest[e]);
  }
  return warp_sum(sum);
}

// The square of how far rounded operands may put v_ij off: v <- v - err / 2, err = sum_k (dR C + R dC), dR and dC being
// the roundings. With these taken as independent and centred, Hoeffding's and Cauchy's inequalities give
//   P(|err| > 6 sigma) < 2 exp(-18),   sigma^2 <= sum dR^2 C^2 + R^2 dC^2 <= |dR^2| |C^2| + |R^2| |dC^2|,
// |x^2| the root of the sum of fourth powers: the spreads that kl_operands left. Sums inside the tensor cores err
// by 2^-15 of that.
__device__ inline float kl_near_square(const float* row_spread, const float* column_spread) {
  return 9.0f * (row_spread[0] * column_spread[0] + row_spread[1] * column_spread[1]);
}

}  // namespace emer::cuda
