// CPU twin of kernels/conv_block.h: oneDNN for float where it is built in and has the shape, products for the rest.
#include "kernels/conv_block.h"

#include "kernels/cpu/conv_block_first.h"
#include "kernels/cpu/conv_block_onednn.h"
#include "kernels/cpu/conv_block_products.h"

namespace emer::cpu {

template <class Real, class Stored>
void conv_block_forward(Context& ctx, const ConvBlockForward<Real, Stored>& a) {
  if constexpr (std::is_same_v<Stored, float>) {
    if (is_first_block(a.shape)) return conv_first_forward(ctx, a);
    if (conv_onednn_forward(ctx, a)) return;
  }
  conv_products_forward(ctx, a);
}

template <class Real, class Stored>
void conv_block_backward(Context& ctx, const ConvBlockBackward<Real, Stored>& a) {
  if constexpr (std::is_same_v<Stored, float>)
    if (conv_onednn_backward(ctx, a)) return;
  conv_products_backward(ctx, a);
}

template void conv_block_forward(Context&, const ConvBlockForward<float>&);
template void conv_block_forward(Context&, const ConvBlockForward<double>&);
template void conv_block_forward(Context&, const ConvBlockForward<float, BFloat16>&);
template void conv_block_backward(Context&, const ConvBlockBackward<float>&);
template void conv_block_backward(Context&, const ConvBlockBackward<double>&);
template void conv_block_backward(Context&, const ConvBlockBackward<float, BFloat16>&);

}  // namespace emer::cpu
