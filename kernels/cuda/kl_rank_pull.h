// kernels/cuda/kl_rank_pull.h - the two products behind the gradients, from the mask's bits. For the pull kernels.
#pragma once

#include "kernels/cuda/kl_rank.h"

namespace emer::cuda {

// out[m, x] (+)= sum_k bit(m, k) operand[first_row + k, x], k over the active tiles of 128 samples.
struct KlPull {
  const std::uint32_t* bits = nullptr;  // [slots, lists * 128, bits_ld]
  std::int64_t bits_ld = 0;             // words
  const int* list = nullptr;            // [slots, lists, list_ld], active tiles, ascending
  const int* list_length = nullptr;     // [slots, lists]
  std::int64_t lists = 0, list_ld = 0;
  const std::uint16_t* operand = nullptr;  // [slots, samples, operand_ld]
  std::int64_t samples = 0;
  std::int64_t first_row = 0, operand_rows = 0;
  float* out = nullptr;  // [slots, out_stride / 2d, 2d]
  std::int64_t out_rows = 0, out_stride = 0;
  bool accumulate = false;
};

// row_pull = U C.
inline KlPull kl_row_pull(const KlRankPlan& p, const KlStrip& strip) {
  return {.bits = p.row_bits,
          .bits_ld = p.row_words,
          .list = p.row_list,
          .list_length = p.row_list_length,
          .lists = p.row_tiles,
          .list_ld = p.column_tiles,
          .operand = static_cast<const std::uint16_t*>(p.column_operand),
          .samples = p.n,
          .first_row = 0,
          .operand_rows = p.n,
          .out = p.row_pull,
          .out_rows = strip.rows,
          .out_stride = p.strip_rows * 2 * p.d,
          .accumulate = false};
}

// column_pull (+)= U' R.
inline KlPull kl_column_pull(const KlRankPlan& p, const KlStrip& strip) {
  return {.bits = p.column_bits,
          .bits_ld = p.column_ld,
          .list = p.column_list,
          .list_length = p.column_list_length,
          .lists = p.column_tiles,
          .list_ld = p.row_tiles,
          .operand = static_cast<const std::uint16_t*>(p.row_operand),
          .samples = p.rows,
          .first_row = strip.first_row,
          .operand_rows = strip.rows,
          .out = p.column_pull,
          .out_rows = p.n,
          .out_stride = p.n * 2 * p.d,
          .accumulate = strip.first_row > 0};
}

}  // namespace emer::cuda
