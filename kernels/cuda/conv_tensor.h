// kernels/cuda/conv_tensor.h - the products of a 3x3 convolution on tensor cores, as conv_mma and conv_hopper put them
// together. CUDA twins only; this header needs no CUDA header.
#pragma once

#include <cstdint>

#include "core/context.h"
#include "kernels/conv_block.h"

namespace emer::cuda {

// What meets in a product; sums are float. Bf16Bits: a bfloat16. float: rounded to 10 mantissa bits on the way into the
// product.
using Bf16Bits = std::uint16_t;

// Channels are read 16 bytes at a time.
inline constexpr int kConvChannelStep = 8;

// An implicit product: rows are pixels, columns are channels of the result, the inner index is (r, s, channel).
//   z[b,i,j,o] = sum_{r,s,c} source[b, i+r-1, j+s-1, c] weight[o,r,s,c]      (source is 0 outside)
// Without a bias the result is z. With one it is a = max(0, z + bias), with the pool the largest a of each window.
struct ConvProduct {
  int n = 0, height = 0, width = 0;  // height and width even with the pool
  int depth = 0;                     // channels of source, divisible by kConvChannelStep
  int columns = 0;                   // channels of the result, likewise
  bool pool = false;
  const void* source = nullptr;    // in   [n, height, width, depth] of Operand
  const void* weight = nullptr;    // in   [columns, 9, depth] of Operand
  const float* bias = nullptr;     // in   [columns], or null
  void* result = nullptr;          // out  [n, height, width or both halved, columns], overwritten
  std::uint8_t* argmax = nullptr;  // out  like result, with the pool; or null
};
// <Bf16Bits, Bf16Bits>, <Bf16Bits, float>, <float, float>; arrays begin at multiples of 16 bytes. mma.sync, sm_80.
template <class Operand, class Result>
void conv_mma_product(Context& ctx, const ConvProduct& product);

// The same by wgmma and TMA, sm_90a, operands bfloat16: <Bf16Bits>, <float>. depth a multiple of
// kConvHopperDepth; with the pool a width of 8, 16, 32 or 64.
inline constexpr int kConvHopperDepth = 64;
template <class Result>
void conv_hopper_product(Context& ctx, const ConvProduct& product);

// d_weight[o,r,s,c] += sum_{b,i,j} dz[b,i,j,o] x[b, i+r-1, j+s-1, c], on mma.sync. <Bf16Bits>, <float>.
template <class Operand>
void conv_mma_weight_gradient(Context& ctx, const ConvShape& shape, const Operand* x, const Operand* dz,
                              float* d_weight);

// The same by wgmma and TMA, sm_90a; in and out multiples of kConvHopperDepth.
void conv_hopper_weight_gradient(Context& ctx, const ConvShape& shape, const Bf16Bits* x, const Bf16Bits* dz,
                                 float* d_weight);

}  // namespace emer::cuda
