// kernels/dispatch.h - from a checked op to the twin of the context's device.
#pragma once

#include <type_traits>
#include <utility>

#include "core/check.h"
#include "core/context.h"

namespace emer {

// Runs one of the twins. CUDA twins exist for float; double is there to check with, on the CPU.
template <class Real, class CpuTwin, class CudaTwin>
void dispatch(Context& ctx, const char* op, CpuTwin&& cpu_twin, CudaTwin&& cuda_twin) {
  if (!ctx.on_cuda()) return std::forward<CpuTwin>(cpu_twin)();
  if constexpr (kWithCuda && std::is_same_v<Real, float>) {
    std::forward<CudaTwin>(cuda_twin)();
  } else {
    fail(ErrorKind::kDevice, "{}: double precision runs on the CPU only", op);
  }
}

// The same for ops of one scalar type, whose twins both exist.
template <class CpuTwin, class CudaTwin>
void dispatch(Context& ctx, CpuTwin&& cpu_twin, CudaTwin&& cuda_twin) {
  if (!ctx.on_cuda()) return std::forward<CpuTwin>(cpu_twin)();
  if constexpr (kWithCuda) std::forward<CudaTwin>(cuda_twin)();
}

// Runs the CPU twin; on a CUDA context, an op without a CUDA twin is refused by name.
template <class CpuTwin>
void dispatch_cpu_only(Context& ctx, const char* op, CpuTwin&& cpu_twin) {
  if (ctx.on_cuda()) fail(ErrorKind::kDevice, "{} has no CUDA twin yet; use device: cpu", op);
  std::forward<CpuTwin>(cpu_twin)();
}

}  // namespace emer
