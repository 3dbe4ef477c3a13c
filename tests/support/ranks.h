// tests/support/ranks.h - the same test body on worlds of several sizes: ranks as threads of the test program, or, where
// mpirun has started the program, as its processes (then the world has the size it was started with).
#pragma once

#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/communicator.h"
#include "core/context.h"
#include "core/ranks/threads_communicator.h"

namespace emer::test {

// body(ctx) once on each rank, each in its own thread. The first exception is rethrown when all have ended; a rank that
// throws aborts the others.
template <class Body>
void on_ranks(int ranks, Body&& body, DeviceKind device = DeviceKind::kCpu) {
  std::vector<std::shared_ptr<Communicator>> world = thread_communicators(ranks);
  std::exception_ptr first;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      try {
        Context ctx(device, world[static_cast<std::size_t>(r)]);
        body(ctx);
      } catch (const std::exception& error) {
        {
          const std::lock_guard lock(mutex);
          if (!first) first = std::current_exception();
        }
        world[static_cast<std::size_t>(r)]->abort(error.what());
      }
    });
  for (std::thread& t : threads) t.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace emer::test
