// kernels/bf16_cast.h - float arrays as bfloat16 and back: rounded to nearest, ties to even; back exactly.
//
// NaN:    stays NaN.
// Errors: EMER_CHECK on negative counts and null pointers.
#pragma once

#include <cstdint>

#include "core/bfloat16.h"
#include "core/context.h"

namespace emer {

struct RoundToBf16 {
  std::int64_t count = 0;
  const float* from = nullptr;  // in   [count]
  BFloat16* to = nullptr;       // out  [count], overwritten
};
struct WidenBf16 {
  std::int64_t count = 0;
  const BFloat16* from = nullptr;  // in   [count]
  float* to = nullptr;             // out  [count], overwritten
};

void round_to_bf16(Context& ctx, const RoundToBf16& args);
void widen_bf16(Context& ctx, const WidenBf16& args);

namespace cpu {
void round_to_bf16(Context& ctx, const RoundToBf16& args);
void widen_bf16(Context& ctx, const WidenBf16& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA
void round_to_bf16(Context& ctx, const RoundToBf16& args);
void widen_bf16(Context& ctx, const WidenBf16& args);
}  // namespace cuda

}  // namespace emer
