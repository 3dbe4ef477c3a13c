// kernels/cuda/conv_cudnn.h - ConvKernel::kCudnn: cuDNN's convolutions, our bias, ReLU and pool. For conv_block.cpp.
//
// Where products are bfloat16, of BFloat16 arrays or by ctx.precision(), what cuDNN returns is bfloat16 too: z before the
// bias, dx, and dW before it is added to d_weight are rounded.
#pragma once

#include <string>

#include "core/context.h"
#include "kernels/conv_block.h"

namespace emer::cuda {

std::string conv_cudnn_refusal(Context& ctx, const ConvShape& shape, bool stored_bf16);

template <class Stored>
void conv_cudnn_forward(Context& ctx, const ConvBlockForward<float, Stored>& args);
// dx (where wanted) and d_weight from dz, which conv_gradient_behind has made; y, dy, argmax and d_bias are not looked
// at.
template <class Stored>
void conv_cudnn_backward(Context& ctx, const ConvBlockBackward<float, Stored>& args, const Stored* dz);

}  // namespace emer::cuda
