// core/cuda/nccl_communicator.h - ranks with a GPU each, over NVIDIA's NCCL. This header needs no CUDA header; its
// functions are defined only with CUDA.
//
// Arrays are in device memory and calls are enqueued on streams: both may be recorded in a CUDA graph, started ones with
// their fork and join. Graphs that hold calls must be gone before the communicator is.
//
// Sums: in an order that NCCL chooses from the number of elements and the machines between the ranks, not in rank order;
// one rank makes each sum and passes it on, so that all ranks have the same bits. Another number of elements in one call
// may mean other bits.
//
// NCCL itself says nothing of a rank that is gone while its neighbours wait on one machine: a wait for a stream that takes
// calls of this communicator (core/cuda/rank_state.h) asks for errors meanwhile, and fails after `timeout_seconds`, or
// when abort() has been called, which any thread may do.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "core/communicator.h"

namespace emer {

// What the ranks of one communicator must have in common: made by one, carried to the others by any means.
struct NcclId {
  std::array<std::uint8_t, 128> bytes{};
};
NcclId new_nccl_id();

// Returns when all `ranks` have called it with the same id. `device` becomes the calling thread's device; no two ranks may
// have the same one. Error(kDevice) where NCCL is missing, refuses, or takes longer than `timeout_seconds`.
std::shared_ptr<Communicator> nccl_communicator(int rank, int ranks, int device, const NcclId& id,
                                                double timeout_seconds);

// "2.28.9", or why there is none.
std::string nccl_status();

}  // namespace emer
