// kernels/widen.h - float elements as doubles, exactly.
//
// Errors: EMER_CHECK on null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

struct Widen {
  std::int64_t count = 0;
  const float* from = nullptr;  // in   [count]
  double* to = nullptr;         // out  [count], overwritten
};

void widen(Context& ctx, const Widen& args);

namespace cpu {
void widen(Context& ctx, const Widen& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA
void widen(Context& ctx, const Widen& args);
}  // namespace cuda

}  // namespace emer
