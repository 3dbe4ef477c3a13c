#include "core/device.h"

#include <cstdlib>
#include <new>

#include "core/check.h"

namespace emer {

const char* name_of(DeviceKind kind) {
  return kind == DeviceKind::kCpu ? "cpu" : "cuda";
}

void* device_allocate(DeviceKind kind, std::size_t bytes) {
  if (bytes == 0) return nullptr;
  if (kind == DeviceKind::kCuda) {
    if constexpr (kWithCuda) return cuda::allocate(bytes);
    fail(ErrorKind::kDevice, "CUDA memory asked for, but this build has no CUDA");
  }
  constexpr std::size_t kLine = 64;
  if (bytes > SIZE_MAX - kLine) fail(ErrorKind::kDevice, "cannot allocate {} bytes", bytes);
  void* pointer = std::aligned_alloc(kLine, (bytes + kLine - 1) / kLine * kLine);
  if (pointer == nullptr)
    fail(ErrorKind::kDevice, "out of memory: {:.1f} MiB could not be allocated; use a smaller batch or model",
         static_cast<double>(bytes) / (1 << 20));
  return pointer;
}

void device_free(DeviceKind kind, void* pointer) noexcept {
  if (pointer == nullptr) return;
  if constexpr (kWithCuda) {
    if (kind == DeviceKind::kCuda) return cuda::free(pointer);
  }
  static_cast<void>(kind);
  std::free(pointer);
}

namespace {
// A context, its arrays and what it records belong to one thread at a time; ranks that are threads of one process do not
// outdate each other's recordings.
thread_local std::uint64_t relocations = 0;
}  // namespace

std::uint64_t device_relocations() {
  return relocations;
}
void count_device_relocation() {
  ++relocations;
}

DeviceReport report_devices() {
  DeviceReport report;
  if constexpr (kWithCuda) {
    cuda::fill_report(report);
  } else {
    report.cuda_status = "not built in (configure with the cuda preset)";
  }
  return report;
}

DeviceKind choose_device(const std::string& request, std::string* why) {
  std::string reason;
  DeviceKind kind = DeviceKind::kCpu;
  if (request == "cpu") {
    reason = "cpu: asked for";
  } else if (request == "cuda" || request == "auto") {
    const DeviceReport report = report_devices();
    if (!report.cuda_devices.empty()) {
      kind = DeviceKind::kCuda;
      reason = "cuda: " + report.cuda_devices.front();
    } else if (request == "cuda") {
      fail(ErrorKind::kDevice, "device: cuda was asked for, but CUDA is {}; use device: cpu",
           report.cuda_status);
    } else {
      reason = "cpu: CUDA is " + report.cuda_status;
    }
  } else {
    fail_usage("device is '{}'; it must be cpu, cuda or auto", request);
  }
  if (why != nullptr) *why = reason;
  return kind;
}

}  // namespace emer
