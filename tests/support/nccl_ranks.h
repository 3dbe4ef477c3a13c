// tests/support/nccl_ranks.h - ranks as threads that meet through NCCL: the harness's stand-in, where they share the one
// emulated device, or the library, which wants a GPU for each.
#pragma once

#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/context.h"
#include "core/cuda/nccl_communicator.h"

namespace emer::test {

#ifdef EMER_SIMT
inline constexpr int kMostNcclRanks = 3;
#else
inline constexpr int kMostNcclRanks = 1;
#endif

// Why ranks cannot meet so here; empty where they can.
inline std::string no_nccl_reason() {
  const std::string status = nccl_status();
  return status.empty() || status[0] != '2' ? "no NCCL: " + status : std::string();
}

// body(ctx) once on each rank, each in its own thread. The first exception is rethrown when all have ended; a rank that
// throws aborts its communicator.
template <class Body>
void on_nccl_ranks(int ranks, Body&& body, double timeout_seconds = 60.0) {
  const NcclId id = new_nccl_id();
  std::exception_ptr first;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      std::shared_ptr<Communicator> communicator;
      try {
        communicator = nccl_communicator(r, ranks, 0, id, timeout_seconds);
        Context ctx(DeviceKind::kCuda, communicator);
        body(ctx);
      } catch (const std::exception& error) {
        {
          const std::lock_guard lock(mutex);
          if (!first) first = std::current_exception();
        }
        if (communicator != nullptr) communicator->abort(error.what());
      }
    });
  for (std::thread& t : threads) t.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace emer::test
