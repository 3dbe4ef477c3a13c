// Facts of the CUDA device: the only file of bench/ that includes CUDA's headers.
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>
#include <fmt/core.h>

#include <fstream>

#include "bench/measure.h"
#include "core/cuda/context_state.h"

namespace emer::bench::cuda {

namespace {

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  EMER_CUDA_CHECK(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

std::string runtime_version(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// "NVRM version: NVIDIA UNIX … Kernel Module  580.159.04  …": the first word that looks like a version.
std::string driver_version() {
  std::ifstream file("/proc/driver/nvidia/version");
  for (std::string word; file >> word;)
    if (word.find_first_not_of("0123456789.") == std::string::npos && word.find('.') != std::string::npos)
      return word;
  return {};
}

}  // namespace

DeviceFacts device_facts(Context& ctx) {
  const emer::cuda::ContextState& state = ctx.cuda_state();
  cudaDeviceProp properties{};
  EMER_CUDA_CHECK(cudaGetDeviceProperties(&properties, state.device));
  int driver = 0, runtime = 0, cublas = 0, cusolver = 0;
  EMER_CUDA_CHECK(cudaDriverGetVersion(&driver));
  EMER_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  DeviceFacts facts;
  facts.name = properties.name;
  facts.driver = driver_version();
  facts.cuda_driver = runtime_version(driver);
  facts.cuda_runtime = runtime_version(runtime);
  if (cublasGetVersion(state.cublas, &cublas) == CUBLAS_STATUS_SUCCESS)
    facts.cublas = fmt::format("{}.{}.{}", cublas / 10000, cublas / 100 % 100, cublas % 100);
  if (cusolverGetVersion(&cusolver) == CUSOLVER_STATUS_SUCCESS)
    facts.cusolver = fmt::format("{}.{}.{}", cusolver / 1000, cusolver / 100 % 10, cusolver % 100);
  facts.multiprocessors = properties.multiProcessorCount;
  facts.clock_mhz = attribute(cudaDevAttrClockRate, state.device) / 1000;
  facts.memory_clock_mhz = attribute(cudaDevAttrMemoryClockRate, state.device) / 1000;
  facts.l2_bytes = static_cast<std::size_t>(properties.l2CacheSize);
  facts.memory_bytes = properties.totalGlobalMem;
  return facts;
}

}  // namespace emer::bench::cuda
