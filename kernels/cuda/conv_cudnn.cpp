#include "kernels/cuda/conv_cudnn.h"

#include <type_traits>

#include "kernels/cuda/cast.h"
#include "kernels/cuda/conv_operands.h"
#include "kernels/cuda/conv_parts.h"
#include "kernels/cuda/cudnn.h"

namespace emer::cuda {

namespace {

CudnnProducts products_of(const Context& ctx, bool stored_bf16) {
  if (stored_bf16 || ctx.precision() == Precision::kBf16) return CudnnProducts::kBf16;
  return ctx.precision() == Precision::kTf32 ? CudnnProducts::kTf32 : CudnnProducts::kFloat;
}

// What cuDNN is given and gives back: float, or the bits of bfloat16.
template <class Operand>
using Returned = std::conditional_t<std::is_same_v<Operand, Bf16Bits>, BFloat16, float>;

template <class Operand, class Stored>
void forward(Context& ctx, const CudnnConv& conv, const ConvBlockForward<float, Stored>& a) {
  const ConvShape& s = a.shape;
  const ArenaScope scope(ctx);
  auto* z = ctx.scratch<Returned<Operand>>(static_cast<std::size_t>(conv_pixels(s) * s.out));
  cudnn_forward(ctx, conv, conv_operand<Operand>(ctx, conv_pixels(s) * s.in, a.x),
                conv_operand<Operand>(ctx, conv_weights(s), a.weight), z);
  conv_finish_forward(ctx, a, z);
}

template <class Operand, class Stored>
void backward(Context& ctx, const CudnnConv& conv, const ConvBlockBackward<float, Stored>& a,
              const Stored* given_dz) {
  const ConvShape& s = a.shape;
  const ArenaScope scope(ctx);
  const auto* dz = conv_operand<Operand>(ctx, conv_pixels(s) * s.out, given_dz);
  auto* d_weight = ctx.scratch<Returned<Operand>>(static_cast<std::size_t>(conv_weights(s)));
  cudnn_backward_weight(ctx, conv, conv_operand<Operand>(ctx, conv_pixels(s) * s.in, a.x), dz, d_weight);
  conv_add_parts(
      ctx, {.parts = 1, .columns = conv_weights(s), .weight = a.d_weight, .weight_count = conv_weights(s)},
      d_weight);
  if (a.dx == nullptr) return;
  const auto* weight = conv_operand<Operand>(ctx, conv_weights(s), a.weight);
  if constexpr (std::is_same_v<Returned<Operand>, Stored>) {
    cudnn_backward_data(ctx, conv, weight, dz, a.dx);
  } else {
    auto* dx = ctx.scratch<std::uint16_t>(static_cast<std::size_t>(conv_pixels(s) * s.in));
    cudnn_backward_data(ctx, conv, weight, dz, dx);
    cast_to_float(ctx, conv_pixels(s) * s.in, dx, a.dx);
  }
}

}  // namespace

std::string conv_cudnn_refusal(Context& ctx, const ConvShape& shape, bool stored_bf16) {
  return cudnn_refusal({shape, products_of(ctx, stored_bf16)});
}

template <class Stored>
void conv_cudnn_forward(Context& ctx, const ConvBlockForward<float, Stored>& a) {
  const CudnnConv conv{a.shape, products_of(ctx, std::is_same_v<Stored, BFloat16>)};
  if (conv.products == CudnnProducts::kBf16) return forward<Bf16Bits>(ctx, conv, a);
  if constexpr (std::is_same_v<Stored, float>) forward<float>(ctx, conv, a);
}

template <class Stored>
void conv_cudnn_backward(Context& ctx, const ConvBlockBackward<float, Stored>& a, const Stored* dz) {
  const CudnnConv conv{a.shape, products_of(ctx, std::is_same_v<Stored, BFloat16>)};
  if (conv.products == CudnnProducts::kBf16) return backward<Bf16Bits>(ctx, conv, a, dz);
  if constexpr (std::is_same_v<Stored, float>) backward<float>(ctx, conv, a, dz);
}

template void conv_cudnn_forward(Context&, const ConvBlockForward<float, float>&);
template void conv_cudnn_forward(Context&, const ConvBlockForward<float, BFloat16>&);
template void conv_cudnn_backward(Context&, const ConvBlockBackward<float, float>&, const float*);
template void conv_cudnn_backward(Context&, const ConvBlockBackward<float, BFloat16>&, const BFloat16*);

}  // namespace emer::cuda
