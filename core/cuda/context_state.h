// core/cuda/context_state.h - the CUDA side of a Context. Only CUDA sources include this.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

#include "core/check.h"

namespace emer::cuda {

struct ContextState {
  int device = 0;
  cudaStream_t stream = nullptr;
  cublasHandle_t cublas = nullptr;
  cusolverDnHandle_t cusolver = nullptr;

  ContextState();
  ~ContextState();
  ContextState(const ContextState&) = delete;
  ContextState& operator=(const ContextState&) = delete;
};

inline void check(cudaError_t status, const char* what, const char* file, int line) {
  if (status != cudaSuccess) [[unlikely]]
    fail(ErrorKind::kDevice, "{}: {} ({}) at {}:{}", what, cudaGetErrorString(status),
         cudaGetErrorName(status), file, line);
}

}  // namespace emer::cuda

#define EMER_CUDA_CHECK(call) ::emer::cuda::check((call), #call, __FILE__, __LINE__)
