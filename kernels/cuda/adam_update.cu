// CUDA twin of kernels/adam_update.h.
#include "kernels/adam_update.h"

#include "core/cuda/launch.h"
#include "kernels/adam_factors.h"
#include "kernels/cuda/optimizer_elements.h"

namespace emer::cuda {

namespace {

// One thread per element.
__global__ void adam_elements(AdamUpdate<float> a, AdamFactors<float> f) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= a.count) return;
  if (a.scalars != nullptr) {
    if (a.scalars->halted != 0) return;
    f = adam_factors<float>(a, *a.scalars);
  }
  scale_rate(f, static_cast<float>(a.rate_scale));
  float value = a.value[i], m = a.m[i], v = a.v[i];
  adam_element(f, f.decay, a.gradient[i], value, m, v);
  a.value[i] = value;
  a.m[i] = m;
  a.v[i] = v;
}

}  // namespace

template <class Real>
void adam_update(Context& ctx, const AdamUpdate<Real>& a) {
  launch(ctx,
         {.name = "adam_update",
          .grid = blocks_for(a.count, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         adam_elements, a, a.scalars == nullptr ? adam_factors<float>(a) : AdamFactors<float>{});
}

template void adam_update(Context&, const AdamUpdate<float>&);

}  // namespace emer::cuda
