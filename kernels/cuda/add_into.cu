// CUDA twin of kernels/add_into.h.
#include "kernels/add_into.h"

#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

// One thread per element.
__global__ void add_elements(AddInto<float> a) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < a.count) a.y[i] += a.x[i];
}

}  // namespace

template <class Real>
void add_into(Context& ctx, const AddInto<Real>& a) {
  launch(ctx,
         {.name = "add_into",
          .grid = blocks_for(a.count, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         add_elements, a);
}

template void add_into(Context&, const AddInto<float>&);

}  // namespace emer::cuda
