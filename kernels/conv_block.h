// kernels/conv_block.h - 3x3 convolution (stride 1, SAME) + bias + ReLU, optionally with a 2x2 max pool (stride 2)
// behind it: the block that VGGish is made of.
//
//   z[b,i,j,o] = bias[o] + sum_{r,s in 0..2, c} x[b, i+r-1, j+s-1, c] W[o,r,s,c]      (x is 0 outside)
//   a = max(0, z);   y = a, or with the pool  y[b,i,j,o] = max over u,v in {0,1} of a[b, 2i+u, 2j+v, o]
//   backward: dz = dy where a > 0 (with the pool: at the saved place of the maximum), else 0;
//             dW[o,r,s,c] += sum_{b,i,j} dz[b,i,j,o] x[b, i+r-1, j+s-1, c],   dbias[o] += sum dz,
//             dx[b,i,j,c] = sum_{o,r,s} dz[b, i-r+1, j-s+1, o] W[o,r,s,c]
// Source: Simonyan and Zisserman, arXiv:1409.1556; Hershey et al., arXiv:1609.09430 (VGGish). docs/vggish.md.
// NaN:    a NaN in a window gives NaN.
// Ties:   the pool takes the first maximum in the order (0,0), (0,1), (1,0), (1,1). ReLU has slope 0 at 0.
// Order:  fixed on one machine and number of threads. On CUDA float products are of ctx.precision(); sums are float,
//         dbias is summed in double.
// Batch:  images are independent in y and dx; dW and dbias are sums over this rank's images.
// Errors: EMER_CHECK on sizes below 1, null pointers, an odd height or width with the pool; Error(kDevice) where
//         `kernel` names one that this build, device or shape cannot have.
#pragma once

#include <cstdint>
#include <string>

#include "core/bfloat16.h"
#include "core/context.h"

namespace emer {

// Which implementation on CUDA; the CPU has one (oneDNN for float, products of unfolded patches for double).
//   kAuto    kPlain, until another has run on a GPU and matched (docs/cuda.md)
//   kPlain   float products without tensor cores
//   kMma     implicit product on mma.sync: TF32 or bfloat16 as ctx.precision() says; not for kFp32 or in < 16; channels
//            divisible by 8
//   kHopper  implicit product on wgmma, operands by TMA (im2col mode): sm_90a only, bfloat16 only; channels divisible by
//            64, pools of width 8, 16, 32 or 64
//   kCudnn   cuDNN 9 for the convolutions, where it is installed; bias, ReLU and pool by our kernels. Of bfloat16
//            products z, dx and dW are rounded to bfloat16
enum class ConvKernel { kAuto, kPlain, kMma, kHopper, kCudnn };

struct ConvShape {
  int n = 0;       // images, >= 1
  int height = 0;  // >= 1; even with the pool
  int width = 0;   // likewise
  int in = 0;      // channels of x, >= 1
  int out = 0;     // channels of y, >= 1
  bool pool = false;

  int out_height() const { return pool ? height / 2 : height; }
  int out_width() const { return pool ? width / 2 : width; }
};

// NHWC without gaps. Stored is what x, y, dx and dy are kept in: Real, or BFloat16 on CUDA and, to check with, on the
// CPU. Products of BFloat16 arrays have W rounded to bfloat16 too, sums stay float. Nothing may alias an output.
template <class Real, class Stored = Real>
struct ConvBlockForward {
  ConvShape shape;
  const Stored* x = nullptr;     // in   [n, height, width, in]
  const Real* weight = nullptr;  // in   [out, 3, 3, in]
  const Real* bias = nullptr;    // in   [out]
  Stored* y = nullptr;           // out  [n, out_height, out_width, out], overwritten
  std::uint8_t* argmax =
      nullptr;  // out  like y, 2u + v of the maximum; pool only, null where backward never follows
  ConvKernel kernel = ConvKernel::kAuto;
};

template <class Real, class Stored = Real>
struct ConvBlockBackward {
  ConvShape shape;
  const Stored* x = nullptr;             // in   as in forward
  const Real* weight = nullptr;          // in   as in forward
  const Stored* y = nullptr;             // in   forward's y
  const std::uint8_t* argmax = nullptr;  // in   forward's; null without the pool
  const Stored* dy = nullptr;            // in   like y
  Real* d_weight = nullptr;              // out  [out, 3, 3, in], accumulated
  Real* d_bias = nullptr;                // out  [out], accumulated
  Stored* dx = nullptr;                  // out  like x, overwritten; null where the input needs no gradient
  ConvKernel kernel = ConvKernel::kAuto;
};

// <double>, <float>, <float, BFloat16>; CUDA: the latter two.
template <class Real, class Stored = Real>
void conv_block_forward(Context& ctx, const ConvBlockForward<Real, Stored>& args);
template <class Real, class Stored = Real>
void conv_block_backward(Context& ctx, const ConvBlockBackward<Real, Stored>& args);

// Why `kernel` cannot take blocks of this shape, of BFloat16 arrays or of float ones at ctx.precision(), where ctx is;
// empty where it can. The CPU, which has one implementation, takes any.
std::string conv_kernel_refusal(Context& ctx, const ConvShape& shape, ConvKernel kernel, bool stored_bf16);
// "auto", "plain", "mma", "hopper", "cudnn".
const char* name_of(ConvKernel kernel);
// Of cuDNN on this machine: its version, or why there is none.
std::string conv_library_status();

namespace cpu {
template <class Real, class Stored>
void conv_block_forward(Context& ctx, const ConvBlockForward<Real, Stored>& args);
template <class Real, class Stored>
void conv_block_backward(Context& ctx, const ConvBlockBackward<Real, Stored>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real, class Stored>
void conv_block_forward(Context& ctx, const ConvBlockForward<Real, Stored>& args);
template <class Real, class Stored>
void conv_block_backward(Context& ctx, const ConvBlockBackward<Real, Stored>& args);
std::string conv_kernel_refusal(Context& ctx, const ConvShape& shape, ConvKernel kernel, bool stored_bf16);
std::string conv_library_status();
}  // namespace cuda

}  // namespace emer
