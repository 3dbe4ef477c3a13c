// Devices, errors, memory and the switches of tests/simt/runtime.h.
#include "tests/simt/device.h"

#include <cstdio>
#include <unordered_map>

namespace emer::simt {

namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

thread_local cudaError_t t_last_error = cudaSuccess;
thread_local int t_device = 0;

std::unordered_map<const void*, int>& dynamic_limits() {  // by kernel, where it was raised
  static std::unordered_map<const void*, int> limits;
  return limits;
}

}  // namespace

Device::Device() {
  count = static_cast<int>(number_from("EMER_SIMT_DEVICES", 1));
  driver_missing = number_from("EMER_SIMT_NO_DRIVER", 0) != 0;
  multiprocessors = static_cast<int>(number_from("EMER_SIMT_MULTIPROCESSORS", 132));
  fail_in = number_from("EMER_SIMT_FAIL_LAUNCH", 0);
  set_heap_limit(number_from("EMER_SIMT_MEMORY", heap_limit()));
  g_checks = number_from("EMER_SIMT_CHECKS", 1) != 0;
}

Device& device() {
  static Device instance;
  return instance;
}

cudaError_t device_state() {
  if (device().driver_missing) return cudaErrorInsufficientDriver;
  if (device().count == 0) return cudaErrorNoDevice;
  return device().lost;
}

cudaError_t record_error(cudaError_t error) {
  if (error != cudaSuccess) t_last_error = error;
  return error;
}

void set_checks(bool on) {
  const Lock lock(runtime_lock());
  static_cast<void>(device());  // the environment first
  if (on && !g_checks) mark_all_initialised();
  g_checks = on;
}
bool checks() {
  static_cast<void>(device());
  return g_checks;
}
void set_device_count(int devices) {
  device().count = devices;
}
void set_driver_missing(bool missing) {
  device().driver_missing = missing;
}
void set_memory(std::size_t bytes) {
  static_cast<void>(device());
  set_heap_limit(bytes);
}
void set_multiprocessors(int count) {
  device().multiprocessors = count;
}
void fail_launch(std::uint64_t nth, cudaError_t error) {
  device().fail_in = nth;
  device().fail_with = error;
}

Statistics statistics() {
  const Lock lock(runtime_lock());
  Statistics now = device().statistics;
  now.bytes_in_use = heap_in_use();
  now.bytes_at_peak = heap_peak();
  return now;
}
void reset_statistics() {
  const Lock lock(runtime_lock());
  device().statistics = {};
  reset_heap_peak();
}

// ---- ranges, for the shims --------------------------------------------------------------------------------------

namespace {

void check_range(const void* at, std::size_t bytes, bool read, const char* what) {
  if (bytes == 0) return;
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  const auto fail = [&](const std::string& why) {
    throw Fault(std::string("SIMT harness: ") + what + (read ? ": read of " : ": write of ") +
                std::to_string(bytes) + " bytes at " + describe_address(address) + why);
  };
  if (!in_heap(at)) fail(", which is no device memory");
  if (!all_addressable(address, bytes)) fail(", which runs out of bounds");
  if (!g_checks || !read) return;
  if (const std::size_t blank = first_uninitialised(address, bytes); blank != bytes)
    fail(", of which nothing has written byte " + std::to_string(blank));
}

}  // namespace

void check_read(const void* from, std::size_t bytes, const char* what) {
  const Lock lock(runtime_lock());
  check_range(from, bytes, true, what);
}
void check_write(void* to, std::size_t bytes, const char* what) {
  const Lock lock(runtime_lock());
  check_range(to, bytes, false, what);
  if (bytes != 0) set_initialised(reinterpret_cast<std::uintptr_t>(to), bytes);
}
void check_read_matrix(const void* from, std::size_t element, std::int64_t rows, std::int64_t columns,
                       std::int64_t stride, const char* what) {
  const auto* bytes = static_cast<const char*>(from);
  for (std::int64_t c = 0; c < columns; ++c)
    check_read(bytes + static_cast<std::size_t>(c * stride) * element,
               static_cast<std::size_t>(rows) * element, what);
}
void check_write_matrix(void* to, std::size_t element, std::int64_t rows, std::int64_t columns,
                        std::int64_t stride, const char* what) {
  auto* bytes = static_cast<char*>(to);
  for (std::int64_t c = 0; c < columns; ++c)
    check_write(bytes + static_cast<std::size_t>(c * stride) * element,
                static_cast<std::size_t>(rows) * element, what);
}
bool is_device_pointer(const void* pointer) {
  return in_heap(pointer);
}

}  // namespace emer::simt

using namespace emer::simt;

// NOLINTBEGIN(readability-identifier-naming): CUDA's names
cudaError_t cudaGetLastError() {
  const cudaError_t error = device().lost != cudaSuccess ? device().lost : t_last_error;
  t_last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  return device().lost != cudaSuccess ? device().lost : t_last_error;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = device().driver_missing ? 0 : CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (device().driver_missing || device().count == 0) return record_error(device_state());
  *count = device().count;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* ordinal) {
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  *ordinal = t_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int ordinal) {
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (ordinal < 0 || ordinal >= device().count) return record_error(cudaErrorInvalidDevice);
  t_device = ordinal;
  return cudaSuccess;
}
cudaError_t cudaInitDevice(int ordinal, unsigned int, unsigned int) {
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  return ordinal < 0 || ordinal >= device().count ? record_error(cudaErrorInvalidDevice) : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int ordinal) {
  if (device().driver_missing || device().count == 0) return record_error(device_state());
  if (ordinal < 0 || ordinal >= device().count) return record_error(cudaErrorInvalidDevice);
  *p = {};
  std::snprintf(p->name, sizeof p->name, "SIMT harness on the CPU");
  p->totalGlobalMem = heap_limit();
  p->sharedMemPerBlock = kSharedDefault;
  p->sharedMemPerBlockOptin = kSharedOptIn;
  p->sharedMemPerMultiprocessor = 228 * 1024;
  p->reservedSharedMemPerBlock = 1024;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->warpSize = warpSize;
  p->maxThreadsPerBlock = kMostThreads;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = kMostThreads;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->totalConstMem = 65536;
  p->major = 9;
  p->minor = 0;
  p->multiProcessorCount = device().multiprocessors;
  p->canMapHostMemory = p->concurrentKernels = p->unifiedAddressing = p->cooperativeLaunch =
      p->clusterLaunch = 1;
  p->managedMemory = 0;
  p->memoryPoolsSupported = 1;
  p->asyncEngineCount = 1;
  p->memoryBusWidth = 64;
  p->l2CacheSize = 50 << 20;
  p->maxThreadsPerMultiProcessor = 2048;
  p->maxBlocksPerMultiProcessor = 32;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int ordinal) {
  cudaDeviceProp p;
  if (const cudaError_t error = cudaGetDeviceProperties(&p, ordinal); error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      return cudaSuccess;
    case cudaDevAttrMaxGridDimX:
      *value = p.maxGridSize[0];
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(p.sharedMemPerBlock);
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      return cudaSuccess;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = p.regsPerBlock;
      return cudaSuccess;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
      *value = 1000000;  // kHz
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = p.memoryBusWidth;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.sharedMemPerMultiprocessor);
      return cudaSuccess;
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrClusterLaunch:
      *value = 1;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      return cudaSuccess;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = p.maxBlocksPerMultiProcessor;
      return cudaSuccess;
  }
  return record_error(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceSynchronize() {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (const cudaError_t refused = refuse_in_capture(); refused != cudaSuccess) return record_error(refused);
  ++device().statistics.synchronisations;
  return cudaSuccess;
}

cudaError_t cudaDeviceReset() {
  const Lock lock(runtime_lock());
  if (device().driver_missing || device().count == 0) return record_error(device_state());
  device().lost = cudaSuccess;
  t_last_error = cudaSuccess;
  heap_free_all();
  return cudaSuccess;
}

// ---- memory -----------------------------------------------------------------------------------------------------

namespace {

cudaError_t allocate(void** pointer, std::size_t bytes, MemoryKind kind) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (const cudaError_t refused = refuse_in_capture(); refused != cudaSuccess) return record_error(refused);
  if (pointer == nullptr) return record_error(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  *pointer = heap_allocate(bytes, kind);
  if (*pointer == nullptr) return record_error(cudaErrorMemoryAllocation);
  ++device().statistics.allocations;
  return cudaSuccess;
}

cudaError_t release(void* pointer, MemoryKind kind) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t refused = refuse_in_capture(); refused != cudaSuccess) return record_error(refused);
  if (!heap_free(pointer, kind)) return record_error(cudaErrorInvalidValue);
  ++device().statistics.frees;
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return allocate(pointer, bytes, MemoryKind::kDevice);
}
cudaError_t cudaFree(void* pointer) {
  return release(pointer, MemoryKind::kDevice);
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return allocate(pointer, bytes, MemoryKind::kPinned);
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned int) {
  return allocate(pointer, bytes, MemoryKind::kPinned);
}
cudaError_t cudaFreeHost(void* pointer) {
  return release(pointer, MemoryKind::kPinned);
}
// Memory nodes of graphs are not emulated: refused during capture, where CUDA would record them.
cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t stream) {
  if (is_capturing(stream)) return record_error(cudaErrorNotSupported);
  return allocate(pointer, bytes, MemoryKind::kDevice);
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  if (is_capturing(stream)) return record_error(cudaErrorNotSupported);
  return release(pointer, MemoryKind::kDevice);
}

cudaError_t cudaMemGetInfo(std::size_t* available, std::size_t* total) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  *total = heap_limit();
  *available = heap_limit() - std::min(heap_limit(), heap_in_use());
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  const PointerKind kind = kind_of(pointer);
  void* const same = const_cast<void*>(pointer);
  *attributes = {};
  attributes->device = kind == PointerKind::kUnknown ? -2 : 0;
  attributes->type = kind == PointerKind::kDevice   ? cudaMemoryTypeDevice
                     : kind == PointerKind::kPinned ? cudaMemoryTypeHost
                                                    : cudaMemoryTypeUnregistered;
  attributes->devicePointer = kind == PointerKind::kUnknown ? nullptr : same;
  attributes->hostPointer = kind == PointerKind::kDevice ? nullptr : same;
  return cudaSuccess;
}

// ---- kernels ----------------------------------------------------------------------------------------------------

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (kernel == nullptr) return record_error(cudaErrorInvalidDeviceFunction);
  if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
    if (value < 0 || static_cast<std::size_t>(value) > kSharedOptIn)
      return record_error(cudaErrorInvalidValue);
    dynamic_limits()[kernel] = value;
  }
  return cudaSuccess;
}

std::size_t emer::simt::dynamic_limit(const void* kernel) {
  const auto found = dynamic_limits().find(kernel);
  return found == dynamic_limits().end() ? kSharedDefault : static_cast<std::size_t>(found->second);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  *attributes = {};
  attributes->maxThreadsPerBlock = kMostThreads;
  attributes->ptxVersion = attributes->binaryVersion = 90;
  attributes->maxDynamicSharedSizeBytes = static_cast<int>(dynamic_limit(kernel));
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads,
                                                          std::size_t dynamic_shared) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (threads <= 0) return record_error(cudaErrorInvalidValue);
  const std::size_t by_threads = 2048 / (static_cast<std::size_t>(threads + 31) / 32 * 32);
  const std::size_t by_shared = 228 * 1024 / (dynamic_shared + 1024);  // the system keeps 1 KiB of each block
  const bool fits = threads <= static_cast<int>(kMostThreads) && dynamic_shared <= kSharedOptIn;
  *blocks = fits ? static_cast<int>(std::min<std::size_t>({by_threads, by_shared, 32})) : 0;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* kernel,
                                           const cudaLaunchConfig_t* config) {
  int blocks = 0;
  const dim3 block = config->blockDim;
  const cudaError_t error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      &blocks, kernel, static_cast<int>(block.x * block.y * block.z), config->dynamicSmemBytes);
  if (error != cudaSuccess) return error;
  unsigned size = 1;
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id == cudaLaunchAttributeClusterDimension)
      size = config->attrs[i].val.clusterDim.x * config->attrs[i].val.clusterDim.y *
             config->attrs[i].val.clusterDim.z;
  *clusters = blocks * device().multiprocessors / static_cast<int>(size);
  return cudaSuccess;
}
// NOLINTEND(readability-identifier-naming)
