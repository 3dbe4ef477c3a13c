#include "kernels/widen.h"

#include "kernels/cuda/cast.h"

namespace emer::cuda {

void widen(Context& ctx, const Widen& a) {
  cast_to_double(ctx, a.count, a.from, a.to);
}

}  // namespace emer::cuda
