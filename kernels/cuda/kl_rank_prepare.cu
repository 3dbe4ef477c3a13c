// Gauge, operands, and what of S depends on one index alone.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/kl_rank_device.h"

namespace emer::cuda {

namespace {

constexpr int kColumns = 32;        // of a block, one per lane
constexpr int kLanesPerColumn = 8;  // threads that share a column
constexpr int kSums = 2 * kKlColumnSums;

// Places in the sums of one side; m' = mu - mu of the first song, which keeps far means from cancelling.
enum { kMean, kLogVariance, kInverse, kMeanOverVariance, kVariance, kMeanSquare };

// One thread per column and eighth of a chunk of rows; blockIdx.y is the chunk.
__global__ void kl_column_sums(KlRankPlan p) {
  const std::int64_t k = std::int64_t{blockIdx.x} * kColumns + threadIdx.x;
  __shared__ double part[kSums][kLanesPerColumn][kColumns];
  double sums[kSums] = {};
  if (k < p.d) {
    const double first = static_cast<double>(p.args.music.mean[k]);
    const std::int64_t begin = blockIdx.y * p.rows_per_chunk;
    const std::int64_t end = begin + p.rows_per_chunk < p.n ? begin + p.rows_per_chunk : p.n;
    for (int s = 0; s < 2; ++s) {
      const GaussianSide<float>& side = s == 0 ? p.args.music : p.args.emotion;
      double* sum = sums + s * kKlColumnSums;
      for (std::int64_t i = begin + threadIdx.y; i < end; i += kLanesPerColumn) {
        const double m = static_cast<double>(side.mean[i * p.d + k]) - first;
        const double v = kl_variance(side.log_variance[i * p.d + k]), inverse = 1.0 / v;
        sum[kMean] += m;
        sum[kLogVariance] += log(v);
        sum[kInverse] += inverse;
        sum[kMeanOverVariance] += m * inverse;
        sum[kVariance] += v;
        sum[kMeanSquare] += m * m;
      }
    }
  }
  for (int s = 0; s < kSums; ++s) part[s][threadIdx.y][threadIdx.x] = sums[s];
  __syncthreads();
  for (int s = static_cast<int>(threadIdx.y); s < kSums; s += kLanesPerColumn) {
    if (k >= p.d) continue;
    double total = 0.0;
    for (int lane = 0; lane < kLanesPerColumn; ++lane) total += part[s][lane][threadIdx.x];
    p.column_sums[(blockIdx.y * kSums + s) * p.d + k] = total;
  }
}

// One thread per column and eighth of the chunks; one per column goes on to gauge and means.
__global__ void kl_gauge(KlRankPlan p) {
  const std::int64_t k = std::int64_t{blockIdx.x} * kColumns + threadIdx.x;
  __shared__ double part[kSums][kLanesPerColumn][kColumns];
  double sums[kSums] = {};
  if (k < p.d)
    for (int chunk = static_cast<int>(threadIdx.y); chunk < p.chunks; chunk += kLanesPerColumn)
      for (int s = 0; s < kSums; ++s) sums[s] += p.column_sums[(std::int64_t{chunk} * kSums + s) * p.d + k];
  for (int s = 0; s < kSums; ++s) part[s][threadIdx.y][threadIdx.x] = sums[s];
  __syncthreads();
  if (threadIdx.y != 0 || k >= p.d) return;
  for (int s = 0; s < kSums; ++s)
    for (int lane = 1; lane < kLanesPerColumn; ++lane) sums[s] += part[s][lane][threadIdx.x];

  const auto count = static_cast<double>(p.n);
  const double* music = sums;
  const double* emotion = sums + kKlColumnSums;
  const double offset = (music[kMean] + emotion[kMean]) / (2.0 * count);
  const double log_scale = (music[kLogVariance] + emotion[kLogVariance]) / (2.0 * count);
  const double shrink = exp(-log_scale), inverse_scale = sqrt(shrink), scale = 1.0 / inverse_scale;
  p.shift[k] = static_cast<double>(p.args.music.mean[k]) + offset;
  p.log_scale[k] = log_scale;
  p.inverse_scale[k] = inverse_scale;
  for (int direction = 0; direction < kKlDirections; ++direction) {
    const double* rows = direction == 0 ? emotion : music;
    const double* columns = direction == 0 ? music : emotion;
    double* row_mean = p.row_mean + direction * 2 * p.d;
    double* column_mean = p.column_mean + direction * 2 * p.d;
    row_mean[k] = rows[kInverse] / shrink / count;
    row_mean[p.d + k] = scale * (rows[kMeanOverVariance] - offset * rows[kInverse]) / count;
    column_mean[k] =
        (columns[kVariance] + columns[kMeanSquare] + offset * (count * offset - 2.0 * columns[kMean])) *
        shrink / count;
    column_mean[p.d + k] = -2.0 * inverse_scale * (columns[kMean] / count - offset);
  }
}

constexpr int kOperandThreads = 128;

// Sums of `kCount` values over the block, in every thread; all threads must call, once per kernel.
template <int kCount>
__device__ void sum_over_block(double (&values)[kCount]) {
  __shared__ double of_warp[kOperandThreads / 32][kCount];
  for (int s = 0; s < kCount; ++s) {
    const double total = warp_sum(values[s]);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32][s] = total;
  }
  __syncthreads();
  for (int s = 0; s < kCount; ++s) {
    values[s] = 0.0;
    for (int warp = 0; warp < kOperandThreads / 32; ++warp) values[s] += of_warp[warp][s];
  }
}

__device__ double fourth_power(double x) {
  return x * x * x * x;
}

// x as tensor cores of tf32 take it, rounded to nearest.
__device__ float to_tf32(float x) {
  const unsigned bits = __float_as_uint(x);
  return isfinite(x) ? __uint_as_float((bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu) : x;
}

__device__ double round_operand(float* to, double x, bool rounded) {
  const float whole = __double2float_rn(x);
  *to = rounded ? to_tf32(whole) : whole;
  return static_cast<double>(*to);
}
__device__ double round_operand(std::uint16_t* to, double x, bool) {
  *to = kl_to_bf16(__double2float_rn(x));
  return static_cast<double>(kl_from_bf16(*to));
}

// Stores x as the products take it, and the rest, where that is kept; adds the fourth powers of x and of the rest.
template <class Element>
__device__ void store_operand(Element* to, std::uint16_t* rest, std::int64_t at, double x, double& whole,
                              double& missed) {
  const double error = x - round_operand(to + at, x, rest != nullptr);
  if (rest == nullptr) return;
  rest[at] = kl_to_bf16(__double2float_rn(error));
  whole += fourth_power(x);
  missed += fourth_power(error);
}

// One block per column, then, rows being apart, per row (blockIdx.x) of a direction's operands (.y), a thread per
// dimension in strides.
template <class Element>
__global__ void kl_operands(KlRankPlan p, int first_direction) {
  const std::int64_t i = blockIdx.x, d = p.d;
  const int slot = static_cast<int>(blockIdx.y), direction = first_direction + slot;
  const bool has_column = i < p.n;
  const GaussianSide<float>& row_side = has_column ? kl_row_side(p, direction) : kl_row_home(p, direction);
  const GaussianSide<float>& column_side =
      has_column ? kl_column_side(p, direction) : kl_own_home(p, direction);
  const double* row_mean = p.row_mean + direction * 2 * d;
  const double* column_mean = p.column_mean + direction * 2 * d;
  const bool rests = p.row_rest != nullptr;
  const std::int64_t of_row = i - (p.apart ? p.n : p.first_row);
  const std::int64_t column_at = slot * p.n + i, row_at = slot * p.rows + of_row;
  const std::int64_t cell = (has_column ? i : of_row) * d;
  const bool has_row = of_row >= 0 && of_row < p.rows;
  Element* column = has_column ? static_cast<Element*>(p.column_operand) + column_at * p.operand_ld : nullptr;
  std::uint16_t* column_rest = has_column && rests ? p.column_rest + column_at * p.operand_ld : nullptr;
  Element* row = has_row ? static_cast<Element*>(p.row_operand) + row_at * p.operand_ld : nullptr;
  std::uint16_t* row_rest = has_row && rests ? p.row_rest + row_at * p.operand_ld : nullptr;
  // Row term, column term, diagonal; fourth powers of R, of its rounding, of C, of its rounding.
  double sums[7] = {};
  for (std::int64_t k = threadIdx.x; k < d; k += kOperandThreads) {
    const double shift = p.shift[k], inverse_scale = p.inverse_scale[k], log_scale = p.log_scale[k];
    const KlGauged rows = kl_gauged(row_side, cell + k, shift, inverse_scale);
    const KlGauged columns = kl_gauged(column_side, cell + k, shift, inverse_scale);
    const double row_log = log(kl_variance(row_side.log_variance[cell + k])) - log_scale;
    const double column_log = log(kl_variance(column_side.log_variance[cell + k])) - log_scale;
    const double wq = rows.variance, mq = rows.mean, inverse = 1.0 / wq;
    const double wp = columns.variance, mp = columns.mean;
    const double second = wp + mp * mp - column_mean[k], first = -2.0 * mp - column_mean[d + k];
    sums[1] += second * row_mean[k] + first * row_mean[d + k] - column_log;
    if (has_column) {
      store_operand(column, column_rest, k, second, sums[5], sums[6]);
      store_operand(column, column_rest, d + k, first, sums[5], sums[6]);
    }
    if (!has_row) continue;
    sums[0] +=
        mq * mq * inverse + row_log - 1.0 + inverse * column_mean[k] + mq * inverse * column_mean[d + k];
    // Division, so that equal variances give exactly 1 and a pair of equal Gaussians exactly 0.
    sums[2] += wp / wq - 1.0 + (row_log - column_log) + (mq - mp) * (mq - mp) * inverse;
    store_operand(row, row_rest, k, inverse - row_mean[k], sums[3], sums[4]);
    store_operand(row, row_rest, d + k, mq * inverse - row_mean[d + k], sums[3], sums[4]);
  }
  for (std::int64_t k = 2 * d + threadIdx.x; k < p.operand_ld; k += kOperandThreads) {
    if (has_column) column[k] = Element(0);  // kl_load8 reads whole vectors
    if (column_rest != nullptr) column_rest[k] = 0;
    if (has_row) row[k] = Element(0);
    if (row_rest != nullptr) row_rest[k] = 0;
  }
  sum_over_block(sums);
  if (threadIdx.x != 0) return;
  if (has_column) p.column_term[direction * p.n + i] = sums[1];
  if (has_column && rests) {
    p.column_spread[2 * column_at] = __double2float_rn(sqrt(sums[5]));
    p.column_spread[2 * column_at + 1] = __double2float_rn(sqrt(sums[6]));
  }
  if (!has_row) return;
  p.row_term[direction * p.rows + of_row] = sums[0];
  p.diagonal[direction * p.rows + of_row] = 0.5 * sums[2];
  if (rests) {
    p.row_spread[2 * row_at] = __double2float_rn(sqrt(sums[4]));
    p.row_spread[2 * row_at + 1] = __double2float_rn(sqrt(sums[3]));
  }
}

}  // namespace

void kl_rank_gauge(Context& ctx, const KlRankPlan& p) {
  const dim3 block(kColumns, kLanesPerColumn);
  const unsigned groups = blocks_for(p.d, kColumns, INT32_MAX);
  launch(ctx, {.name = "kl_column_sums", .grid = {groups, static_cast<unsigned>(p.chunks)}, .block = block},
         kl_column_sums, p);
  launch(ctx, {.name = "kl_gauge", .grid = {groups}, .block = block}, kl_gauge, p);
}

void kl_rank_operands(Context& ctx, const KlRankPlan& p, int first_direction) {
  launch(ctx,
         {.name = "kl_operands",
          .grid = {static_cast<unsigned>(p.apart ? p.n + p.rows : p.n), static_cast<unsigned>(p.slots)},
          .block = kOperandThreads},
         p.bf16 ? kl_operands<std::uint16_t> : kl_operands<float>, p, first_direction);
}

}  // namespace emer::cuda
