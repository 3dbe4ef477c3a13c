// kernels/cuda/conv_mma.h - ConvKernel::kMma: implicit products on the tensor cores of sm_80 and later. For
// conv_block.cpp; CUDA twins only, and this header needs no CUDA header.
//
// BFloat16 arrays are multiplied as they are, whatever ctx.precision() says. Float arrays meet in TF32 with kTf32; with
// kBf16 they are rounded to bfloat16 in scratch first. kFp32 has no kernel here. What conv_mma_refusal names is not looked
// for again; arrays begin at multiples of 16 bytes, argmax of 8.
#pragma once

#include <string>

#include "core/context.h"
#include "kernels/conv_block.h"

namespace emer::cuda {

// Why kMma cannot take this; empty where it can. `stored_bf16`: whether the arrays are BFloat16.
std::string conv_mma_refusal(const ConvShape& shape, Precision precision, bool stored_bf16);

template <class Stored>
void conv_mma_forward(Context& ctx, const ConvBlockForward<float, Stored>& args);
// dx (where wanted) and d_weight from dz [n, height, width, out], which conv_gradient_behind has made; y, dy, argmax and
// d_bias are not looked at.
template <class Stored>
void conv_mma_backward(Context& ctx, const ConvBlockBackward<float, Stored>& args, const Stored* dz);

}  // namespace emer::cuda
