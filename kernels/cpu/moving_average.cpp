#include "kernels/moving_average.h"

#include "core/parallel.h"

namespace emer::cpu {

template <class Real>
void moving_average(Context&, const MovingAverage<Real>& a) {
  const Real keep = static_cast<Real>(a.decay), take = static_cast<Real>(1.0 - a.decay);
  parallel_for(a.count, 16384, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) a.average[i] = keep * a.average[i] + take * a.x[i];
  });
}

template void moving_average(Context&, const MovingAverage<float>&);
template void moving_average(Context&, const MovingAverage<double>&);

}  // namespace emer::cpu
