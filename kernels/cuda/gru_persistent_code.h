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

// Batch rows by falling length and their lengths, [n] each (gru_order_rows).
struct GruOrder {
  const std::int32_t *row, *length;
};

// A thread's rows of a tile.
template <class Tile>
struct GruRows {
  int first;  // position of the tile's first row in the order of lengths
  int row[Tile::kThreadRows], length[Tile::kThreadRows];  // batch row, its steps; 0 steps behind the batch

  __device__ GruRows(int tile, int n, const GruOrder& order) : first(tile * Tile::kRows) {
#pragma unroll
    for (int r = 0; r < Tile::kThreadRows; ++r) {
      const bool inside = position(r) < n;
      row[r] = inside ? order.row[position(r)] : 0;
      length[r] = inside ? order.length[position(r)] : 0;
    }
  }
  __device__ int position(int r) const {
    return first + Tile::row(r);
  }
};

// body(r, u) for all places of a thread.
template <class Tile, class Body>
__device__ inline void for_each_place(Body&& body) {
#pragma unroll
  for (int r = 0; r < Tile::kThreadRows; ++r)
#pragma unroll
    for (int u = 0; u < Tile::kThreadUnits; ++u) body(r, u);
}

// Steps of a tile: of its first row, which is its longest.
template <class Tile>
__device__ int gru_steps_of_tile(int tile, const GruOrder& order) {
  return order.length[tile * Tile::kRows];
}

// body(rows) for every tile of a block's group that has rows left at `step`, which its first tile has. Tiles come in
// order of length: behind one that has ended, all have.
template <class Tile, class Body>
__device__ inline void for_each_running_tile(int n, const GruTilePlan& plan, const GruBlock& block,
                                             const GruOrder& order, int step, Body&& body) {
#pragma unroll 1
  for (int tile = block.group; tile < plan.tiles; tile += plan.groups) {
    if (tile != block.group && step >= gru_steps_of_tile<Tile>(tile, order)) return;
    body(GruRows<Tile>(tile, n, order));
  }
}
// The same for every tile of the group, running or not.
template <class Tile, class Body>
__device__ inline void for_each_tile(int n, const GruTilePlan& plan, const GruBlock& block,
                                     const GruOrder& order, Body&& body) {
  for (int tile = block.group; tile < plan.tiles; tile += plan.groups) body(GruRows<Tile>(tile, n, order));
}

// gru_order_rows in scratch.
inline GruOrder gru_ordered(Context& ctx, const std::int32_t* lengths, int n, int max_steps) {
  std::int32_t* row = ctx.scratch<std::int32_t>(static_cast<std::size_t>(n));
  std::int32_t* length = ctx.scratch<std::int32_t>(static_cast<std::size_t>(n));
  gru_order_rows(ctx, lengths, n, max_steps, row, length);
  return {row, length};
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
