// ConvKernel::kMma: operands in the format of the products, then the products.
#include "kernels/cuda/conv_mma.h"

#include <type_traits>

#include "kernels/cuda/conv_operands.h"
#include "kernels/cuda/conv_tensor.h"

namespace emer::cuda {

namespace {

template <class Operand, class Stored>
void forward(Context& ctx, const ConvBlockForward<float, Stored>& a) {
  const ArenaScope scope(ctx);
  conv_mma_product<Operand, ConvElement<Stored>>(ctx, conv_forward_product<Operand>(ctx, a));
}

template <class Operand, class Stored>
void backward(Context& ctx, const ConvBlockBackward<float, Stored>& a, const Stored* dz) {
  const ArenaScope scope(ctx);
  const ConvShape& s = a.shape;
  const auto* gradient = conv_operand<Operand>(ctx, conv_pixels(s) * s.out, dz);
  conv_mma_weight_gradient(ctx, s, conv_operand<Operand>(ctx, conv_pixels(s) * s.in, a.x), gradient,
                           a.d_weight);
  if (a.dx != nullptr)
    conv_mma_product<Operand, ConvElement<Stored>>(ctx, conv_backward_product(ctx, a, gradient));
}

}  // namespace

std::string conv_mma_refusal(const ConvShape& shape, Precision precision, bool stored_bf16) {
  if (shape.in < 16 || shape.in % kConvChannelStep != 0 || shape.out % kConvChannelStep != 0)
    return "it takes channels divisible by 8, and at least 16 of them in";
  if (!stored_bf16 && precision == Precision::kFp32)
    return "it multiplies in tf32 or bf16, and the precision is fp32";
  return {};
}

template <class Stored>
void conv_mma_forward(Context& ctx, const ConvBlockForward<float, Stored>& a) {
  if constexpr (std::is_same_v<Stored, float>) {
    if (ctx.precision() == Precision::kTf32) return forward<float>(ctx, a);
  }
  forward<Bf16Bits>(ctx, a);
}

template <class Stored>
void conv_mma_backward(Context& ctx, const ConvBlockBackward<float, Stored>& a, const Stored* dz) {
  if constexpr (std::is_same_v<Stored, float>) {
    if (ctx.precision() == Precision::kTf32) return backward<float>(ctx, a, dz);
  }
  backward<Bf16Bits>(ctx, a, dz);
}

template void conv_mma_forward(Context&, const ConvBlockForward<float, float>&);
template void conv_mma_forward(Context&, const ConvBlockForward<float, BFloat16>&);
template void conv_mma_backward(Context&, const ConvBlockBackward<float, float>&, const float*);
template void conv_mma_backward(Context&, const ConvBlockBackward<float, BFloat16>&, const BFloat16*);

}  // namespace emer::cuda
