// CUDA twin of kernels/pca_quantise.h.
#include "kernels/pca_quantise.h"

#include "core/cuda/launch.h"
#include "kernels/pca_level.h"

namespace emer::cuda {

namespace {

constexpr int kTile = 16;

// A block makes 16 x 16 elements, one a thread: row threadIdx.y, column threadIdx.x.
__global__ void quantise_elements(PcaQuantise a) {
  __shared__ double centred[kTile][kTile + 1], weight[kTile][kTile + 1];
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const int column = static_cast<int>(blockIdx.y) * kTile;
  for (std::int64_t row = std::int64_t{blockIdx.x} * kTile; row < a.rows;
       row += std::int64_t{gridDim.x} * kTile) {
    double sum = 0.0;
    for (int k = 0; k < a.width; k += kTile) {
      const bool inside = k + x < a.width;
      centred[y][x] = inside && row + y < a.rows ? static_cast<double>(a.e[(row + y) * a.width + k + x]) -
                                                       static_cast<double>(a.mean[k + x])
                                                 : 0.0;
      weight[y][x] = inside && column + y < a.width
                         ? static_cast<double>(a.matrix[std::int64_t{column + y} * a.width + k + x])
                         : 0.0;
      __syncthreads();
      const int columns = min(kTile, a.width - k);
      for (int j = 0; j < columns; ++j) sum = __dadd_rn(sum, __dmul_rn(weight[x][j], centred[y][j]));
      __syncthreads();
    }
    if (row + y < a.rows && column + x < a.width)
      a.out[(row + y) * a.width + column + x] = pca_level(sum, a.rounding);
  }
}

}  // namespace

void pca_quantise(Context& ctx, const PcaQuantise& a) {
  launch(ctx,
         {.name = "pca_quantise",
          .grid = dim3(blocks_for(a.rows, kTile), blocks_for(a.width, kTile)),
          .block = dim3(kTile, kTile)},
         quantise_elements, a);
}

}  // namespace emer::cuda
