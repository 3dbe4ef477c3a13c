// kernels/cuda/optimizer_elements.h - what happens to one weight, shared by the kernels over one array and over many.
// Only .cu files include this.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

#include "kernels/adam_factors.h"

namespace emer::cuda {

// Multiply-adds are written out: left to the compiler, two kernels could round differently.
__device__ inline void adam_element(const AdamFactors<float>& f, float decay, float gradient, float& value,
                                    float& m, float& v) {
  const float g = f.scale * gradient;
  m = std::fma(f.b1, m, f.c1 * g);
  v = std::fma(f.b2, v, f.c2 * (g * g));
  const float step = f.rate * m / std::fma(std::sqrt(v), f.root, f.epsilon);
  value = std::fma(-decay, value, value) - step;
}

__device__ inline float averaged(float keep, float take, float average, float x) {
  return std::fma(keep, average, take * x);
}

}  // namespace emer::cuda
