#include "kernels/sequence_mean.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

namespace {
template <class Args>
void check_sizes(const Args& a) {
  EMER_CHECK(a.n >= 1 && a.steps >= 1 && a.width >= 1, "sequence mean: {} rows of {} steps of {}", a.n,
             a.steps, a.width);
}
}  // namespace

template <class Real>
void sequence_mean(Context& ctx, const SequenceMean<Real>& a) {
  check_sizes(a);
  EMER_CHECK(a.x && a.y, "sequence mean: null argument");
  dispatch<Real>(
      ctx, "sequence mean", [&] { cpu::sequence_mean(ctx, a); }, [&] { cuda::sequence_mean(ctx, a); });
}

template <class Real>
void sequence_mean_backward(Context& ctx, const SequenceMeanBackward<Real>& a) {
  check_sizes(a);
  EMER_CHECK(a.dy && a.dx, "sequence mean backward: null argument");
  dispatch<Real>(
      ctx, "sequence mean backward", [&] { cpu::sequence_mean_backward(ctx, a); },
      [&] { cuda::sequence_mean_backward(ctx, a); });
}

template void sequence_mean(Context&, const SequenceMean<float>&);
template void sequence_mean(Context&, const SequenceMean<double>&);
template void sequence_mean_backward(Context&, const SequenceMeanBackward<float>&);
template void sequence_mean_backward(Context&, const SequenceMeanBackward<double>&);

}  // namespace emer
