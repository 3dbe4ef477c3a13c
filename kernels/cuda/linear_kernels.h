// kernels/cuda/linear_kernels.h - what stands around the products of a dense layer. For linear.cpp.
#pragma once

#include <cstdint>

#include "kernels/linear.h"

namespace emer::cuda {

// y <- activation(y), in place.
void activate(Context& ctx, Activation activation, std::int64_t count, float* y);

// g = dy * activation'(y), and its column sums in double: one reading of y and dy.
struct ActivationBackward {
  int n = 0;
  int out = 0;
  Activation activation = Activation::kNone;
  const float* y = nullptr;   // in   [n, out]; null with kNone
  const float* dy = nullptr;  // in   [n, out]
  // Where g goes: one of them, or none with kNone.
  float* g = nullptr;  // out  [n, out]
  std::uint16_t* g_bf16 =
      nullptr;  // out  [n, ld_bf16], rounded to bfloat16; what is behind column `out` is left alone
  std::int64_t ld_bf16 = 0;  // divisible by 4
  float* d_bias = nullptr;   // out  [out], accumulated
};
void activation_backward(Context& ctx, const ActivationBackward& args);

}  // namespace emer::cuda
