// kernels/dispatch.h - from a checked op to the twin of the context's device.
#pragma once

#include <utility>

#include "core/check.h"
#include "core/context.h"

namespace emer {

// Runs the CPU twin; on a CUDA context, an op without a CUDA twin is refused by name.
template <class CpuTwin>
void dispatch_cpu_only(Context& ctx, const char* op, CpuTwin&& cpu_twin) {
  if (ctx.on_cuda()) fail(ErrorKind::kDevice, "{} has no CUDA twin yet; use device: cpu", op);
  std::forward<CpuTwin>(cpu_twin)();
}

}  // namespace emer
