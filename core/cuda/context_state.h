// core/cuda/context_state.h - the CUDA side of a Context. Only CUDA sources include this.
//
// nvcc does not compile fmt's format strings (C++20), so neither this header nor a .cu file includes core/check.h or
// core/tensor.h: arguments are checked in kernels/<op>.cpp, and what fails here is reported out of line.
#pragma once

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

#include <cstddef>
#include <memory>

namespace emer::cuda {

struct ContextState {
  int device = 0;
  int multiprocessors = 0;
  std::size_t shared_memory_limit = 0;  // bytes of dynamic shared memory a block may opt in to
  cudaStream_t stream = nullptr;
  cudaEvent_t done = nullptr;  // marks a place in the stream for another stream to wait for
  cublasHandle_t cublas = nullptr;
  cublasLtHandle_t cublas_lt = nullptr;
  cusolverDnHandle_t cusolver = nullptr;
  // Scratch of cuBLAS and cuBLASLt, which else would allocate their own: not allowed while a graph is recorded.
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  std::shared_ptr<void> matmul_plans;  // kernels/cuda/matmul.cpp keeps the chosen algorithms here

  ContextState();
  ~ContextState();
  ContextState(const ContextState&) = delete;
  ContextState& operator=(const ContextState&) = delete;
};

// For destructors, which must not throw: one line on standard error, unless a failure has been thrown already.
void log_failure(cudaError_t status, const char* what) noexcept;

// Throw Error(kDevice).
[[noreturn]] void fail_call(cudaError_t status, const char* what, const char* file, int line);
[[noreturn]] void fail_kernel(cudaError_t status, const char* kernel);

inline void check(cudaError_t status, const char* what, const char* file, int line) {
  if (status != cudaSuccess) [[unlikely]]
    fail_call(status, what, file, line);
}

}  // namespace emer::cuda

#define EMER_CUDA_CHECK(call) ::emer::cuda::check((call), #call, __FILE__, __LINE__)
