#include "kernels/cuda/gru_persistent.h"

#include <algorithm>

#include "core/check.h"
#include "core/cuda/context_state.h"
#include "kernels/cuda/gru_threads.h"

namespace emer::cuda {

namespace {

// Blocks that live at once; 0 where not even one fits.
std::int64_t resident_blocks(const ContextState& state, const GruTileCandidate& c) {
  if (c.shared_bytes > static_cast<std::int64_t>(state.shared_memory_limit)) return 0;
  EMER_CUDA_CHECK(cudaFuncSetAttribute(c.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       static_cast<int>(c.shared_bytes)));
  int blocks = 0;
  EMER_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, c.kernel, kGruThreads,
                                                                static_cast<std::size_t>(c.shared_bytes)));
  return std::int64_t{blocks} * state.multiprocessors;
}

}  // namespace

GruTilePlan plan_gru_tiles(Context& ctx, const GruTileCandidate (&candidates)[kGruTileShapes], int n,
                           int hidden, const GruTiling& tiling) {
  const ContextState& state = ctx.cuda_state();
  GruTilePlan best;
  std::int64_t least = -1, widest = 0;
  for (int k = 0; k < kGruTileShapes; ++k) {
    if (tiling.shape >= 0 && tiling.shape != k) continue;
    const GruTileCandidate& c = candidates[k];
    const std::int64_t slices = (hidden + c.units - 1) / c.units, fit = resident_blocks(state, c);
    widest = std::max(widest, fit / 2 * c.units);
    if (fit < 2 * slices) continue;
    const std::int64_t tiles = (n + c.rows - 1) / c.rows;
    std::int64_t groups = std::min(tiles, fit / (2 * slices));
    if (tiling.most_groups > 0) groups = std::min<std::int64_t>(groups, tiling.most_groups);
    // What a block does in a step: reads its rows, then multiplies them with each of its units. 16 units weigh as much
    // as reading.
    const std::int64_t work = (tiles + groups - 1) / groups * c.rows * (c.units + 16);
    if (least >= 0 && work >= least) continue;
    least = work;
    best = {k, static_cast<int>(tiles), static_cast<int>(groups), static_cast<int>(slices)};
  }
  if (least < 0)
    fail(ErrorKind::kDevice,
         "gru: the persistent kernel does not fit this device at {} hidden units (it holds {}); "
         "use model.gru.kernel: steps",
         hidden, widest);
  return best;
}

}  // namespace emer::cuda
