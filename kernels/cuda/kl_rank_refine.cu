// What rounding the operands costs where few pairs pull. A gradient is a sum of differences between one sample and its
// active partners; late in a training these are few and near, and the roundings of the pulled operands stand against
// small differences. Their rests are added pair by pair then. Rows and columns of tiles that have few active pairs all
// over are done here altogether, and cost no products.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/kl_rank_device.h"

namespace emer::cuda {

namespace {

constexpr int kWarps = 4;

// The active partners of one row or column in ascending order, into `list`; the warp's lanes share the words.
__device__ void list_partners(const std::uint32_t* words, std::int64_t step, std::int64_t word_count,
                              int* list) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int found = 0;
  for (std::int64_t first = 0; first < word_count; first += 32) {
    const std::int64_t word = first + lane;
    std::uint32_t bits = word < word_count ? words[word * step] : 0;
    const int own = __popc(bits);
    int until = own;  // in the lanes up to this one
    for (int lanes = 1; lanes < 32; lanes *= 2) {
      const int before = __shfl_up_sync(kAllLanes, until, static_cast<unsigned>(lanes));
      until += lane >= lanes ? before : 0;
    }
    for (int place = found + until - own; bits != 0; bits &= bits - 1)
      list[place++] = static_cast<int>(32 * word) + __ffs(static_cast<int>(bits)) - 1;
    found += __shfl_sync(kAllLanes, until, 31);
  }
  __syncwarp();
}

// One warp per row of the strip, then one per column; blockIdx.y is the direction.
template <class Element>
__global__ void kl_refine(KlRankPlan p, KlStrip strip) {
  __shared__ int lists[kWarps][kKlFew];
  int* list = lists[threadIdx.x / 32];
  const int slot = static_cast<int>(blockIdx.y);
  const std::int64_t item = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (item >= strip.rows + p.n) return;
  const bool is_row = item < strip.rows;
  const std::int64_t at = is_row ? item : item - strip.rows;
  const int count = is_row ? p.row_count[slot * p.strip_rows + at] : p.column_count[slot * p.n + at];
  if (count == 0 || count > kKlFew) return;
  if (is_row)
    list_partners(p.row_bits + (slot * p.mask_rows + at) * p.row_words, 1, p.row_words, list);
  else
    list_partners(p.column_bits + slot * p.column_stride + at * p.column_ld, p.column_step,
                  (strip.rows + 31) / 32, list);
  bool whole = false;  // nothing was multiplied
  if (p.row_sparse != nullptr)
    whole = (is_row ? p.row_sparse[slot * p.row_tiles + at / kKlMaskTile]
                    : p.column_sparse[slot * p.column_tiles + at / kKlMaskTile]) != 0;

  const std::int64_t partners = (is_row ? slot * p.n : slot * p.rows + strip.first_row) * p.operand_ld;
  const std::uint16_t* rest = (is_row ? p.column_rest : p.row_rest) + partners;
  const Element* operand = static_cast<const Element*>(is_row ? p.column_operand : p.row_operand) + partners;
  const std::int64_t width = 2 * p.d;
  float* to =
      (is_row ? p.row_pull + slot * p.strip_rows * width : p.column_pull + slot * p.n * width) + at * width;
  for (std::int64_t x = threadIdx.x % 32 * 8; x < width; x += 256) {
    float sum[8] = {};
    for (int m = 0; m < count; ++m) {
      const std::int64_t from = list[m] * p.operand_ld + x;
      float part[8];
      kl_load8(rest + from, part);
#pragma unroll
      for (int e = 0; e < 8; ++e) sum[e] += part[e];
      if (!whole) continue;
      kl_load8(operand + from, part);
#pragma unroll
      for (int e = 0; e < 8; ++e) sum[e] += part[e];
    }
#pragma unroll
    for (int e = 0; e < 8; e += 2) {
      if (x + e >= width) continue;
      auto* pair = reinterpret_cast<float2*>(to + x + e);
      const float2 before = *pair;
      *pair = make_float2(before.x + sum[e], before.y + sum[e + 1]);
    }
  }
}

}  // namespace

void kl_rank_refine(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  launch(ctx,
         {.name = "kl_refine",
          .grid = {blocks_for(strip.rows + p.n, kWarps, INT32_MAX), static_cast<unsigned>(p.slots)},
          .block = 32 * kWarps},
         p.bf16 ? kl_refine<std::uint16_t> : kl_refine<float>, p, strip);
}

}  // namespace emer::cuda
