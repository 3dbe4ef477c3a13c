#include "kernels/linear.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

template <class Real>
void linear_forward(Context& ctx, const LinearForward<Real>& a) {
  EMER_CHECK(a.n >= 1 && a.in >= 1 && a.out >= 1, "linear: sizes n {}, in {}, out {} must be at least 1", a.n,
             a.in, a.out);
  EMER_CHECK(a.x && a.weight && a.bias && a.y, "linear: null argument");
  EMER_CHECK(a.x != a.y, "linear: y aliases x");
  dispatch<Real>(
      ctx, "linear", [&] { cpu::linear_forward(ctx, a); }, [&] { cuda::linear_forward(ctx, a); });
}

template <class Real>
void linear_backward(Context& ctx, const LinearBackward<Real>& a) {
  EMER_CHECK(a.n >= 1 && a.in >= 1 && a.out >= 1, "linear: sizes n {}, in {}, out {} must be at least 1", a.n,
             a.in, a.out);
  EMER_CHECK(a.x && a.dy && a.d_weight && a.d_bias && (a.weight || !a.dx), "linear backward: null argument");
  EMER_CHECK(a.y || a.activation == Activation::kNone, "linear backward: the activation's output is null");
  EMER_CHECK(!a.dx || (a.dx != a.x && a.dx != a.dy), "linear backward: dx aliases an input");
  dispatch<Real>(
      ctx, "linear backward", [&] { cpu::linear_backward(ctx, a); }, [&] { cuda::linear_backward(ctx, a); });
}

template void linear_forward(Context&, const LinearForward<float>&);
template void linear_forward(Context&, const LinearForward<double>&);
template void linear_backward(Context&, const LinearBackward<float>&);
template void linear_backward(Context&, const LinearBackward<double>&);

}  // namespace emer
