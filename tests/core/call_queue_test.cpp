// The queue of a rank's calls: order, what a failure does to the rest, and ending.
#include "core/ranks/call_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace emer::test {
namespace {

constexpr CallQueue::Runs kBoth[] = {CallQueue::Runs::kQueue, CallQueue::Runs::kCallerWhenIdle};

std::string line_of(const auto& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(CallQueue, CallsKeepTheirOrderAndRunWaitsForWhatWasStarted) {
  for (const CallQueue::Runs runs : kBoth) {
    CallQueue queue(runs);
    std::vector<int>
        order;  // no lock: only one call at a time, and none after run() and wait() have returned
    for (int round = 0; round < 50; ++round) {
      order.clear();
      for (int k = 0; k < 5; ++k) queue.start([&order, k] { order.push_back(k); });
      queue.run([&order] { order.push_back(5); });
      EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
      queue.start([&order] { order.push_back(6); });
      queue.wait();
      EXPECT_EQ(order.size(), 7u);
      EXPECT_TRUE(queue.idle());
    }
  }
}

TEST(CallQueue, RunsWhereItSays) {
  CallQueue own(CallQueue::Runs::kQueue), callers(CallQueue::Runs::kCallerWhenIdle);
  std::thread::id first, second, here;
  own.run([&] { first = std::this_thread::get_id(); });
  own.run([&] { second = std::this_thread::get_id(); });
  callers.run([&] { here = std::this_thread::get_id(); });
  EXPECT_EQ(first, second);
  EXPECT_NE(first, std::this_thread::get_id());
  EXPECT_EQ(here, std::this_thread::get_id());
}

TEST(CallQueue, AFailureDropsTheRestAndIsThrownByEveryLaterCall) {
  for (const CallQueue::Runs runs : kBoth) {
    CallQueue queue(runs);
    std::atomic<bool> hold = true;
    std::atomic<int> later = 0;
    queue.start([&] {
      while (hold) std::this_thread::yield();
      fail(ErrorKind::kDevice, "the cable is out");
    });
    for (int k = 0; k < 3; ++k) queue.start([&] { ++later; });
    hold = false;
    EXPECT_EQ(line_of([&] { queue.wait(); }), "the cable is out");
    EXPECT_EQ(line_of([&] { queue.run([&] { ++later; }); }), "the cable is out");
    EXPECT_EQ(line_of([&] { queue.start([&] { ++later; }); }), "the cable is out");
    EXPECT_EQ(line_of([&] { queue.wait(); }), "the cable is out");
    EXPECT_EQ(later, 0);
  }
}

TEST(CallQueue, OtherExceptionsBecomeErrors) {
  CallQueue queue(CallQueue::Runs::kQueue);
  EXPECT_EQ(line_of([&] { queue.run([] { throw std::runtime_error("no memory"); }); }), "no memory");
}

TEST(CallQueue, StopEndsWhatIsUnderWayAndRunsTheLastCall) {
  for (const CallQueue::Runs runs : kBoth) {
    CallQueue queue(runs);
    std::atomic<bool> entered = false;
    bool last = false, again = false, dropped = true;
    queue.start([&] {
      entered = true;
      while (!queue.stopping()) std::this_thread::yield();
      fail(ErrorKind::kDevice, "given up");
    });
    queue.start([&] { dropped = false; });
    while (!entered) std::this_thread::yield();
    queue.stop([&] { last = true; });
    EXPECT_TRUE(last);
    EXPECT_TRUE(dropped);
    queue.stop([&] { again = true; });
    EXPECT_FALSE(again);
    EXPECT_EQ(line_of([&] { queue.run([] {}); }), "given up");
  }
  CallQueue idle(CallQueue::Runs::kQueue);
  idle.stop([] {});
  EXPECT_EQ(line_of([&] { idle.run([] {}); }), "this rank has ended its part in the run");
}

TEST(CallQueue, TheEndOfAQueueDropsWhatHasNotBegun) {
  std::atomic<bool> entered = false, dropped = true;
  {
    CallQueue queue(CallQueue::Runs::kQueue);
    queue.start([&] {
      entered = true;
      while (!queue.stopping()) std::this_thread::yield();
    });
    queue.start([&] { dropped = false; });
    while (!entered) std::this_thread::yield();
  }
  EXPECT_TRUE(dropped);
}

}  // namespace
}  // namespace emer::test
