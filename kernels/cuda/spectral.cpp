// CUDA twins of kernels/symmetric_eigen.h and kernels/svd.h.
#include "kernels/cuda/recording.h"
#include "kernels/cuda/solver.h"
#include "kernels/svd.h"
#include "kernels/symmetric_eigen.h"

namespace emer::cuda {

template <class Real>
void symmetric_eigen(Context& ctx, const SymmetricEigen<Real>& a) {
  refuse_recording_of_eigen(ctx, "symmetric_eigen");
  symmetric_eigen(ctx, a.m, a.matrix, a.values, a.vectors);
}

template <class Real>
void svd(Context& ctx, const Svd<Real>& a) {
  refuse_recording_of_eigen(ctx, "svd");
  svd(ctx, a.m, a.matrix, a.left, a.values, a.right);
}

template void symmetric_eigen(Context&, const SymmetricEigen<float>&);
template void svd(Context&, const Svd<float>&);

}  // namespace emer::cuda
