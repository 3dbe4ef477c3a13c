#include "kernels/conv_block.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

namespace {
void check_shape(const ConvShape& s) {
  EMER_CHECK(s.n >= 1 && s.height >= 1 && s.width >= 1 && s.in >= 1 && s.out >= 1,
             "conv block: sizes n {}, height {}, width {}, in {}, out {} must be at least 1", s.n, s.height,
             s.width, s.in, s.out);
  EMER_CHECK(!s.pool || (s.height % 2 == 0 && s.width % 2 == 0),
             "conv block: height {} and width {} must be even for the pool", s.height, s.width);
}
}  // namespace

template <class Real, class Stored>
void conv_block_forward(Context& ctx, const ConvBlockForward<Real, Stored>& a) {
  check_shape(a.shape);
  EMER_CHECK(a.x && a.weight && a.bias && a.y, "conv block: null argument");
  EMER_CHECK(a.x != a.y, "conv block: y aliases x");
  dispatch<Real>(
      ctx, "conv block", [&] { cpu::conv_block_forward(ctx, a); }, [&] { cuda::conv_block_forward(ctx, a); });
}

template <class Real, class Stored>
void conv_block_backward(Context& ctx, const ConvBlockBackward<Real, Stored>& a) {
  check_shape(a.shape);
  EMER_CHECK(a.x && a.weight && a.y && a.dy && a.d_weight && a.d_bias, "conv block backward: null argument");
  EMER_CHECK(a.argmax || !a.shape.pool, "conv block backward: the places of the pool's maxima are null");
  EMER_CHECK(!a.dx || (a.dx != a.x && a.dx != a.y && a.dx != a.dy),
             "conv block backward: dx aliases an input");
  dispatch<Real>(
      ctx, "conv block backward", [&] { cpu::conv_block_backward(ctx, a); },
      [&] { cuda::conv_block_backward(ctx, a); });
}

const char* name_of(ConvKernel kernel) {
  switch (kernel) {
    case ConvKernel::kAuto:
      return "auto";
    case ConvKernel::kPlain:
      return "plain";
    case ConvKernel::kMma:
      return "mma";
    case ConvKernel::kHopper:
      return "hopper";
    case ConvKernel::kCudnn:
      return "cudnn";
  }
  return "";
}

std::string conv_kernel_refusal(Context& ctx, const ConvShape& shape, ConvKernel kernel, bool stored_bf16) {
  check_shape(shape);
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) return cuda::conv_kernel_refusal(ctx, shape, kernel, stored_bf16);
  }
  return {};
}

std::string conv_library_status() {
  if constexpr (kWithCuda)
    return cuda::conv_library_status();
  else
    return "not built in";
}

template void conv_block_forward(Context&, const ConvBlockForward<float>&);
template void conv_block_forward(Context&, const ConvBlockForward<double>&);
template void conv_block_forward(Context&, const ConvBlockForward<float, BFloat16>&);
template void conv_block_backward(Context&, const ConvBlockBackward<float>&);
template void conv_block_backward(Context&, const ConvBlockBackward<double>&);
template void conv_block_backward(Context&, const ConvBlockBackward<float, BFloat16>&);

}  // namespace emer
