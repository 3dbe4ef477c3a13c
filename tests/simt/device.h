// tests/simt/device.h - the emulated device's state, and the queue of work behind every asynchronous call.
#pragma once

#include <functional>

#include "tests/simt/internal.h"

namespace emer::simt {

struct Device {
  int count = 1;
  bool driver_missing = false;
  int multiprocessors = 132;
  cudaError_t lost = cudaSuccess;  // sticky: every call gives it
  std::uint64_t fail_in = 0;       // launches until the device is lost; 0: never
  cudaError_t fail_with = cudaErrorIllegalAddress;
  Statistics statistics;
  Device();
};
Device& device();

inline constexpr std::size_t kSharedOptIn = 227 * 1024;
inline constexpr std::size_t kSharedDefault = 48 * 1024;
inline constexpr unsigned kMostThreads = 1024;

// First thing of every call that asks for the device: why it cannot be had, or cudaSuccess.
cudaError_t device_state();
cudaError_t record_error(cudaError_t error);  // what cudaGetLastError will say; returns its argument

// Runs work now, or records it where the stream is being captured.
cudaError_t enqueue(cudaStream_t stream, cudaGraphNodeType kind, std::function<void()> work);
// The stream whose work runs now never ends, and takes with it those that wait for it, until end_hanging(by).
void hang_running_stream(const void* by);
void end_hanging(const void* by);
bool hangs(cudaStream_t stream);
// For calls that must not happen while a capture is going on (allocation, device-wide waits): refuses, and
// invalidates that capture.
cudaError_t refuse_in_capture();
bool is_capturing(cudaStream_t stream);
void invalidate_capture(cudaStream_t stream);

}  // namespace emer::simt
