// CUDA twin of kernels/gather_rows.h.
#include "kernels/gather_rows.h"

#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

// Block (x, y): values x * blockDim.x ... of row y of the batch, one a thread; its first thread also the length.
__global__ void gather_row(GatherRows<float> a) {
  const std::int64_t i = blockIdx.y;
  const std::int64_t row = a.rows[(a.scalars ? a.scalars->first : 0) + i];
  const std::int64_t k = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (k < a.used) a.out[i * a.used + k] = a.table[row * a.stored + k];
  if (k == 0 && a.out_lengths) a.out_lengths[i] = a.lengths[row];
}

}  // namespace

template <class Real>
void gather_rows(Context& ctx, const GatherRows<Real>& a) {
  constexpr int kMaxRows = 65535;  // extent of a grid along y
  for (int first = 0; first < a.n; first += kMaxRows) {
    GatherRows<Real> part = a;
    part.n = a.n - first < kMaxRows ? a.n - first : kMaxRows;
    part.rows += first;
    part.out += first * a.used;
    if (a.out_lengths) part.out_lengths += first;
    launch(ctx,
           {.name = "gather_row",
            .grid = {blocks_for(a.used), static_cast<unsigned>(part.n), 1},
            .block = kElementwiseBlock},
           gather_row, part);
  }
}

template void gather_rows(Context&, const GatherRows<float>&);

}  // namespace emer::cuda
