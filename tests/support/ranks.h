// tests/support/ranks.h - the same test body on worlds of several sizes: ranks as threads of the test program, or, where
// mpirun has started the program, as its processes (then the world has the size it was started with).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/communicator.h"
#include "core/context.h"
#include "core/parallel.h"
#include "core/ranks/mpi_communicator.h"
#include "core/ranks/threads_communicator.h"

namespace emer::test {

// A rank that waits longer than this has been left alone.
inline constexpr double kTestTimeout = 60.0;

// Whether ranks are processes: then a body sees its own rank's variables only, and what it finds must be judged inside.
inline bool ranks_are_processes() {
  return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr || std::getenv("PMI_SIZE") != nullptr;
}

// Whether on_ranks(ranks) runs its body: always with threads; with processes the world is as large as it is.
inline bool has_world_of(int ranks) {
  return ranks == 1 || !ranks_are_processes() || mpi_communicator(kTestTimeout)->size() == ranks;
}

// Those of the sizes that can be had: all of them with threads.
inline std::vector<int> worlds(std::initializer_list<int> sizes = {1, 2, 3, 4, 8}) {
  std::vector<int> all;
  std::copy_if(sizes.begin(), sizes.end(), std::back_inserter(all), has_world_of);
  return all;
}

// body(ctx) once on each rank, each in its own thread; with processes on this one's rank, and not at all where the world
// has another size (a world of one is every process for itself). The first exception is rethrown when all have ended;
// a rank that throws, or returns because an ASSERT failed, aborts the others.
template <class Body>
void on_ranks(int ranks, Body&& body, DeviceKind device = DeviceKind::kCpu) {
  if (!has_world_of(ranks)) return;
  if (ranks_are_processes()) {
    Context ctx(device, ranks == 1 ? local_communicator() : mpi_communicator(kTestTimeout));
    try {
      body(ctx);
      if (::testing::Test::HasFatalFailure()) throw std::runtime_error("a check of the test failed");
      ctx.communicator().barrier();
    } catch (const std::exception& error) {
      ctx.communicator().abort(error.what());
      throw;
    }
    return;
  }
  std::vector<std::shared_ptr<Communicator>> world = thread_communicators(ranks, kTestTimeout);
  std::exception_ptr first;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      try {
        set_thread_count(thread_count());  // OpenBLAS keeps it by thread
        Context ctx(device, world[static_cast<std::size_t>(r)]);
        body(ctx);
        if (::testing::Test::HasFatalFailure()) ctx.communicator().abort("a check of the test failed");
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
