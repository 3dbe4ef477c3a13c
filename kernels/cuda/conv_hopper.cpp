// ConvKernel::kHopper: operands in bfloat16, then the products.
#include "kernels/cuda/conv_hopper.h"

#include "core/cuda/context_state.h"
#include "kernels/cuda/conv_operands.h"
#include "kernels/cuda/conv_tensor.h"

namespace emer::cuda {

std::string conv_hopper_refusal(Context& ctx, const ConvShape& s, bool stored_bf16) {
  int major = 0;
  EMER_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ctx.cuda_state().device));
  if (major != 9) return "it is for compute capability 9.0 only";
  if (s.in % kConvHopperDepth != 0 || s.out % kConvHopperDepth != 0)
    return "it takes channels divisible by 64";
  if (s.pool && s.width != 8 && s.width != 16 && s.width != 32 && s.width != 64)
    return "it pools images of width 8, 16, 32 or 64";
  if (!stored_bf16 && ctx.precision() != Precision::kBf16) return "it multiplies in bf16 only";
  return {};
}

template <class Stored>
void conv_hopper_forward(Context& ctx, const ConvBlockForward<float, Stored>& a) {
  const ArenaScope scope(ctx);
  conv_hopper_product<ConvElement<Stored>>(ctx, conv_forward_product<Bf16Bits>(ctx, a));
}

template <class Stored>
void conv_hopper_backward(Context& ctx, const ConvBlockBackward<float, Stored>& a, const Stored* dz) {
  const ArenaScope scope(ctx);
  const auto* gradient = conv_operand<Bf16Bits>(ctx, conv_pixels(a.shape) * a.shape.out, dz);
  conv_hopper_weight_gradient(ctx, a.shape,
                              conv_operand<Bf16Bits>(ctx, conv_pixels(a.shape) * a.shape.in, a.x), gradient,
                              a.d_weight);
  if (a.dx != nullptr) conv_hopper_product<ConvElement<Stored>>(ctx, conv_backward_product(ctx, a, gradient));
}

template void conv_hopper_forward(Context&, const ConvBlockForward<float, float>&);
template void conv_hopper_forward(Context&, const ConvBlockForward<float, BFloat16>&);
template void conv_hopper_backward(Context&, const ConvBlockBackward<float, float>&, const float*);
template void conv_hopper_backward(Context&, const ConvBlockBackward<float, BFloat16>&, const BFloat16*);

}  // namespace emer::cuda
