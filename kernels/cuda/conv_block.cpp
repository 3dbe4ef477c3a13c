// CUDA twin of kernels/conv_block.h: which implementation runs. kernels/cuda/conv_parts.h has what they share.
#include "kernels/conv_block.h"

#include <type_traits>

#include "core/check.h"
#include "kernels/cuda/conv_parts.h"

namespace emer::cuda {

namespace {

template <class Stored>
void check_taken(Context& ctx, const ConvShape& shape, ConvKernel kernel) {
  const std::string refusal = cuda::conv_kernel_refusal(ctx, shape, kernel, std::is_same_v<Stored, BFloat16>);
  if (!refusal.empty()) fail(ErrorKind::kDevice, "conv block: kernel {}: {}", name_of(kernel), refusal);
}

}  // namespace

std::string conv_kernel_refusal(Context&, const ConvShape&, ConvKernel kernel, bool) {
  if (kernel == ConvKernel::kAuto || kernel == ConvKernel::kPlain) return {};
  return "not in this build";
}

template <class Real, class Stored>
void conv_block_forward(Context& ctx, const ConvBlockForward<Real, Stored>& a) {
  check_taken<Stored>(ctx, a.shape, a.kernel);
  conv_plain_forward(ctx, a);
}

template <class Real, class Stored>
void conv_block_backward(Context& ctx, const ConvBlockBackward<Real, Stored>& a) {
  check_taken<Stored>(ctx, a.shape, a.kernel);
  conv_plain_backward(ctx, a);
}

template void conv_block_forward(Context&, const ConvBlockForward<float, float>&);
template void conv_block_forward(Context&, const ConvBlockForward<float, BFloat16>&);
template void conv_block_backward(Context&, const ConvBlockBackward<float, float>&);
template void conv_block_backward(Context&, const ConvBlockBackward<float, BFloat16>&);

}  // namespace emer::cuda
