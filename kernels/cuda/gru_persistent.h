// kernels/cuda/gru_persistent.h - the GRU's recurrence as one kernel for all steps and both directions. CUDA twins
// only; this header needs no CUDA header.
//
// A block owns a slice of hidden units of one direction and keeps their recurrent weights in shared memory from the
// first step to the last. Blocks that share rows exchange states through global memory and wait for one another once a
// step (kBefore: twice). Rows are taken in order of length, longest first, so that tiles of rows end early. All blocks
// must live at once: where the device cannot hold them for this H (weights of some units must fit a block's shared
// memory, all units both directions the device), Error(kDevice) says so; there is no silent fall back.
// In bf16 precision operands are rounded to bfloat16 and multiplied by the tensor cores, sums are float; else products
// and sums are float.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/context.h"
#include "kernels/gru.h"

namespace emer::cuda {

// How rows and units are dealt out to blocks. The default is what a training step takes; tests ask for more.
inline constexpr int kGruTileShapes = 3;  // that the kernels exist in, for either precision
struct GruTiling {
  int shape = -1;       // -1: the best that fits
  int most_groups = 0;  // of blocks per direction; 0: as many as fit
};

void gru_forward_persistent(Context& ctx, const GruForward<float>& a, const GruTiling& tiling = {});
// The recurrence only, as gru_backward_steps: gates become gradients.
void gru_backward_persistent(Context& ctx, const GruBackward<float>& a, const GruTiling& tiling = {});

// ---- between the kernels' files ----

struct GruTileCandidate {
  int rows, units;  // of a tile
  std::int64_t shared_bytes;
  const void* kernel;
};
struct GruTilePlan {
  int candidate = 0;
  int tiles = 0;   // of rows
  int groups = 0;  // of blocks per direction that share rows; group g takes tiles g, g + groups, ...
  int slices = 0;  // of units, the blocks of a group
  unsigned blocks() const { return static_cast<unsigned>(2 * groups * slices); }
};
// The candidate with the least work per block and step that fits, or the one that `tiling` asks for.
GruTilePlan plan_gru_tiles(Context& ctx, const GruTileCandidate (&candidates)[kGruTileShapes], int n,
                           int hidden, const GruTiling& tiling);

// row[n] <- batch rows by falling length, equal ones in batch order; length[n] <- their lengths, at most max_steps.
void gru_order_rows(Context& ctx, const std::int32_t* lengths, int n, int max_steps, std::int32_t* row,
                    std::int32_t* length);

}  // namespace emer::cuda
