// kernels/cuda/conv_hopper.h - ConvKernel::kHopper: implicit products by wgmma and TMA on sm_90a, in bfloat16.
// For conv_block.cpp; CUDA twins only, and this header needs no CUDA header.
#pragma once

#include <string>

#include "core/context.h"
#include "kernels/conv_block.h"

namespace emer::cuda {

// Why kHopper cannot take this on ctx's device; empty where it can. `stored_bf16`: whether the arrays are BFloat16.
std::string conv_hopper_refusal(Context& ctx, const ConvShape& shape, bool stored_bf16);

template <class Stored>
void conv_hopper_forward(Context& ctx, const ConvBlockForward<float, Stored>& args);
// As conv_mma_backward.
template <class Stored>
void conv_hopper_backward(Context& ctx, const ConvBlockBackward<float, Stored>& args, const Stored* dz);

}  // namespace emer::cuda
