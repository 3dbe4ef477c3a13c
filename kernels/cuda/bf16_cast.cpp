#include "kernels/bf16_cast.h"

#include "kernels/cuda/cast.h"

namespace emer::cuda {

void round_to_bf16(Context& ctx, const RoundToBf16& a) {
  cast_to_bf16(ctx, a.count, a.from, reinterpret_cast<std::uint16_t*>(a.to));
}

void widen_bf16(Context& ctx, const WidenBf16& a) {
  cast_to_float(ctx, a.count, reinterpret_cast<const std::uint16_t*>(a.from), a.to);
}

}  // namespace emer::cuda
