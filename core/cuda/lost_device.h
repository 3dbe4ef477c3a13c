// core/cuda/lost_device.h - what a CUDA library says of a device that an earlier kernel has lost ("failed to launch") helps
// nobody. This header needs no CUDA header.
#pragma once

namespace emer::cuda {

// Throws Error(kDevice) with what the runtime knows of it, where the device is lost; for calls of libraries that failed.
void fail_if_lost(const char* what);

}  // namespace emer::cuda
