// kernels/cuda/kl_rank.h - what the kernels of gaussian_kl_rank share on the device. CUDA twins only; this header
// needs no CUDA header.
//
// Direction 0 is A of gaussian_kl_rank.h (rows emotion, columns music), direction 1 is B. With C the gauge of one
// dimension (c, s), m = (mu - c) / s, w = v / s^2:
//   2 S_ij = R_i . C_j + row_i + column_j,   R = [1/w, m/w] - row_mean,   C = [w + m^2, -2m] - column_mean
// Any c, s and means give the same S; the batch's own make the operands small. One or both directions are worked at
// a time, a strip of rows after the other:
//   products -> hinge or softmax: u_ij >= 0 of dL/dS_ij = -pull * u_ij (j != i), u_ii = 0 -> U C and U' R -> gradients
#pragma once

#include <cstdint>

#include "kernels/gaussian_kl_rank.h"

namespace emer::cuda {

inline constexpr int kKlDirections = 2;
inline constexpr int kKlTileRows = 32;      // of S, worked by one block of the hinge and softmax kernels
inline constexpr int kKlTileColumns = 256;  // of S
inline constexpr int kKlMaskTile = 128;     // rows and columns of S in one tile of the score and pull kernels
inline constexpr int kKlTileWords = kKlMaskTile / 32;
// Active pairs of a row or column up to which its pulls are refined: beyond, the roundings of so many operands average
// out to 2^-3 of one operand's, which is what tf32 would leave of bfloat16's.
inline constexpr int kKlFew = 64;
inline constexpr int kKlColumnSums = 6;  // sums per column and side behind gauge and means

// Device memory and extents, passed to every kernel by value. Big arrays have one slot per direction worked at a
// time; the small ones [2, ...] hold both directions.
struct KlRankPlan {
  GaussianKlRank<float> args;
  std::int64_t n = 0, d = 0;
  std::int64_t first_row = 0, rows = 0;        // of S; arrays over rows, and KlStrip, count from first_row on
  bool apart = false;                          // rows are no columns: args.piece
  GaussianSide<float> row_music, row_emotion;  // the rows' samples, from row 0 on
  std::int64_t operand_ld = 0;                 // elements from one operand row to the next, >= 2d
  std::int64_t strip_ld = 0;                   // elements from one row of a strip to the next, >= n
  std::int64_t strip_rows = 0;                 // rows of S at a time
  std::int64_t row_tiles = 0;                  // of a strip
  std::int64_t column_tiles = 0;
  int slots = 0;  // directions worked at a time
  int chunks = 0;
  std::int64_t rows_per_chunk = 0;
  bool bf16 = false;
  KlKernel kernel = KlKernel::kStrips;  // what is asked for, or kStrips where that cannot be had
  // Of the mask of active pairs, in words; one word has 32 pairs, the pair of lower index in the lower bit.
  std::int64_t mask_rows = 0;                     // rows of a slot
  std::int64_t row_words = 0;                     // from one row to the next
  std::int64_t column_step = 0;                   // from one word of a column to the next
  std::int64_t column_ld = 0, column_stride = 0;  // from one column, one slot to the next

  double* column_sums = nullptr;         // [chunks, 2 sides, kKlColumnSums, d]
  double* shift = nullptr;               // [d], c
  double* inverse_scale = nullptr;       // [d], 1 / s
  double* log_scale = nullptr;           // [d], ln s^2
  double* row_mean = nullptr;            // [2, 2d]
  double* column_mean = nullptr;         // [2, 2d]
  void* row_operand = nullptr;           // [slots, rows, operand_ld], R as float or bfloat16
  void* column_operand = nullptr;        // [slots, n, operand_ld], C
  std::uint16_t* row_rest = nullptr;     // as above, what rounding R left, as bfloat16; hinges, not in fp32
  std::uint16_t* column_rest = nullptr;  // of C
  float* row_spread = nullptr;           // [slots, rows, 2], see kl_near_square
  float* column_spread = nullptr;        // [slots, n, 2]
  double* row_term = nullptr;            // [2, rows], everything of 2 S_ij that depends on i alone
  double* column_term = nullptr;         // [2, n], on j alone
  double* diagonal = nullptr;            // [2, rows], S_ii
  float* strip = nullptr;                // [slots, strip_rows, strip_ld], products
  void* pull = nullptr;                  // same shape, u as float (in the products' place) or bfloat16
  double* row_loss_part = nullptr;       // [slots, strip_rows, column_tiles]
  double* column_part = nullptr;         // [slots, row_tiles, n], softmax: sums of u over a tile's rows
  std::uint32_t* row_bits = nullptr;     // hinges: mask of active pairs by rows
  std::uint32_t* column_bits = nullptr;  // and by columns
  int* row_count = nullptr;              // [slots, strip_rows], hinges: active pairs of a row
  int* column_count = nullptr;           // [slots, n], of a column within the strip
  // Tiles only.
  std::uint8_t* tile_active = nullptr;  // [slots, row_tiles, column_tiles], 1: some pair is active
  double* tile_loss = nullptr;          // same shape
  int* row_list = nullptr;              // [slots, row_tiles, column_tiles], active tiles of a row of tiles
  int* row_list_length = nullptr;       // [slots, row_tiles]
  int* column_list = nullptr;           // [slots, column_tiles, row_tiles], of a column of tiles
  int* column_list_length = nullptr;    // [slots, column_tiles]
  // A row or column of tiles none of whose lines has more than kKlFew active pairs: 1, and its list is empty; kl_refine
  // does it whole.
  std::uint8_t* row_sparse = nullptr;     // [slots, row_tiles]
  std::uint8_t* column_sparse = nullptr;  // [slots, column_tiles]

  double* row_highest = nullptr;      // [slots, strip_rows], softmax: largest exponent of a row
  double* row_total = nullptr;        // [slots, strip_rows], softmax: sum of the row's exponentials
  double* row_loss = nullptr;         // [2, rows], r_i
  double* row_weight = nullptr;       // [2, rows], sum_j u_ij
  double* row_temperature = nullptr;  // [2, rows], d r_i / d ln(temperature)
  double* column_weight = nullptr;    // [2, n], sum_i u_ij
  float* row_pull = nullptr;          // [slots, strip_rows, 2d], U C of one strip
  float* column_pull = nullptr;       // [slots, n, 2d], U' R over all strips
};

// Directions first_direction .. first_direction + slots - 1, rows first_row .. first_row + rows - 1.
struct KlStrip {
  int first_direction = 0;
  std::int64_t first_row = 0, rows = 0;
};

// Each launches the kernels of one step; in the order in which they follow each other.
void kl_rank_gauge(Context& ctx, const KlRankPlan& plan);
void kl_rank_operands(Context& ctx, const KlRankPlan& plan, int first_direction);
void kl_rank_hinge(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
void kl_rank_score_softmax(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
void kl_rank_softmax(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
void kl_rank_finish_strip(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
// Tiles: products and hinges at once; then lists and weights; then row_pull and column_pull.
void kl_rank_score_tiles(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
void kl_rank_finish_tiles(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
void kl_rank_pull_tiles(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
void kl_rank_score_hopper(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
void kl_rank_pull_hopper(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
// Adds what rounding the operands left to the pulls of rows and columns with few active pairs. Hinges, not in fp32.
void kl_rank_refine(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
void kl_rank_row_gradient(Context& ctx, const KlRankPlan& plan, const KlStrip& strip, bool accumulate);
// Rows apart: what kl_rank_column_gradient adds for the samples of the rows, their own pairs being columns or not.
void kl_rank_own_gradient(Context& ctx, const KlRankPlan& plan, const KlStrip& strip, bool accumulate);
void kl_rank_column_gradient(Context& ctx, const KlRankPlan& plan, int first_direction, bool accumulate);
void kl_rank_total(Context& ctx, const KlRankPlan& plan);

// How much of S is held at a time.
struct KlStripLimits {
  std::int64_t rows = 0;
  std::int64_t bytes = 0;  // of what is linear in n: products and pulls, or the mask
};
// Strips: enough rows for the products to run at full speed. Tiles have 2 bits a pair: as many rows as keep the sums of
// the columns' gradients, read and written once a strip, from mattering.
inline constexpr KlStripLimits kKlStripLimits{2048, std::int64_t{6} << 30};
inline constexpr KlStripLimits kKlTileLimits{8192, std::int64_t{1} << 30};

// Takes the plan's memory from ctx's scratch; the caller holds the ArenaScope. Null limits: those above.
KlRankPlan kl_rank_plan(Context& ctx, const GaussianKlRank<float>& args,
                        const KlStripLimits* limits = nullptr);
// strip <- products of the strip's rows with all columns, R_i . C_j.
void kl_rank_products(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);
// row_pull <- U C, column_pull <- (of the first strip) or += U' R.
void kl_rank_pulls(Context& ctx, const KlRankPlan& plan, const KlStrip& strip);

// gaussian_kl_rank with other strips than usual: tests put their edges inside small batches.
void gaussian_kl_rank_in_strips(Context& ctx, const GaussianKlRank<float>& args,
                                const KlStripLimits* limits = nullptr);

}  // namespace emer::cuda
