#include "kernels/bf16_cast.h"

#include <algorithm>

namespace emer::cpu {

void round_to_bf16(Context& /*ctx*/, const RoundToBf16& a) {
  std::transform(a.from, a.from + a.count, a.to, to_bfloat16);
}

void widen_bf16(Context& /*ctx*/, const WidenBf16& a) {
  std::transform(a.from, a.from + a.count, a.to, to_float);
}

}  // namespace emer::cpu
