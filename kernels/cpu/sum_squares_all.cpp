// CPU twin of kernels/sum_squares_all.h: array by array.
#include "kernels/sum_squares_all.h"

#include "kernels/sum_squares.h"

namespace emer::cpu {

template <class Real>
void sum_squares_all(Context& ctx, const SumSquaresAll<Real>& a) {
  *a.total = 0.0;
  for (std::int64_t k = 0; k < a.list.array_count; ++k)
    cpu::sum_squares<Real>(
        ctx, {.count = a.list.arrays[k].count, .x = a.list.arrays[k].gradient, .total = a.total});
}

template void sum_squares_all(Context&, const SumSquaresAll<float>&);
template void sum_squares_all(Context&, const SumSquaresAll<double>&);

}  // namespace emer::cpu
