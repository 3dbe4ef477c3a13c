// kernels/first_not_finite.h - where an array first holds a NaN or an infinity.
//
// Errors: EMER_CHECK on null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

struct FirstNotFinite {
  std::int64_t count = 0;
  const double* x = nullptr;      // in   [count]
  std::int64_t* index = nullptr;  // out  [1], overwritten: the lowest such index, or -1
};

void first_not_finite(Context& ctx, const FirstNotFinite& args);

namespace cpu {
void first_not_finite(Context& ctx, const FirstNotFinite& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA
void first_not_finite(Context& ctx, const FirstNotFinite& args);
}  // namespace cuda

}  // namespace emer
