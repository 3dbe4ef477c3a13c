// CUDA twin of kernels/gaussian_kl_rank.h: row strips through cuBLASLt. kernels/cuda/kl_rank.h has the algebra.
#include "kernels/gaussian_kl_rank.h"

#include <algorithm>

#include "kernels/cuda/kl_rank.h"
#include "kernels/cuda/matmul.h"

namespace emer::cuda {

namespace {

using Index = std::int64_t;

constexpr Index kMaxChunks = 256;    // of rows, summed side by side
constexpr Index kMinChunkRows = 64;  // 8 for each of the threads that share a column

Index round_up(Index value, Index to) {
  return (value + to - 1) / to * to;
}

// Rows of S at a time. All of a small batch: then both directions are worked side by side.
Index choose_strip_rows(Index n, Index ld, bool bf16, const KlStripLimits& limits) {
  if (n <= limits.rows) return n;
  const Index row_bytes = ld * (bf16 ? 6 : 4);
  const Index affordable = limits.bytes / row_bytes / kKlTileRows * kKlTileRows;
  return std::clamp(affordable, std::min(Index{kKlTileRows}, limits.rows), limits.rows);
}

}  // namespace

KlRankPlan kl_rank_plan(Context& ctx, const GaussianKlRank<float>& args, const KlStripLimits& limits) {
  const auto take = [&]<class T>(T*& pointer, Index count) {
    pointer = ctx.scratch<T>(static_cast<std::size_t>(count));
  };
  KlRankPlan p;
  p.args = args;
  p.n = args.n;
  p.d = args.d;
  p.bf16 = ctx.precision() == Precision::kBf16;
  p.operand_ld = round_up(2 * p.d, 8);  // 16 bytes of bfloat16
  p.strip_ld = round_up(p.n, 8);
  p.strip_rows = choose_strip_rows(p.n, p.strip_ld, p.bf16, limits);
  p.slots = p.strip_rows == p.n ? kKlDirections : 1;
  p.row_tiles = (p.strip_rows + kKlTileRows - 1) / kKlTileRows;
  p.column_tiles = (p.n + kKlTileColumns - 1) / kKlTileColumns;
  p.rows_per_chunk = std::max(kMinChunkRows, (p.n + kMaxChunks - 1) / kMaxChunks);
  p.chunks = static_cast<int>((p.n + p.rows_per_chunk - 1) / p.rows_per_chunk);

  const Index slots = p.slots, strip_cells = slots * p.strip_rows * p.strip_ld;
  const Index operand_cells = slots * p.n * p.operand_ld;
  take(p.column_sums, p.chunks * 2 * kKlColumnSums * p.d);
  for (double** per_dimension : {&p.shift, &p.inverse_scale, &p.log_scale}) take(*per_dimension, p.d);
  for (double** mean : {&p.row_mean, &p.column_mean}) take(*mean, kKlDirections * 2 * p.d);
  take(p.strip, strip_cells);
  if (p.bf16) {
    std::uint16_t *row, *column, *pull;
    take(row, operand_cells);
    take(column, operand_cells);
    take(pull, strip_cells);
    p.row_operand = row;
    p.column_operand = column;
    p.pull = pull;
    if (args.ranking == KlRanking::kHinge) {
      take(p.row_rest, operand_cells);
      take(p.column_rest, operand_cells);
      take(p.row_spread, slots * p.n * 2);
      take(p.column_spread, slots * p.n * 2);
    }
  } else {
    float *row, *column;
    take(row, operand_cells);
    take(column, operand_cells);
    p.row_operand = row;
    p.column_operand = column;
    p.pull = p.strip;
  }
  take(p.row_loss_part, slots * p.strip_rows * p.column_tiles);
  take(p.row_weight_part, slots * p.strip_rows * p.column_tiles);
  take(p.column_part, slots * p.row_tiles * p.n);
  take(p.row_highest, slots * p.strip_rows);
  take(p.row_total, slots * p.strip_rows);
  for (double** per_row : {&p.row_term, &p.column_term, &p.diagonal, &p.row_loss, &p.row_weight,
                           &p.row_temperature, &p.column_weight})
    take(*per_row, kKlDirections * p.n);
  take(p.row_pull, slots * p.strip_rows * 2 * p.d);
  take(p.column_pull, slots * p.n * 2 * p.d);
  return p;
}

namespace {

const void* operand_row(const KlRankPlan& p, const void* operand, Index row) {
  return static_cast<const char*>(operand) + row * p.operand_ld * (p.bf16 ? 2 : 4);
}

// The products of a strip, batched over the directions: of operands in their own type, to float.
Matmul strip_product(const Context& ctx, const KlRankPlan& p) {
  return {.input = p.bf16 ? MatmulType::kBf16 : MatmulType::kFloat,
          .output = MatmulType::kFloat,
          .precision = ctx.precision(),
          .batch = p.slots};
}

}  // namespace

void kl_rank_products(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  Matmul product = strip_product(ctx, p);
  product.transpose_b = true;
  product.m = strip.rows;
  product.n = p.n;
  product.k = 2 * p.d;
  product.a = operand_row(p, p.row_operand, strip.first_row);
  product.b = p.column_operand;
  product.lda = product.ldb = p.operand_ld;
  product.c = p.strip;
  product.ldc = p.strip_ld;
  product.stride_a = product.stride_b = p.n * p.operand_ld;
  product.stride_c = p.strip_rows * p.strip_ld;
  matmul(ctx, product);
}

void kl_rank_pulls(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  Matmul product = strip_product(ctx, p);
  product.a = p.pull;
  product.lda = p.strip_ld;
  product.stride_a = p.strip_rows * p.strip_ld;
  product.n = 2 * p.d;
  product.ldb = p.operand_ld;
  product.stride_b = p.n * p.operand_ld;
  product.ldc = 2 * p.d;

  product.m = strip.rows;
  product.k = p.n;
  product.b = p.column_operand;
  product.c = p.row_pull;
  product.stride_c = p.strip_rows * 2 * p.d;
  matmul(ctx, product);

  product.transpose_a = true;
  product.m = p.n;
  product.k = strip.rows;
  product.b = operand_row(p, p.row_operand, strip.first_row);
  product.c = p.column_pull;
  product.stride_c = p.n * 2 * p.d;
  product.beta = strip.first_row == 0 ? 0.0 : 1.0;
  matmul(ctx, product);
}

void gaussian_kl_rank_in_strips(Context& ctx, const GaussianKlRank<float>& args,
                                const KlStripLimits& limits) {
  const ArenaScope scope(ctx);
  const KlRankPlan p = kl_rank_plan(ctx, args, limits);
  const bool hinge = args.ranking == KlRanking::kHinge;
  kl_rank_gauge(ctx, p);
  for (int direction = 0; direction < kKlDirections; direction += p.slots) {
    kl_rank_operands(ctx, p, direction);
    // A direction writes the gradients of both sides or adds to the other direction's; worked side by side, the
    // rows' come first.
    const bool second = direction > 0;
    for (Index first = 0; first < p.n; first += p.strip_rows) {
      const KlStrip strip{direction, first, std::min(p.strip_rows, p.n - first)};
      kl_rank_products(ctx, p, strip);
      hinge ? kl_rank_hinge(ctx, p, strip) : kl_rank_softmax(ctx, p, strip);
      kl_rank_finish_strip(ctx, p, strip);
      kl_rank_pulls(ctx, p, strip);
      kl_rank_row_gradient(ctx, p, strip, second);
    }
    kl_rank_column_gradient(ctx, p, direction, second || p.slots == kKlDirections);
  }
  kl_rank_total(ctx, p);
}

template <class Real>
void gaussian_kl_rank(Context& ctx, const GaussianKlRank<Real>& args) {
  gaussian_kl_rank_in_strips(ctx, args, {});
}

template void gaussian_kl_rank(Context&, const GaussianKlRank<float>&);

}  // namespace emer::cuda
