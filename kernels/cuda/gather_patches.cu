// CUDA twin of kernels/gather_patches.h.
#include "kernels/gather_patches.h"

#include "core/cuda/launch.h"
#include "kernels/patch_window.h"

namespace emer::cuda {

namespace {

// Block (x, y): values x * blockDim.x ... of song y of the batch, one a thread; its first thread also the length.
__global__ void gather_song(GatherPatches<float> a) {
  const std::int64_t i = blockIdx.y, room = std::int64_t{a.steps} * a.width;
  const PatchWindow window = patch_window(a, i);
  const std::int64_t k = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (k < room) a.out[i * room + k] = k / a.width < window.count ? a.table[window.first * a.width + k] : 0.0f;
  if (k == 0) a.out_lengths[i] = window.count;
}

}  // namespace

template <class Real>
void gather_patches(Context& ctx, const GatherPatches<Real>& a) {
  constexpr int kMaxSongs = 65535;  // extent of a grid along y
  const std::int64_t room = std::int64_t{a.steps} * a.width;
  for (int first = 0; first < a.n; first += kMaxSongs) {
    GatherPatches<Real> part = a;
    part.n = a.n - first < kMaxSongs ? a.n - first : kMaxSongs;
    part.rows += first;
    part.out += first * room;
    part.out_lengths += first;
    launch(ctx,
           {.name = "gather_song",
            .grid = {blocks_for(room, kElementwiseBlock, INT32_MAX), static_cast<unsigned>(part.n), 1},
            .block = kElementwiseBlock},
           gather_song, part);
  }
}

template void gather_patches(Context&, const GatherPatches<float>&);

}  // namespace emer::cuda
