// CPU twin of kernels/sequence_mean.h.
#include "kernels/sequence_mean.h"

namespace emer::cpu {

template <class Real>
void sequence_mean(Context&, const SequenceMean<Real>& a) {
  for (std::int64_t i = 0; i < a.n; ++i) {
    const std::int32_t length = a.lengths ? a.lengths[i] : a.steps;
    for (std::int64_t k = 0; k < a.width; ++k) {
      double sum = 0;
      for (std::int64_t t = 0; t < length; ++t)
        sum += static_cast<double>(a.x[(i * a.steps + t) * a.width + k]);
      a.y[i * a.width + k] = static_cast<Real>(sum / length);
    }
  }
}

template <class Real>
void sequence_mean_backward(Context&, const SequenceMeanBackward<Real>& a) {
  for (std::int64_t i = 0; i < a.n; ++i) {
    const std::int32_t length = a.lengths ? a.lengths[i] : a.steps;
    for (std::int64_t t = 0; t < a.steps; ++t)
      for (std::int64_t k = 0; k < a.width; ++k)
        a.dx[(i * a.steps + t) * a.width + k] =
            t < length ? a.dy[i * a.width + k] / static_cast<Real>(length) : Real(0);
  }
}

template void sequence_mean(Context&, const SequenceMean<float>&);
template void sequence_mean(Context&, const SequenceMean<double>&);
template void sequence_mean_backward(Context&, const SequenceMeanBackward<float>&);
template void sequence_mean_backward(Context&, const SequenceMeanBackward<double>&);

}  // namespace emer::cpu
