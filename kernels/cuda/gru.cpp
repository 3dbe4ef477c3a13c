// CUDA twin of kernels/gru.h: which kernel runs the recurrence.
#include "kernels/gru.h"

#include "kernels/cuda/gru_parts.h"
#include "kernels/cuda/gru_persistent.h"

namespace emer::cuda {

template <class Real>
void gru_forward(Context& ctx, const GruForward<Real>& a) {
  if (a.sizes.kernel == GruKernel::kPersistent)
    gru_forward_persistent(ctx, a);
  else
    gru_forward_steps(ctx, a);
}

template <class Real>
void gru_backward(Context& ctx, const GruBackward<Real>& a) {
  if (a.sizes.kernel == GruKernel::kPersistent)
    gru_backward_persistent(ctx, a);
  else
    gru_backward_steps(ctx, a);
  gru_parameter_gradients(ctx, a);
}

template void gru_forward(Context&, const GruForward<float>&);
template void gru_backward(Context&, const GruBackward<float>&);

}  // namespace emer::cuda
