// CPU twin of kernels/gather_rows.h.
#include "kernels/gather_rows.h"

#include <algorithm>

namespace emer::cpu {

template <class Real>
void gather_rows(Context&, const GatherRows<Real>& a) {
  const std::int64_t* rows = a.rows + (a.scalars ? a.scalars->first : 0);
  for (int i = 0; i < a.n; ++i) {
    std::copy_n(a.table + rows[i] * a.stored, a.used, a.out + i * a.used);
    if (a.out_lengths) a.out_lengths[i] = a.lengths[rows[i]];
  }
}

template void gather_rows(Context&, const GatherRows<float>&);
template void gather_rows(Context&, const GatherRows<double>&);

}  // namespace emer::cpu
