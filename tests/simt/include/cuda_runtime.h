// cuda_runtime.h - the SIMT harness's stand-in for CUDA's header: the same sources, compiled by a C++ compiler,
// run on the CPU with real barriers, shuffles, shared memory and atomics. See tests/simt/runtime.h.
//
// Kernels are plain functions. __shared__ arrays are function statics: blocks of a plain launch run one after
// another, and the harness treats them as uninitialised when a block starts. Kernels whose blocks live at once
// (cooperative, clusters) must use emer::simt::dynamic_shared() instead, and are reported if they do not.
// __device__ variables are not supported; tables are constexpr, __constant__ is filled by cudaMemcpyToSymbol.
#pragma once

#ifndef EMER_SIMT
#define EMER_SIMT 1
#endif

#include <memory>
#include <tuple>
#include <utility>

#include "cuda_runtime_api.h"
#include "simt_device.h"
#include "simt_math.h"
#include "vector_functions.h"

namespace emer::simt {

// A kernel with a private copy of its arguments, as a launch makes one.
struct KernelCall {
  const void* kernel;                  // its address: attributes, and its name in fault messages
  void (*run)(const void* arguments);  // one device thread
  std::shared_ptr<const void> arguments;
  std::size_t bytes;  // of the arguments, which device code may read
};
cudaError_t launch(const cudaLaunchConfig_t& config, KernelCall call);
void name_next_launch(
    const char* name);  // by this host thread, in fault messages; lives as long as the process
cudaError_t copy_to_symbol(const void* symbol, std::size_t symbol_bytes, const void* from, std::size_t bytes,
                           std::size_t offset);

namespace detail {
template <class... Parameters>
struct BoundKernel {
  void (*kernel)(Parameters...);
  std::tuple<Parameters...> arguments;
  static void run(const void* self) {
    const auto* bound = static_cast<const BoundKernel*>(self);
    std::apply(bound->kernel, bound->arguments);
  }
};
template <class... Parameters>
KernelCall bind(void (*kernel)(Parameters...), std::tuple<Parameters...> arguments) {
  static_assert((!std::is_reference_v<Parameters> && ...), "a kernel takes its arguments by value");
  static_assert((std::is_trivially_copyable_v<Parameters> && ...),
                "arguments of a kernel are copied as bytes");
  static_assert((sizeof(Parameters) + ... + 0) <= 4096, "more than 4 KiB of kernel arguments");
  using Bound = BoundKernel<Parameters...>;
  return {reinterpret_cast<const void*>(kernel), &Bound::run,
          std::make_shared<const Bound>(Bound{kernel, std::move(arguments)}), sizeof(Bound)};
}
template <class... Parameters, std::size_t... i>
KernelCall bind(void (*kernel)(Parameters...), void** arguments, std::index_sequence<i...>) {
  return bind(kernel, std::tuple<Parameters...>(*static_cast<Parameters*>(arguments[i])...));
}
}  // namespace detail
}  // namespace emer::simt

// NOLINTBEGIN(readability-identifier-naming): CUDA's names
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return emer::simt::launch(
      *config,
      emer::simt::detail::bind(kernel, std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)));
}
template <class... Parameters>
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                                void** arguments) {
  return emer::simt::launch(
      *config, emer::simt::detail::bind(kernel, arguments, std::index_sequence_for<Parameters...>()));
}
template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, void** arguments,
                             std::size_t shared = 0, cudaStream_t stream = nullptr) {
  const cudaLaunchConfig_t config{grid, block, shared, stream, nullptr, 0};
  return cudaLaunchKernelExC(&config, kernel, arguments);
}
template <class... Parameters>
cudaError_t cudaLaunchCooperativeKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block,
                                        void** arguments, std::size_t shared = 0,
                                        cudaStream_t stream = nullptr) {
  cudaLaunchAttribute attribute{cudaLaunchAttributeCooperative, {}};
  attribute.val.cooperative = 1;
  const cudaLaunchConfig_t config{grid, block, shared, stream, &attribute, 1};
  return cudaLaunchKernelExC(&config, kernel, arguments);
}
template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
template <class... Parameters>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (*kernel)(Parameters...)) {
  return cudaFuncGetAttributes(attributes, reinterpret_cast<const void*>(kernel));
}
template <class... Parameters>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*kernel)(Parameters...),
                                                          int threads, std::size_t dynamic_shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, reinterpret_cast<const void*>(kernel), threads,
                                                       dynamic_shared);
}
template <class... Parameters>
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, void (*kernel)(Parameters...),
                                           const cudaLaunchConfig_t* config) {
  return cudaOccupancyMaxActiveClusters(clusters, reinterpret_cast<const void*>(kernel), config);
}
template <class T>
cudaError_t cudaMalloc(T** pointer, std::size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), bytes);
}
template <class T>
cudaError_t cudaMallocHost(T** pointer, std::size_t bytes) {
  return cudaMallocHost(reinterpret_cast<void**>(pointer), bytes);
}
template <class T>
cudaError_t cudaHostAlloc(T** pointer, std::size_t bytes, unsigned int flags) {
  return cudaHostAlloc(reinterpret_cast<void**>(pointer), bytes, flags);
}
template <class T>
cudaError_t cudaMallocAsync(T** pointer, std::size_t bytes, cudaStream_t stream) {
  return cudaMallocAsync(reinterpret_cast<void**>(pointer), bytes, stream);
}
template <class T>
cudaError_t cudaMemcpyToSymbol(const T& symbol, const void* from, std::size_t bytes, std::size_t offset = 0) {
  return emer::simt::copy_to_symbol(&symbol, sizeof(symbol), from, bytes, offset);
}
// NOLINTEND(readability-identifier-naming)
