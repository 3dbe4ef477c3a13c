// kernels/add_into.h - y = y + x.
//
// NaN:    passes through.
// Errors: EMER_CHECK on a negative count and null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

template <class Real>
struct AddInto {
  std::int64_t count = 0;
  const Real* x = nullptr;  // in      [count]; must not overlap y
  Real* y = nullptr;        // in, out [count]
};

template <class Real>
void add_into(Context& ctx, const AddInto<Real>& args);

namespace cpu {
template <class Real>
void add_into(Context& ctx, const AddInto<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void add_into(Context& ctx, const AddInto<Real>& args);
}  // namespace cuda

}  // namespace emer
