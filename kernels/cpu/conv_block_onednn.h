// kernels/cpu/conv_block_onednn.h - the conv block in float by oneDNN.
#pragma once

#include "kernels/conv_block.h"

namespace emer::cpu {

// false, and nothing done: this build is without oneDNN, or oneDNN has no such convolution on this machine.
bool conv_onednn_forward(Context& ctx, const ConvBlockForward<float>& args);
bool conv_onednn_backward(Context& ctx, const ConvBlockBackward<float>& args);

}  // namespace emer::cpu
