// CUDA twin of kernels/gaussian_kl_rank.h: memory, and the order of the kernels. kernels/cuda/kl_rank.h has the
// algebra.
#include "kernels/gaussian_kl_rank.h"

#include <algorithm>

#include "core/check.h"
#include "core/cuda/context_state.h"
#include "kernels/cuda/kl_rank.h"
#include "kernels/cuda/matmul.h"

namespace emer::cuda {

namespace {

using Index = std::int64_t;

constexpr Index kMaxChunks = 256;    // of rows, summed side by side
constexpr Index kMinChunkRows = 64;  // 8 for each of the threads that share a column

Index divided(Index value, Index by) {
  return (value + by - 1) / by;
}
Index round_up(Index value, Index to) {
  return divided(value, to) * to;
}

KlKernel choose_kernel(Context& ctx, const GaussianKlRank<float>& args) {
  if (args.kernel == KlKernel::kHopper) {
    int major = 0;
    EMER_CUDA_CHECK(
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ctx.cuda_state().device));
    if (major != 9)
      fail(ErrorKind::kDevice,
           "gaussian_kl_rank: kernel hopper has no CUDA twin for compute capability {}.x, only for 9.0",
           major);
  }
  const bool possible = ctx.precision() == Precision::kBf16 && args.ranking == KlRanking::kHinge;
  return possible && args.kernel != KlKernel::kAuto ? args.kernel : KlKernel::kStrips;
}

// Of `rows` rows of S, `bytes` each, how many at a time. All of a few: then both directions are worked side by side.
void choose_strips(KlRankPlan& p, Index bytes, Index tile, const KlStripLimits& limits) {
  const bool all = p.rows <= limits.rows && kKlDirections * p.rows * bytes <= limits.bytes;
  p.slots = all ? kKlDirections : 1;
  p.strip_rows = all ? p.rows
                     : std::min(p.rows, std::clamp(limits.bytes / bytes / tile * tile,
                                                   std::min(tile, limits.rows), limits.rows));
}

// Scratch, by pointer to where it is to be noted.
class Taker {
 public:
  explicit Taker(Context& ctx) : ctx_(&ctx) {}
  template <class T>
  void operator()(T*& pointer, Index count) const {
    pointer = ctx_->scratch<T>(static_cast<std::size_t>(count));
  }

 private:
  Context* ctx_;
};

template <class Element>
void take_operands_of(const Taker& take, KlRankPlan& p) {
  Element *row, *column;
  take(row, p.slots * p.rows * p.operand_ld);
  take(column, p.slots * p.n * p.operand_ld);
  p.row_operand = row;
  p.column_operand = column;
}

void take_operands(const Taker& take, KlRankPlan& p, Precision precision) {
  p.bf16 ? take_operands_of<std::uint16_t>(take, p) : take_operands_of<float>(take, p);
  if (precision == Precision::kFp32 || p.args.ranking != KlRanking::kHinge) return;
  take(p.row_rest, p.slots * p.rows * p.operand_ld);
  take(p.column_rest, p.slots * p.n * p.operand_ld);
  take(p.row_spread, p.slots * p.rows * 2);
  take(p.column_spread, p.slots * p.n * 2);
}

void take_mask(const Taker& take, KlRankPlan& p) {
  const bool tiles = p.kernel != KlKernel::kStrips;
  p.mask_rows = tiles ? p.row_tiles * kKlMaskTile : p.strip_rows;
  p.row_words = p.column_tiles * (tiles ? kKlTileWords : kKlTileColumns / 32);
  // Where a block writes one word of each of its columns, words of many columns lie side by side.
  p.column_step = tiles ? 1 : p.n;
  p.column_ld = tiles ? p.row_tiles * kKlTileWords : 1;
  p.column_stride = tiles ? p.column_tiles * kKlMaskTile * p.column_ld : p.row_tiles * p.n;
  take(p.row_bits, p.slots * p.mask_rows * p.row_words);
  take(p.column_bits, p.slots * p.column_stride);
  take(p.row_count, p.slots * p.strip_rows);
  take(p.column_count, p.slots * p.n);
}

void take_strip(const Taker& take, KlRankPlan& p) {
  const Index cells = p.slots * p.strip_rows * p.strip_ld;
  take(p.strip, cells);
  p.pull = p.strip;
  if (p.bf16) {
    std::uint16_t* pull;
    take(pull, cells);
    p.pull = pull;
  }
  if (p.args.ranking == KlRanking::kHinge) {
    take(p.row_loss_part, p.slots * p.strip_rows * p.column_tiles);
    take_mask(take, p);
  } else {
    take(p.column_part, p.slots * p.row_tiles * p.n);
    take(p.row_highest, p.slots * p.strip_rows);
    take(p.row_total, p.slots * p.strip_rows);
  }
}

void take_tiles(const Taker& take, KlRankPlan& p) {
  const Index tiles = p.slots * p.row_tiles * p.column_tiles;
  take_mask(take, p);
  take(p.tile_active, tiles);
  take(p.tile_loss, tiles);
  take(p.row_list, tiles);
  take(p.column_list, tiles);
  take(p.row_list_length, p.slots * p.row_tiles);
  take(p.column_list_length, p.slots * p.column_tiles);
  take(p.row_sparse, p.slots * p.row_tiles);
  take(p.column_sparse, p.slots * p.column_tiles);
}

GaussianSide<float> from_row(const GaussianSide<float>& side, Index cell) {
  return {side.mean + cell, side.log_variance + cell, side.d_mean + cell, side.d_log_variance + cell};
}

void place_rows(KlRankPlan& p) {
  GaussianKlRank<float>& args = p.args;
  p.first_row = args.first_row;
  p.rows = args.rows == kKlAllRows ? p.n : Index{args.rows};
  p.apart = args.piece.music.mean != nullptr;
  const Index cell = p.first_row * p.d;
  p.row_music = p.apart ? args.piece.music : from_row(args.music, cell);
  p.row_emotion = p.apart ? args.piece.emotion : from_row(args.emotion, cell);
  if (!args.piece.first) args.norm_weight = 0.0;  // the first piece has told it for all
}

}  // namespace

KlRankPlan kl_rank_plan(Context& ctx, const GaussianKlRank<float>& args, const KlStripLimits* limits) {
  const Taker take(ctx);
  KlRankPlan p;
  p.args = args;
  p.n = args.n;
  p.d = args.d;
  place_rows(p);
  p.bf16 = ctx.precision() == Precision::kBf16;
  p.kernel = choose_kernel(ctx, args);
  const bool tiles = p.kernel != KlKernel::kStrips;
  p.operand_ld = round_up(2 * p.d, 8);  // 16 bytes of bfloat16
  p.strip_ld = round_up(p.n, 8);
  const Index tile_rows = tiles ? kKlMaskTile : kKlTileRows;
  p.column_tiles = divided(p.n, tiles ? kKlMaskTile : kKlTileColumns);
  const Index row_bytes = tiles ? p.column_tiles * kKlMaskTile / 4 : p.strip_ld * (p.bf16 ? 6 : 4);
  choose_strips(p, row_bytes, tile_rows,
                limits != nullptr ? *limits
                : tiles           ? kKlTileLimits
                                  : kKlStripLimits);
  p.row_tiles = divided(p.strip_rows, tile_rows);
  p.rows_per_chunk = std::max(kMinChunkRows, divided(p.n, kMaxChunks));
  p.chunks = static_cast<int>(divided(p.n, p.rows_per_chunk));

  take(p.column_sums, p.chunks * 2 * kKlColumnSums * p.d);
  for (double** per_dimension : {&p.shift, &p.inverse_scale, &p.log_scale}) take(*per_dimension, p.d);
  for (double** mean : {&p.row_mean, &p.column_mean}) take(*mean, kKlDirections * 2 * p.d);
  take_operands(take, p, ctx.precision());
  tiles ? take_tiles(take, p) : take_strip(take, p);
  for (double** per_row : {&p.row_term, &p.diagonal, &p.row_loss, &p.row_weight, &p.row_temperature})
    take(*per_row, kKlDirections * p.rows);
  for (double** per_column : {&p.column_term, &p.column_weight}) take(*per_column, kKlDirections * p.n);
  take(p.row_pull, p.slots * p.strip_rows * 2 * p.d);
  take(p.column_pull, p.slots * p.n * 2 * p.d);
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
  product.stride_a = p.rows * p.operand_ld;
  product.stride_b = p.n * p.operand_ld;
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
  product.stride_b = p.rows * p.operand_ld;
  product.c = p.column_pull;
  product.stride_c = p.n * 2 * p.d;
  product.beta = strip.first_row == 0 ? 0.0 : 1.0;
  matmul(ctx, product);
}

namespace {

void work_strip(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  if (p.kernel != KlKernel::kStrips) {
    const bool hopper = p.kernel == KlKernel::kHopper;
    hopper ? kl_rank_score_hopper(ctx, p, strip) : kl_rank_score_tiles(ctx, p, strip);
    kl_rank_finish_tiles(ctx, p, strip);
    hopper ? kl_rank_pull_hopper(ctx, p, strip) : kl_rank_pull_tiles(ctx, p, strip);
    return kl_rank_refine(ctx, p, strip);
  }
  kl_rank_products(ctx, p, strip);
  p.args.ranking == KlRanking::kHinge ? kl_rank_hinge(ctx, p, strip) : kl_rank_softmax(ctx, p, strip);
  kl_rank_finish_strip(ctx, p, strip);
  kl_rank_pulls(ctx, p, strip);
  if (p.row_rest != nullptr) kl_rank_refine(ctx, p, strip);
}

void score_direction(Context& ctx, const KlRankPlan& p, int direction) {
  for (Index first = 0; first < p.rows; first += p.strip_rows) {
    const KlStrip strip{direction, first, std::min(p.strip_rows, p.rows - first)};
    kl_rank_products(ctx, p, strip);
    kl_rank_score_softmax(ctx, p, strip);
  }
}

}  // namespace

void gaussian_kl_rank_in_strips(Context& ctx, const GaussianKlRank<float>& args,
                                const KlStripLimits* limits) {
  const ArenaScope scope(ctx);
  const KlRankPlan p = kl_rank_plan(ctx, args, limits);
  kl_rank_gauge(ctx, p);
  for (int direction = 0; direction < kKlDirections; direction += p.slots) {
    kl_rank_operands(ctx, p, direction);
    if (p.args.piece.pass == KlPass::kScore) {
      score_direction(ctx, p, direction);
      continue;
    }
    // A direction writes the gradients of both sides or adds to the other direction's; worked side by side, the
    // rows' come first.
    const bool second = direction > 0, add_to_rows = second || (p.apart && !p.args.piece.first);
    for (Index first = 0; first < p.rows; first += p.strip_rows) {
      const KlStrip strip{direction, first, std::min(p.strip_rows, p.rows - first)};
      work_strip(ctx, p, strip);
      kl_rank_row_gradient(ctx, p, strip, add_to_rows);
      if (p.apart) kl_rank_own_gradient(ctx, p, strip, add_to_rows || p.slots == kKlDirections);
    }
    kl_rank_column_gradient(ctx, p, direction, second || p.slots == kKlDirections);
  }
  const bool told = p.args.ranking == KlRanking::kSoftmax && !p.args.piece.first;
  if (p.args.piece.pass == KlPass::kPull && !told) kl_rank_total(ctx, p);
}

template <class Real>
void gaussian_kl_rank(Context& ctx, const GaussianKlRank<Real>& args) {
  gaussian_kl_rank_in_strips(ctx, args);
}

template void gaussian_kl_rank(Context&, const GaussianKlRank<float>&);

}  // namespace emer::cuda
