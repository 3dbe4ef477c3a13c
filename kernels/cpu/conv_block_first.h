// kernels/cpu/conv_block_first.h - the block that reads patches: one channel, pooled. Convolution, ReLU and pool in one
// pass, as storing z would take longer than computing it.
#pragma once

#include "kernels/conv_block.h"

namespace emer::cpu {

inline bool is_first_block(const ConvShape& shape) {
  return shape.in == 1 && shape.pool;
}
void conv_first_forward(Context& ctx, const ConvBlockForward<float>& args);

}  // namespace emer::cpu
