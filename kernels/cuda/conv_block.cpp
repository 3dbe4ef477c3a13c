// CUDA twin of kernels/conv_block.h: which implementation runs. kernels/cuda/conv_parts.h has what they share.
#include "kernels/conv_block.h"

#include <type_traits>

#include "core/check.h"
#include "kernels/cuda/conv_cudnn.h"
#include "kernels/cuda/conv_hopper.h"
#include "kernels/cuda/conv_mma.h"
#include "kernels/cuda/conv_parts.h"
#include "kernels/cuda/cudnn.h"

namespace emer::cuda {

namespace {

template <class Stored>
void check_taken(Context& ctx, const ConvShape& shape, ConvKernel kernel) {
  const std::string refusal = cuda::conv_kernel_refusal(ctx, shape, kernel, std::is_same_v<Stored, BFloat16>);
  if (!refusal.empty())
    fail(ErrorKind::kDevice, "conv block: kernel {} has no CUDA twin for this: {}", name_of(kernel), refusal);
}

// dz in scratch, then what is behind it.
template <class Stored>
void backward_from_dz(Context& ctx, const ConvBlockBackward<float, Stored>& a) {
  const ArenaScope scope(ctx);
  const ConvShape& s = a.shape;
  const std::int64_t count = std::int64_t{s.n} * s.height * s.width * s.out;
  auto* dz = ctx.scratch<Stored>(static_cast<std::size_t>(count));
  conv_gradient_behind(ctx, a, dz);
  if (a.kernel == ConvKernel::kHopper)
    conv_hopper_backward<Stored>(ctx, a, dz);
  else if (a.kernel == ConvKernel::kCudnn)
    conv_cudnn_backward<Stored>(ctx, a, dz);
  else
    conv_mma_backward<Stored>(ctx, a, dz);
}

}  // namespace

std::string conv_kernel_refusal(Context& ctx, const ConvShape& shape, ConvKernel kernel, bool stored_bf16) {
  if (kernel == ConvKernel::kAuto || kernel == ConvKernel::kPlain) return {};
  if (kernel == ConvKernel::kMma) return conv_mma_refusal(shape, ctx.precision(), stored_bf16);
  if (kernel == ConvKernel::kHopper) return conv_hopper_refusal(ctx, shape, stored_bf16);
  return conv_cudnn_refusal(ctx, shape, stored_bf16);
}

std::string conv_library_status() {
  return cudnn_status();
}

template <class Real, class Stored>
void conv_block_forward(Context& ctx, const ConvBlockForward<Real, Stored>& a) {
  check_taken<Stored>(ctx, a.shape, a.kernel);
  if (a.kernel == ConvKernel::kHopper) return conv_hopper_forward(ctx, a);
  if (a.kernel == ConvKernel::kMma) return conv_mma_forward(ctx, a);
  if (a.kernel == ConvKernel::kCudnn) return conv_cudnn_forward(ctx, a);
  conv_plain_forward(ctx, a);
}

template <class Real, class Stored>
void conv_block_backward(Context& ctx, const ConvBlockBackward<Real, Stored>& a) {
  check_taken<Stored>(ctx, a.shape, a.kernel);
  if (a.kernel == ConvKernel::kAuto || a.kernel == ConvKernel::kPlain) return conv_plain_backward(ctx, a);
  backward_from_dz(ctx, a);
}

template void conv_block_forward(Context&, const ConvBlockForward<float, float>&);
template void conv_block_forward(Context&, const ConvBlockForward<float, BFloat16>&);
template void conv_block_backward(Context&, const ConvBlockBackward<float, float>&);
template void conv_block_backward(Context&, const ConvBlockBackward<float, BFloat16>&);

}  // namespace emer::cuda
