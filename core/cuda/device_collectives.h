// core/cuda/device_collectives.h - how core/collectives.h reaches a communicator from CUDA. This header needs no CUDA
// header; its functions are defined only with CUDA.
#pragma once

#include "core/communicator.h"
#include "core/context.h"

namespace emer::cuda {

// Of device arrays, on ctx's stream: by the communicator itself where it takes device arrays, else through pinned host
// memory, which waits for the stream and is an Error(kDevice) while it is recorded.
void run_collective(Context& ctx, const Collective& what);
void start_collective(Context& ctx, const Collective& what);
void wait_started(Context& ctx);

// Of host arrays; returns when it is done.
void run_collective_of_host(Context& ctx, const Collective& what);

}  // namespace emer::cuda
