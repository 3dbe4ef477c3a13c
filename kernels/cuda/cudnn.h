// kernels/cuda/cudnn.h - 3x3 convolutions through cuDNN, for conv_cudnn.cpp. CUDA twins only; this header needs no CUDA
// header.
//
// Asynchronous on the context's stream, workspace from its arena; may be recorded in a graph once a shape has run. The
// algorithms are fixed and add up in a fixed order. The thread's first use makes its handle.
#pragma once

#include <string>

#include "core/context.h"
#include "kernels/conv_block.h"

namespace emer::cuda {

// Arrays are NHWC without gaps, weights [out, 3, 3, in]; all of one type. Sums are float.
enum class CudnnProducts {
  kFloat,
  kTf32,
  kBf16
};  // kTf32: float arrays. kBf16: BFloat16 arrays, results too

struct CudnnConv {
  ConvShape shape;  // the pool is not looked at
  CudnnProducts products = CudnnProducts::kFloat;
};

// "9.1.0", or why there is none.
std::string cudnn_status();
// Why cuDNN cannot take this; empty where it can.
std::string cudnn_refusal(const CudnnConv& conv);

// Results are overwritten.
void cudnn_forward(Context& ctx, const CudnnConv& conv, const void* x, const void* weight, void* z);
void cudnn_backward_data(Context& ctx, const CudnnConv& conv, const void* weight, const void* dz, void* dx);
void cudnn_backward_weight(Context& ctx, const CudnnConv& conv, const void* x, const void* dz,
                           void* d_weight);

}  // namespace emer::cuda
