// CPU twin of kernels/add_into.h.
#include "kernels/add_into.h"

namespace emer::cpu {

template <class Real>
void add_into(Context&, const AddInto<Real>& a) {
#pragma omp simd
  for (std::int64_t i = 0; i < a.count; ++i) a.y[i] += a.x[i];
}

template void add_into(Context&, const AddInto<float>&);
template void add_into(Context&, const AddInto<double>&);

}  // namespace emer::cpu
