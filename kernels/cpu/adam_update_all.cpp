// CPU twin of kernels/adam_update_all.h: array by array.
#include "kernels/adam_update_all.h"

#include "kernels/moving_average.h"

namespace emer::cpu {

template <class Real>
void adam_update_all(Context& ctx, const AdamUpdateAll<Real>& a) {
  if (a.scalars != nullptr && a.scalars->halted != 0) return;
  for (std::int64_t k = 0; k < a.list.array_count; ++k) {
    const AdamArray<Real>& array = a.list.arrays[k];
    cpu::adam_update<Real>(ctx, {.count = array.count,
                                 .t = a.t,
                                 .form = a.form,
                                 .learning_rate = a.learning_rate,
                                 .beta1 = a.beta1,
                                 .beta2 = a.beta2,
                                 .epsilon = a.epsilon,
                                 .weight_decay = array.decay ? a.weight_decay : 0.0,
                                 .gradient_scale = a.gradient_scale,
                                 .rate_scale = static_cast<double>(array.rate_scale),
                                 .scalars = a.scalars,
                                 .gradient = array.gradient,
                                 .value = array.value,
                                 .m = array.m,
                                 .v = array.v});
    if (array.average != nullptr)
      cpu::moving_average<Real>(
          ctx, {.count = array.count, .decay = a.average_decay, .x = array.value, .average = array.average});
    if (a.zero_gradients)
      fill_zero(ctx, array.gradient, static_cast<std::size_t>(array.count) * sizeof(Real));
  }
}

template void adam_update_all(Context&, const AdamUpdateAll<float>&);
template void adam_update_all(Context&, const AdamUpdateAll<double>&);

}  // namespace emer::cpu
