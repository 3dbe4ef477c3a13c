// kernels/cuda/gru_persistent_code.h - what the persistent kernels forward and backward share. Only .cu files include
// this.
#pragma once

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/gru_code.h"
#include "kernels/cuda/gru_persistent.h"
#include "kernels/cuda/gru_tensor_tile.h"
#include "kernels/cuda/gru_tile.h"

namespace emer::cuda {

inline constexpr int kCounterWords = 32;  // one counter per 128 bytes: groups do not share a line

// Where a block stands. Blocks are numbered [direction][group][slice].
struct GruBlock {
  int direction, group, first_unit;
  unsigned* arrived;  // the group's counter
  int slices;
};
__device__ inline GruBlock gru_block(const GruTilePlan& plan, int units, unsigned* counters) {
  const int block = static_cast<int>(blockIdx.x), group = block / plan.slices % plan.groups,
            direction = block / plan.slices / plan.groups;
  return {direction, group, block % plan.slices * units,
          counters + (direction * plan.groups + group) * kCounterWords, plan.slices};
}

// The blocks of a group wait for one another; what any of them wrote before, all see after. `waits` counts them. All
// threads must call.
__device__ inline void gru_wait(const GruBlock& block, unsigned& waits) {
  __syncthreads();  // this block's writes come before the release below, its reads too
  if (threadIdx.x == 0) {
    ++waits;
    add_release(block.arrived, 1u);
    while (load_acquire(block.arrived) < waits * static_cast<unsigned>(block.slices)) {
    }
  }
  __syncthreads();
}

// One (row, unit) of a tile; position < 0: outside the batch or the units.
struct GruPlace {
  int position, unit;  // position in the order of lengths
  int row, length;     // in the batch
  bool inside() const { return position >= 0; }
};
template <class Tile>
__device__ GruPlace gru_place(const GruBlock& block, int tile, int element, int n, int hidden, int max_steps,
                              const std::int32_t* order, const std::int32_t* lengths) {
  const int position = tile * Tile::kRows + Tile::row(element), unit = block.first_unit + Tile::unit(element);
  if (position >= n || unit >= hidden) return {-1, 0, 0, 0};
  const int row = order[position];
  return {position, unit, row, gru_steps_of(lengths, row, max_steps)};
}

// Steps of a tile: of its first row, which is its longest.
template <class Tile>
__device__ int gru_steps_of_tile(int tile, int max_steps, const std::int32_t* order,
                                 const std::int32_t* lengths) {
  return gru_steps_of(lengths, order[tile * Tile::kRows], max_steps);
}

// Counters of all groups, zeroed.
inline unsigned* gru_counters(Context& ctx, const GruTilePlan& plan) {
  const std::size_t words = static_cast<std::size_t>(2 * plan.groups * kCounterWords);
  unsigned* counters = ctx.scratch<unsigned>(words);
  emer::fill_zero(ctx, counters, words * sizeof(unsigned));
  return counters;
}
// `count` elements, zeroed: what pads the operands of the tiles' products must not be NaN.
template <class T>
T* gru_zeroed(Context& ctx, std::int64_t count) {
  T* values = ctx.scratch<T>(static_cast<std::size_t>(count));
  emer::fill_zero(ctx, values, static_cast<std::size_t>(count) * sizeof(T));
  return values;
}

}  // namespace emer::cuda
