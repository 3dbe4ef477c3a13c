// kernels/cuda/conv_parts.h - the implementations behind kernels/conv_block.h on CUDA, and what they share. For
// conv_block.cpp and the files of each implementation.
//
// A product's rows are pixels p = (b * height + i) * width + j. With the pool they are taken window by window, so that
// rows 4w .. 4w + 3 are the pixels of window w in the order of the pool's ties.
#pragma once

#include <cstdint>

#include "kernels/conv_block.h"

namespace emer::cuda {

// kPlain: conv_plain_forward.cu, conv_plain_backward.cu.
template <class Stored>
void conv_plain_forward(Context& ctx, const ConvBlockForward<float, Stored>& args);
template <class Stored>
void conv_plain_backward(Context& ctx, const ConvBlockBackward<float, Stored>& args);

// dz of every pixel from dy, y and argmax, one reading of each, and dbias: what every implementation's backward begins
// with. Only sizes and pointers of `args` that belong to it are looked at.
template <class Stored>
void conv_gradient_behind(Context& ctx, const ConvBlockBackward<float, Stored>& args,
                          Stored* dz);  // out [n, height, width, out], overwritten

// y and argmax from z before the bias: what is left to do behind a convolution alone. <float, float>, <float, BFloat16>,
// <BFloat16, BFloat16>.
template <class Stored, class Element>
void conv_finish_forward(Context& ctx, const ConvBlockForward<float, Stored>& args,
                         const Element* z);  // in [n, height, width, out]

// flipped[c, r, s, o] = weight[o, 2 - r, 2 - s, c]: the weights of the convolution that takes dz to dx.
void conv_flip_weights(Context& ctx, int out, int in, const float* weight,  // in  [out, 3, 3, in]
                       float* flipped);                                     // out [in, 3, 3, out]

// Adds up partial sums in the order of the parts: weight[i] += sum_p partial[p][i] for i < weight_count, and
// bias[i - weight_count] += the sums behind them. Sums are double.
struct ConvPartialSums {
  int parts = 0;
  std::int64_t columns = 0;       // of partial [parts, columns]
  float* weight = nullptr;        // out  [weight_count], accumulated; null where that is 0
  std::int64_t weight_count = 0;  // <= columns
  float* bias = nullptr;          // out  [columns - weight_count], accumulated; null where that is 0
};
void conv_add_parts(Context& ctx, const ConvPartialSums& args, const float* partial);
void conv_add_parts(Context& ctx, const ConvPartialSums& args, const double* partial);
void conv_add_parts(Context& ctx, const ConvPartialSums& args, const BFloat16* partial);

// y = conv(x) without bias, ReLU or pool, by kPlain: dx from dz and flipped weights.
template <class Stored>
void conv_plain_product(Context& ctx, const ConvShape& shape, const Stored* x, const float* weight,
                        Stored* y);

// One input channel, pooled (VGGish's first block): no product, bound by the writing of y.
template <class Stored>
void conv_one_channel_forward(Context& ctx, const ConvBlockForward<float, Stored>& args);
// dW and dbias straight from dy; dx is not its business.
template <class Stored>
void conv_one_channel_backward(Context& ctx, const ConvBlockBackward<float, Stored>& args);

}  // namespace emer::cuda
