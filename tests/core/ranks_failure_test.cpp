// Ranks as threads that fail, hang or make different calls: all others end, with one line.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "core/check.h"
#include "core/collectives.h"
#include "core/ranks/threads_communicator.h"
#include "tests/support/ranks.h"

namespace emer::test {
namespace {

// The error line of each rank, "" where it ended well.
std::vector<std::string> lines_of(int ranks, double timeout, const auto& body) {
  const auto world = thread_communicators(ranks, timeout);
  std::vector<std::string> lines(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      Context ctx(DeviceKind::kCpu, world[static_cast<std::size_t>(r)]);
      try {
        body(ctx);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kDevice);
        lines[static_cast<std::size_t>(r)] = error.what();
      }
    });
  for (std::thread& t : threads) t.join();
  return lines;
}

TEST(RanksFailure, AFailedRankEndsTheOthersNamingIt) {
  try {
    on_ranks(4, [](Context& ctx) {
      if (rank_of(ctx) == 2) {
        ctx.communicator().abort("no data");
        return;
      }
      double x = 1.0;
      all_reduce_sum(ctx, &x, 1);
      ADD_FAILURE() << "rank " << rank_of(ctx) << " went on";
    });
    FAIL() << "nobody noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDevice);
    EXPECT_EQ(std::string(error.what()), "rank 2 of 4 failed: no data");
  }
}

TEST(RanksFailure, LaterCallsEndToo) {
  const std::vector<std::string> lines = lines_of(2, 60.0, [](Context& ctx) {
    double x = 1.0;
    all_reduce_sum(ctx, &x, 1);
    if (rank_of(ctx) == 1) return ctx.communicator().abort("no data");
    for (int k = 0; k < 3; ++k) {
      EXPECT_THROW(ctx.communicator().barrier(), Error);
      EXPECT_THROW(all_reduce_sum(ctx, &x, 1), Error);
      EXPECT_THROW(
          {
            start_all_reduce_sum(ctx, &x, 1);
            wait_started(ctx);
          },
          Error);
    }
    ctx.communicator().abort("a second failure does not replace the first");
    all_reduce_sum(ctx, &x, 1);
  });
  EXPECT_EQ(lines[0], "rank 1 of 2 failed: no data");
}

TEST(RanksFailure, AStartedCallEndsInTheWait) {
  const std::vector<std::string> lines = lines_of(3, 60.0, [](Context& ctx) {
    if (rank_of(ctx) == 1) return ctx.communicator().abort("no data");
    std::vector<float> a(10000, 1.f), b(5, 1.f);
    try {
      start_all_reduce_sum(ctx, a.data(), a.size());
      start_all_reduce_sum(ctx, b.data(), b.size());
    } catch (const Error&) {  // the first may have failed before the second is started
    }
    wait_started(ctx);
  });
  EXPECT_EQ(lines[0], "rank 1 of 3 failed: no data");
  EXPECT_EQ(lines[2], "rank 1 of 3 failed: no data");
}

TEST(RanksFailure, ASilentRankIsNamedAfterTheTimeout) {
  std::atomic<bool> ended = false;
  const std::vector<std::string> lines = lines_of(3, 0.2, [&](Context& ctx) {
    std::vector<double> x(12, 1.0);
    if (rank_of(ctx) > 0)
      while (!ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    try {
      all_reduce_sum(ctx, x.data(), x.size());
    } catch (const Error&) {
      ended = true;
      throw;
    }
  });
  for (const std::string& line : lines)
    EXPECT_EQ(line, "rank 0 of 3: no answer from rank 1, rank 2 for 0.2 s in all_reduce of 12 double");
}

TEST(RanksFailure, DifferentCallsAreToldOnEveryRank) {
  const std::vector<std::string> lines = lines_of(3, 60.0, [](Context& ctx) {
    std::vector<float> x(8, 1.f);
    all_reduce_sum(ctx, x.data(), rank_of(ctx) == 2 ? 7 : 8);
  });
  for (const std::string& line : lines)
    EXPECT_EQ(line, "ranks make different calls: rank 0 all_reduce of 8 float, rank 2 all_reduce of 7 float");
  const std::vector<std::string> others = lines_of(2, 60.0, [](Context& ctx) {
    std::int64_t x = 1;
    rank_of(ctx) == 0 ? ctx.communicator().barrier() : all_reduce_sum(ctx, &x, 1);
  });
  for (const std::string& line : others)
    EXPECT_EQ(line, "ranks make different calls: rank 0 barrier, rank 1 all_reduce of 1 int64");
}

// A sanitizer's runtime does not live with a limit on addresses.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Memory for one rank's part of a sum, but not for two: one of them gives up, and the other must not wait for it.
TEST(RanksFailure, ARankWithoutMemoryForItsPartEndsTheOthers) {
  constexpr std::size_t kCount = 50'000'000;
  const auto world = thread_communicators(2, 60.0);
  const std::unique_ptr<float[]> arrays[2] = {std::unique_ptr<float[]>(new float[kCount]),
                                              std::unique_ptr<float[]>(new float[kCount])};
  std::atomic<bool> limited = false;
  std::atomic<int> ready = 0;
  std::atomic<int> out_of_memory = 0, ended = 0;
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < 2; ++r)
    threads.emplace_back([&, r] {
      float x = 1.f;  // first something small, for a thread's first allocation reserves addresses
      world[r]->run({.in = &x, .out = &x, .count = 1}, nullptr);
      ++ready;
      while (!limited) std::this_thread::yield();
      try {
        world[r]->run({.in = arrays[r].get(), .out = arrays[r].get(), .count = kCount}, nullptr);
      } catch (const std::bad_alloc&) {
        ++out_of_memory;
        world[r]->abort("out of memory");
      } catch (const Error&) {
        ++ended;
      }
    });
  while (ready < 2) std::this_thread::yield();
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  ::getrlimit(RLIMIT_AS, &before);
  rlimit tight = before;
  tight.rlim_cur = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + 3 * kCount;
  ::setrlimit(RLIMIT_AS, &tight);
  limited = true;
  for (std::thread& t : threads) t.join();
  ::setrlimit(RLIMIT_AS, &before);
  EXPECT_EQ(out_of_memory, 1);
  EXPECT_EQ(ended, 1);
}
#endif

// After abort() and wait() a rank's arrays are its own again, whether the others had come to the call or not: the
// sanitizers see who still reads them.
TEST(RanksFailure, AbortAndWaitGiveTheArraysBack) {
  for (int round = 0; round < 40; ++round) {
    const auto world = thread_communicators(3, 60.0);
    std::vector<std::thread> threads;
    for (int r = 0; r < 3; ++r)
      threads.emplace_back([&, r] {
        Communicator& mine = *world[static_cast<std::size_t>(r)];
        auto x = std::make_unique<std::vector<double>>(6000, 1.0);
        const Collective sum{
            .element = Element::kDouble, .in = x->data(), .out = x->data(), .count = x->size()};
        try {
          mine.start(sum, nullptr);
          if (r == 1) {
            if (round % 2 == 0) std::this_thread::yield();
            mine.abort("no data");
          }
          mine.wait(nullptr);
        } catch (const Error& error) {
          EXPECT_EQ(std::string(error.what()), "rank 1 of 3 failed: no data");
        }
        std::fill(x->begin(), x->end(), -1.0);
        x.reset();
      });
    for (std::thread& t : threads) t.join();
  }
}

// The arrays of what was started are gone: the rank's own thread must not touch them, nor the other rank wait.
TEST(RanksFailure, ARankThatLeavesWithCallsUnderWayEndsTheOthers) {
  auto world = thread_communicators(2, 60.0);
  std::vector<double> x(10, 1.0), y(10, 1.0);
  world[1]->start({.element = Element::kDouble, .in = x.data(), .out = x.data(), .count = 10}, nullptr);
  world[1].reset();
  try {
    world[0]->run({.element = Element::kDouble, .in = y.data(), .out = y.data(), .count = 10}, nullptr);
    FAIL() << "rank 0 went on";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "rank 1 of 2 failed: it ended while collectives were under way");
  }
}

}  // namespace
}  // namespace emer::test
