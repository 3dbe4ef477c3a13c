// CUDA twin of kernels/adam_update_all.h: seven streams of memory traffic (nine with an average), nothing else counts.
#include "kernels/adam_update_all.h"

#include "core/cuda/launch.h"
#include "kernels/adam_factors.h"
#include "kernels/cuda/optimizer_elements.h"

namespace emer::cuda {

namespace {

constexpr int kBlock = 256;
constexpr int kGroups = kAdamChunk / (4 * kBlock);  // float4 of a thread in a whole chunk

struct Settings {
  AdamFactors<float> factors;
  float keep, take;  // of the average
  bool zero_gradients;
};

__device__ void update_whole(const AdamChunk<float>& c, const Settings& s, float decay) {
  float4 g[kGroups], x[kGroups], m[kGroups], v[kGroups], average[kGroups];
  const auto at = [](float* array, int k) {
    return reinterpret_cast<float4*>(array) + k * kBlock + threadIdx.x;
  };
#pragma unroll
  for (int k = 0; k < kGroups; ++k) {
    g[k] = *at(c.gradient, k);
    x[k] = *at(c.value, k);
    m[k] = *at(c.m, k);
    v[k] = *at(c.v, k);
    if (c.average != nullptr) average[k] = *at(c.average, k);
  }
#pragma unroll
  for (int k = 0; k < kGroups; ++k) {
    adam_element(s.factors, decay, g[k].x, x[k].x, m[k].x, v[k].x);
    adam_element(s.factors, decay, g[k].y, x[k].y, m[k].y, v[k].y);
    adam_element(s.factors, decay, g[k].z, x[k].z, m[k].z, v[k].z);
    adam_element(s.factors, decay, g[k].w, x[k].w, m[k].w, v[k].w);
    *at(c.value, k) = x[k];
    *at(c.m, k) = m[k];
    *at(c.v, k) = v[k];
    if (c.average != nullptr)
      *at(c.average, k) = make_float4(
          averaged(s.keep, s.take, average[k].x, x[k].x), averaged(s.keep, s.take, average[k].y, x[k].y),
          averaged(s.keep, s.take, average[k].z, x[k].z), averaged(s.keep, s.take, average[k].w, x[k].w));
    if (s.zero_gradients) *at(c.gradient, k) = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  }
}

__device__ void update_part(const AdamChunk<float>& c, const Settings& s, float decay) {
  for (int i = threadIdx.x; i < c.count; i += kBlock) {
    float x = c.value[i], m = c.m[i], v = c.v[i];
    adam_element(s.factors, decay, c.gradient[i], x, m, v);
    c.value[i] = x;
    c.m[i] = m;
    c.v[i] = v;
    if (c.average != nullptr) c.average[i] = averaged(s.keep, s.take, c.average[i], x);
    if (s.zero_gradients) c.gradient[i] = 0.0f;
  }
}

// One block per chunk; thread t takes groups of 4 neighbouring elements t, t + kBlock, ..., or single ones at an end.
__global__ void __launch_bounds__(kBlock) adam_chunks(AdamUpdateAll<float> a, Settings s) {
  if (a.scalars != nullptr) {
    if (a.scalars->halted != 0) return;
    s.factors = adam_factors<float>(a, *a.scalars);
  }
  const AdamChunk<float> chunk = a.list.chunks[blockIdx.x];
  scale_rate(s.factors, chunk.rate_scale);
  const float decay = chunk.decay ? s.factors.decay : 0.0f;
  if (chunk.whole)
    update_whole(chunk, s, decay);
  else
    update_part(chunk, s, decay);
}

}  // namespace

template <class Real>
void adam_update_all(Context& ctx, const AdamUpdateAll<Real>& a) {
  launch(ctx,
         {.name = "adam_update_all", .grid = blocks_for(a.list.chunk_count, 1, INT32_MAX), .block = kBlock},
         adam_chunks, a,
         Settings{.factors = a.scalars == nullptr ? adam_factors<float>(a) : AdamFactors<float>{},
                  .keep = static_cast<float>(a.average_decay),
                  .take = static_cast<float>(1.0 - a.average_decay),
                  .zero_gradients = a.zero_gradients});
}

template void adam_update_all(Context&, const AdamUpdateAll<float>&);

}  // namespace emer::cuda
