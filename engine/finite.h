// engine/finite.h - where an array on a context's device first holds a NaN or an infinity; waits for the answer.
#pragma once

#include "core/tensor.h"
#include "kernels/first_not_finite.h"

namespace emer {

// The lowest such index, or -1.
inline std::int64_t find_not_finite(Context& ctx, const double* x, std::int64_t count) {
  Tensor<std::int64_t> index(ctx, {1});
  first_not_finite(ctx, {.count = count, .x = x, .index = index.data()});
  return index.to_host(ctx)[0];
}

}  // namespace emer
