// core/device.h - raw memory on a device, and what devices this process can see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace emer {

#ifdef EMER_WITH_CUDA
inline constexpr bool kWithCuda = true;
#else
inline constexpr bool kWithCuda = false;
#endif

enum class DeviceKind { kCpu, kCuda };

const char* name_of(DeviceKind kind);

// 64-byte aligned on the CPU (one cache line, one AVX-512 register), 256-byte aligned on CUDA. Throws
// Error(kDevice) when memory is exhausted. bytes == 0 gives nullptr.
void* device_allocate(DeviceKind kind, std::size_t bytes);
void device_free(DeviceKind kind, void* pointer) noexcept;

// How often memory that recorded work may point into has moved: an arena that merged its blocks, a tensor that
// grew. core/work_graph.h compares two readings.
std::uint64_t device_relocations();
void count_device_relocation();

// One line per accelerator, and why there is none where there is none.
struct DeviceReport {
  std::vector<std::string> cuda_devices;  // "NVIDIA H200, compute capability 9.0, 132 SMs, 139.8 GiB"
  std::string cuda_status;                // "not built in", "driver too old (…)", "2 devices", …
  std::string cuda_runtime;               // "13.0" or empty
  std::string cuda_driver;                // "13.0" or empty
};
DeviceReport report_devices();

// "cpu" | "cuda" | "auto" to a kind. "cuda" without a usable device throws Error(kDevice) with the reason;
// `why` receives a sentence on the choice where it is not null.
DeviceKind choose_device(const std::string& request, std::string* why = nullptr);

namespace cuda {  // defined only with CUDA
void* allocate(std::size_t bytes);
void free(void* pointer) noexcept;
void fill_report(DeviceReport& report);
}  // namespace cuda

}  // namespace emer
