// The CUDA runtime behind core/device.h and core/context.h.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include "core/check.h"
#include "core/context.h"
#include "core/cuda/lost_device.h"
#include "core/cuda/rank_state.h"

namespace emer::cuda {

namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  // what cuBLAS documents as enough on sm_90

void check_cublas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(ErrorKind::kDevice, "{}: {}", what, cublasGetStatusString(status));
}

void check_cusolver(cusolverStatus_t status, const char* what) {
  if (status != CUSOLVER_STATUS_SUCCESS)
    fail(ErrorKind::kDevice, "{}: cuSOLVER status {}", what, static_cast<int>(status));
}

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// A lost device fails every call from then on; the first failure is thrown and is the one to report.
std::atomic<bool> device_failed{false};

}  // namespace

void log_failure(cudaError_t status, const char* what) noexcept {
  if (status != cudaSuccess && !device_failed)
    std::fprintf(stderr, "emer: %s: %s\n", what, cudaGetErrorString(status));
}

void fail_call(cudaError_t status, const char* what, const char* file, int line) {
  device_failed = true;
  fail(ErrorKind::kDevice, "the CUDA device failed: {} ({}), noticed at {} in {}:{}",
       cudaGetErrorString(status), cudaGetErrorName(status), what, file, line);
}

void fail_kernel(cudaError_t status, const char* kernel) {
  device_failed = true;
  fail(ErrorKind::kDevice, "the CUDA device failed: {} ({}), noticed at kernel {}",
       cudaGetErrorString(status), cudaGetErrorName(status), kernel);
}

void fail_if_lost(const char* what) {
  const cudaError_t status = cudaGetLastError();
  // From 700 on are errors of kernels, which no later call gets past; from 900 on those of recordings.
  if (status >= cudaErrorIllegalAddress && status < cudaErrorStreamCaptureUnsupported)
    fail_kernel(status, what);
}

ContextState::ContextState() {
  EMER_CUDA_CHECK(cudaGetDevice(&device));
  int value = 0;
  EMER_CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  EMER_CUDA_CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  shared_memory_limit = static_cast<std::size_t>(value);
  EMER_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  EMER_CUDA_CHECK(cudaEventCreateWithFlags(&done, cudaEventDisableTiming));
  check_cublas(cublasCreate(&cublas), "cublasCreate");
  check_cublas(cublasSetStream(cublas, stream), "cublasSetStream");
  workspace_bytes = kWorkspaceBytes;
  workspace = allocate(workspace_bytes);
  check_cublas(cublasSetWorkspace(cublas, workspace, workspace_bytes), "cublasSetWorkspace");
  check_cublas(cublasLtCreate(&cublas_lt), "cublasLtCreate");
  check_cusolver(cusolverDnCreate(&cusolver), "cusolverDnCreate");
  check_cusolver(cusolverDnSetStream(cusolver, stream), "cusolverDnSetStream");
}

ContextState::~ContextState() {
  if (cusolver != nullptr) cusolverDnDestroy(cusolver);
  if (cublas_lt != nullptr) cublasLtDestroy(cublas_lt);
  if (cublas != nullptr) cublasDestroy(cublas);
  if (workspace != nullptr) free(workspace);
  if (done != nullptr) log_failure(cudaEventDestroy(done), "cudaEventDestroy");
  if (stream != nullptr) log_failure(cudaStreamDestroy(stream), "cudaStreamDestroy");
}

std::shared_ptr<ContextState> make_context_state() {
  return std::make_shared<RankState>();
}

void synchronize(ContextState& state) {
  StreamWatch* const watch = rank_state(state).watch;
  if (watch == nullptr) {
    EMER_CUDA_CHECK(cudaStreamSynchronize(state.stream));
    return;
  }
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  for (;;) {
    const cudaError_t status = cudaStreamQuery(state.stream);
    if (status == cudaErrorNotReady)
      cudaGetLastError();  // remembered as if it were a failure
    else
      EMER_CUDA_CHECK(status);
    watch->check();
    if (status == cudaSuccess) return;
    const double waited = std::chrono::duration<double>(Clock::now() - begin).count();
    if (waited > watch->timeout_seconds()) watch->waited_too_long();
    // Short waits, as for one value, are not made longer; long ones leave the core to others.
    if (waited > 100e-6) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void order_after(ContextState& state, ContextState& other) {
  EMER_CUDA_CHECK(cudaEventRecord(other.done, other.stream));
  EMER_CUDA_CHECK(cudaStreamWaitEvent(state.stream, other.done, 0));
}

void copy(ContextState& state, void* to, const void* from, std::size_t bytes, bool wait) {
  // A copy of pageable memory waits for the stream inside the runtime, where nobody can be asked.
  if (wait && rank_state(state).watch != nullptr) synchronize(state);
  EMER_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, state.stream));
  if (wait) synchronize(state);
}

void fill_zero(ContextState& state, void* device, std::size_t bytes) {
  EMER_CUDA_CHECK(cudaMemsetAsync(device, 0, bytes, state.stream));
}

void* allocate(std::size_t bytes) {
  void* pointer = nullptr;
  const cudaError_t status = cudaMalloc(&pointer, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // clears the error, which is not sticky
    fail(ErrorKind::kDevice,
         "out of GPU memory: {:.1f} MiB could not be allocated; use a smaller batch or model",
         static_cast<double>(bytes) / (1 << 20));
  }
  EMER_CUDA_CHECK(status);
  return pointer;
}

void free(void* pointer) noexcept {
  log_failure(cudaFree(pointer), "cudaFree");
}

void fill_report(DeviceReport& report) {
  int runtime = 0, driver = 0, count = 0;
  if (cudaRuntimeGetVersion(&runtime) == cudaSuccess) report.cuda_runtime = version_text(runtime);
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0) report.cuda_driver = version_text(driver);
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    cudaGetLastError();
    report.cuda_status = fmt::format("built in, but no usable device: {}", cudaGetErrorString(status));
    return;
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp device{};
    if (cudaGetDeviceProperties(&device, i) != cudaSuccess) continue;
    report.cuda_devices.push_back(fmt::format("{}, compute capability {}.{}, {} SMs, {:.1f} GiB", device.name,
                                              device.major, device.minor, device.multiProcessorCount,
                                              static_cast<double>(device.totalGlobalMem) / (1ull << 30)));
  }
  report.cuda_status = fmt::format("built in, {} device{}", count, count == 1 ? "" : "s");
}

}  // namespace emer::cuda
