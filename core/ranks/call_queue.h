// core/ranks/call_queue.h - the calls of one rank on a communicator of host arrays: carried out in the order they are
// given by a thread of their own, so that started ones go on while the caller computes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "core/check.h"

namespace emer {

class CallQueue {
 public:
  using Call = std::function<void()>;
  //   kQueue            every call on the queue's thread, which lives as long as the queue: for libraries that take
  //                     calls from one thread only
  //   kCallerWhenIdle   run() on the caller's thread while nothing that was started is under way, which spares two
  //                     switches of thread; the queue's thread lives from the first start() on
  enum class Runs { kQueue, kCallerWhenIdle };

  explicit CallQueue(Runs runs) : runs_(runs) {}
  ~CallQueue();  // what has not begun is dropped
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  // The first call that throws ends all: what is queued is dropped, and every later run(), start() and wait() throws the
  // same Error. run() and wait() return when everything given so far is done.
  void run(Call call);
  void start(Call call);
  void wait();
  bool idle();

  // Drops what is queued, asks what is under way to end (stopping()), runs `last` on the queue's thread when it has, and
  // returns. Later calls throw. The second stop does nothing.
  void stop(Call last);
  // Read by long calls: whoever sees true throws.
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

 private:
  void enqueue(Call call);
  void work();
  void rethrow() const;
  void fail_with(ErrorKind kind, const char* message);

  const Runs runs_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Call> calls_;
  bool busy_ = false;  // the queue's thread is in a call
  bool end_ = false;
  std::atomic<bool> stopping_ = false;
  bool failed_ =
      false;  // `kind_` and `message_` are thrown anew each time: one exception is not shared by threads
  ErrorKind kind_ = ErrorKind::kRunFailed;
  std::string message_;
  std::thread thread_;
};

}  // namespace emer
