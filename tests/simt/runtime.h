// tests/simt/runtime.h - the SIMT harness: the CUDA engine, host code and kernels, on a machine without a GPU.
//
// A kernel runs as one fiber per device thread, block by block, with real barriers, warp operations, shared
// memory, atomics, clusters and cooperative grids. Sources with device code are compiled with -fsanitize=thread,
// and the harness answers the calls which that inserts before every access (libtsan is not linked). Against a
// shadow of all device memory it reports, as an exception thrown by the launch:
//   races            two accesses to one byte in one launch, one of them a write, not both atomic, and not ordered
//                    by: one thread; __syncthreads (one block); __syncwarp (lanes of its mask); a cluster barrier;
//                    or a release (fence, then atomic or volatile write; store_release) seen by an atomic or volatile
//                    read of the same address, and whatever these orders imply together. A relaxed atomic read
//                    counts as acquire without a fence behind it, which is kinder than the PTX model. Atomics alone
//                    order nothing. Shuffles and votes order nothing.
//   bad addresses    outside a live allocation by as little as one byte, freed, host memory, another thread's stack,
//                    misaligned vectors, a static __shared__ array in a kernel whose blocks live at once
//   uninitialised    reads of device or shared memory which nothing has written
//   divergence       __syncthreads not reached by all threads of the block from one place; lanes of one warp
//                    in different warp operations; shuffles from lanes that do not take part
//   deadlock         all threads wait, or spin without progress
// What it does not see: whole structures copied by device code that clang before 15 compiled (it calls memcpy for
// them, where others call the harness); a thread's accesses between its arrival at a cluster barrier and the last
// arrival, which count as before the barrier; accesses between streams (work runs in order of submission); local arrays
// (own stack); tensor-core instructions; anything about time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include "driver_types.h"

namespace emer::simt {

// What a launch, a library shim or a copy throws when a check fails; what() is one line.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// ---- for the library shims ----------------------------------------------------------------------------------
// Work of a library call: runs now, or is recorded when the stream is being captured, and again at each launch of
// the graph. All reads and writes of device memory belong inside `work`. Returns cudaSuccess, or why the stream
// did not take it. Exceptions of `work` pass through.
cudaError_t submit(cudaStream_t stream, std::function<void()> work, const char* name = "library call");

// Inside `work`: the range must lie in one live device (or pinned) allocation. check_read: every byte must have
// been written; check_write: counts as written from now on. bytes == 0 is always right.
void check_read(const void* from, std::size_t bytes, const char* what);
void check_write(void* to, std::size_t bytes, const char* what);
// Column-major matrices of leading dimension `stride` (elements): checks the columns, not the gaps between them.
void check_read_matrix(const void* from, std::size_t element, std::int64_t rows, std::int64_t columns,
                       std::int64_t stride, const char* what);
void check_write_matrix(void* to, std::size_t element, std::int64_t rows, std::int64_t columns,
                        std::int64_t stride, const char* what);
bool is_device_pointer(const void* pointer);  // in any device or pinned allocation, live or not

// ---- switches -----------------------------------------------------------------------------------------------
// Shadow checks of device accesses; on at start. Off is several times quicker; what was allocated until they are on
// again counts as written.                                            EMER_SIMT_CHECKS=0
void set_checks(bool on);
bool checks();

enum class Schedule { kForward, kReverse, kRandom };  // order of a block's threads between barriers
void set_schedule(Schedule schedule, std::uint64_t seed = 0);

void set_device_count(int devices);     // 0: as if none            EMER_SIMT_DEVICES
void set_driver_missing(bool missing);  // cudaErrorInsufficientDriver   EMER_SIMT_NO_DRIVER=1
void set_memory(std::size_t bytes);     // device memory            EMER_SIMT_MEMORY
void set_multiprocessors(int count);    // 132 at start             EMER_SIMT_MULTIPROCESSORS
// The nth launch from now (1 = next) loses the device: this error from then on, from every call that asks the
// device for anything, until cudaDeviceReset. 0 cancels.                EMER_SIMT_FAIL_LAUNCH
void fail_launch(std::uint64_t nth, cudaError_t error = cudaErrorIllegalAddress);

// ---- what happened ------------------------------------------------------------------------------------------
struct Statistics {
  std::uint64_t launches = 0;       // kernels run, directly or by a graph
  std::uint64_t library_calls = 0;  // work of submit() run
  std::uint64_t graph_launches = 0;
  std::uint64_t graphs = 0;       // graphs instantiated
  std::uint64_t allocations = 0;  // device and pinned
  std::uint64_t frees = 0;
  std::uint64_t synchronisations = 0;  // of stream, event or device, and blocking copies
  std::uint64_t copies_to_device = 0;
  std::uint64_t copies_to_host = 0;
  std::uint64_t copies_on_device = 0;
  std::size_t bytes_in_use = 0;  // device memory
  std::size_t bytes_at_peak = 0;
};
Statistics statistics();
void reset_statistics();  // counts to zero; the peak becomes what is in use

}  // namespace emer::simt
