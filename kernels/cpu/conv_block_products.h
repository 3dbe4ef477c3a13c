// kernels/cpu/conv_block_products.h - the conv block as products of unfolded patches: any scalar, any shape.
#pragma once

#include "kernels/conv_block.h"

namespace emer::cpu {

template <class Real, class Stored>
void conv_products_forward(Context& ctx, const ConvBlockForward<Real, Stored>& args);
template <class Real, class Stored>
void conv_products_backward(Context& ctx, const ConvBlockBackward<Real, Stored>& args);

}  // namespace emer::cpu
