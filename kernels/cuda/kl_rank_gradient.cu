// From the pulled sums to the gradients of both sides; the loss.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/kl_rank_device.h"

namespace emer::cuda {

namespace {

constexpr int kThreads = 256;

__device__ void store(float& to, double value, bool accumulate) {
  to = accumulate ? to + __double2float_rn(value) : __double2float_rn(value);
}

// d v / d log_variance, divided by v, v in gauge coordinates.
__device__ double floor_factor(double variance, double inverse_scale) {
  return 1.0 - kKlVarianceFloor * inverse_scale * inverse_scale / variance;
}

// dL/dS_ii, of the row at `at`.
__device__ double diagonal_gradient(const KlRankPlan& p, std::int64_t at, double pull) {
  const double s = p.diagonal[at], sign = s > 0 ? 1.0 : s < 0 ? -1.0 : s;  // keeps NaN
  return pull * p.row_weight[at] + p.args.gradient_weight * p.args.norm_weight * sign;
}

// One block per row of the strip (blockIdx.x) and direction (.y), a thread per dimension in strides.
__global__ void kl_row_gradient(KlRankPlan p, KlStrip strip, bool accumulate) {
  const std::int64_t d = p.d, i = strip.first_row + blockIdx.x;
  const int slot = static_cast<int>(blockIdx.y), direction = strip.first_direction + slot;
  const GaussianSide<float>& side = kl_row_home(p, direction);
  const double* column_mean = p.column_mean + direction * 2 * d;
  const float* pulled = p.row_pull + (slot * p.strip_rows + blockIdx.x) * 2 * d;
  const double pull = kl_pull(p), weight = p.row_weight[direction * p.rows + i];
  const double own = diagonal_gradient(p, direction * p.rows + i, pull);
  for (std::int64_t k = threadIdx.x; k < d; k += kThreads) {
    const std::int64_t cell = i * d + k;
    const double shift = p.shift[k], inverse_scale = p.inverse_scale[k];
    const KlGauged row = kl_gauged(side, cell, shift, inverse_scale);
    const KlGauged column = kl_gauged(kl_own_home(p, direction), cell, shift, inverse_scale);
    const double w = row.variance, m = row.mean, inverse = 1.0 / w, gap = m - column.mean;
    const double second = static_cast<double>(pulled[k]) + weight * column_mean[k];
    const double first = -0.5 * (static_cast<double>(pulled[d + k]) + weight * column_mean[d + k]);
    const double d_mean = inverse * (own * gap - pull * (weight * m - first));
    const double spread = second - 2.0 * m * first + weight * m * m;
    const double d_log =
        own * (1.0 - inverse * (column.variance + gap * gap)) - pull * (weight - inverse * spread);
    store(side.d_mean[cell], d_mean * inverse_scale, accumulate);
    store(side.d_log_variance[cell], 0.5 * floor_factor(w, inverse_scale) * d_log, accumulate);
  }
}

// Threads as in kl_row_gradient.
__global__ void kl_own_gradient(KlRankPlan p, KlStrip strip, bool accumulate) {
  const std::int64_t d = p.d, i = strip.first_row + blockIdx.x;
  const int direction = strip.first_direction + static_cast<int>(blockIdx.y);
  const GaussianSide<float>& side = kl_own_home(p, direction);
  const double own = diagonal_gradient(p, direction * p.rows + i, kl_pull(p));
  for (std::int64_t k = threadIdx.x; k < d; k += kThreads) {
    const std::int64_t cell = i * d + k;
    const double shift = p.shift[k], inverse_scale = p.inverse_scale[k];
    const KlGauged column = kl_gauged(side, cell, shift, inverse_scale);
    const KlGauged row = kl_gauged(kl_row_home(p, direction), cell, shift, inverse_scale);
    const double w = column.variance, inverse = 1.0 / row.variance;
    store(side.d_mean[cell], own * inverse * (column.mean - row.mean) * inverse_scale, accumulate);
    store(side.d_log_variance[cell], 0.5 * floor_factor(w, inverse_scale) * own * (w * inverse - 1.0),
          accumulate);
  }
}

// One block per column j of S (blockIdx.x) and direction (.y), a thread per dimension in strides.
__global__ void kl_column_gradient(KlRankPlan p, int first_direction, bool accumulate) {
  const std::int64_t d = p.d, j = blockIdx.x;
  const int slot = static_cast<int>(blockIdx.y), direction = first_direction + slot;
  const GaussianSide<float>& side = kl_column_side(p, direction);
  const double* row_mean = p.row_mean + direction * 2 * d;
  const float* pulled = p.column_pull + (slot * p.n + j) * 2 * d;
  const double pull = kl_pull(p), weight = p.column_weight[direction * p.n + j];
  const std::int64_t of_row = j - p.first_row;
  const bool is_row =
      !p.apart && of_row >= 0 && of_row < p.rows;  // else only this direction reaches the sample
  const double own = is_row ? diagonal_gradient(p, direction * p.rows + of_row, pull) : 0.0;
  for (std::int64_t k = threadIdx.x; k < d; k += kThreads) {
    const std::int64_t cell = j * d + k;
    const double shift = p.shift[k], inverse_scale = p.inverse_scale[k];
    const KlGauged column = kl_gauged(side, cell, shift, inverse_scale);
    const KlGauged row = kl_gauged(kl_row_side(p, direction), cell, shift, inverse_scale);
    const double w = column.variance, m = column.mean, inverse = 1.0 / row.variance;
    const double zeroth = static_cast<double>(pulled[k]) + weight * row_mean[k];
    const double first = static_cast<double>(pulled[d + k]) + weight * row_mean[d + k];
    const double d_mean = own * inverse * (m - row.mean) - pull * (m * zeroth - first);
    const double d_log = own * (w * inverse - 1.0) - pull * (w * zeroth - weight);
    store(side.d_mean[cell], d_mean * inverse_scale, accumulate && is_row);
    store(side.d_log_variance[cell], 0.5 * floor_factor(w, inverse_scale) * d_log, accumulate && is_row);
  }
}

constexpr int kTotalThreads = 1024;

// One block, a thread per row in strides; both directions.
__global__ void kl_total(KlRankPlan p) {
  double loss = 0.0, slope = 0.0;
  const bool softmax = p.args.ranking == KlRanking::kSoftmax;
  for (int direction = 0; direction < kKlDirections; ++direction) {
    double pairs = 0.0, norm = 0.0, temperature = 0.0;
    for (std::int64_t i = threadIdx.x; i < p.rows; i += kTotalThreads) {
      pairs += p.row_loss[direction * p.rows + i];
      norm += fabs(p.diagonal[direction * p.rows + i]);
      if (softmax) temperature += p.row_temperature[direction * p.rows + i];
    }
    loss += p.args.pair_weight * block_sum<kTotalThreads>(pairs) +
            p.args.norm_weight * block_sum<kTotalThreads>(norm);
    slope += block_sum<kTotalThreads>(temperature);
  }
  if (threadIdx.x != 0) return;
  *p.args.loss = p.args.piece.first ? loss : *p.args.loss + loss;
  if (softmax && p.args.d_log_temperature != nullptr)
    *p.args.d_log_temperature += __double2float_rn(p.args.pair_weight * p.args.gradient_weight * slope);
}

}  // namespace

void kl_rank_row_gradient(Context& ctx, const KlRankPlan& p, const KlStrip& strip, bool accumulate) {
  launch(ctx,
         {.name = "kl_row_gradient",
          .grid = {static_cast<unsigned>(strip.rows), static_cast<unsigned>(p.slots)},
          .block = kThreads},
         kl_row_gradient, p, strip, accumulate);
}

void kl_rank_own_gradient(Context& ctx, const KlRankPlan& p, const KlStrip& strip, bool accumulate) {
  launch(ctx,
         {.name = "kl_own_gradient",
          .grid = {static_cast<unsigned>(strip.rows), static_cast<unsigned>(p.slots)},
          .block = kThreads},
         kl_own_gradient, p, strip, accumulate);
}

void kl_rank_column_gradient(Context& ctx, const KlRankPlan& p, int first_direction, bool accumulate) {
  launch(ctx,
         {.name = "kl_column_gradient",
          .grid = {static_cast<unsigned>(p.n), static_cast<unsigned>(p.slots)},
          .block = kThreads},
         kl_column_gradient, p, first_direction, accumulate);
}

void kl_rank_total(Context& ctx, const KlRankPlan& p) {
  launch(ctx, {.name = "kl_total", .block = kTotalThreads}, kl_total, p);
}

}  // namespace emer::cuda
