#include "core/ranks/call_queue.h"

#include <exception>
#include <utility>

namespace emer {

CallQueue::~CallQueue() {
  {
    const std::lock_guard lock(mutex_);
    calls_.clear();
    end_ = true;
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void CallQueue::run(Call call) {
  std::unique_lock lock(mutex_);
  rethrow();
  if (runs_ == Runs::kCallerWhenIdle && calls_.empty() && !busy_) {
    lock.unlock();
    call();
    return;
  }
  enqueue(std::move(call));
  changed_.wait(lock, [&] { return calls_.empty() && !busy_; });
  rethrow();
}

void CallQueue::start(Call call) {
  const std::lock_guard lock(mutex_);
  rethrow();
  enqueue(std::move(call));
}

void CallQueue::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return calls_.empty() && !busy_; });
  rethrow();
}

bool CallQueue::idle() {
  const std::lock_guard lock(mutex_);
  return calls_.empty() && !busy_;
}

void CallQueue::stop(Call last) {
  std::unique_lock lock(mutex_);
  if (stopping_) return;
  stopping_ = true;
  calls_.clear();
  changed_.wait(lock, [&] { return !busy_; });
  fail_with(ErrorKind::kDevice, "this rank has ended its part in the run");
  enqueue(std::move(last));
  changed_.wait(lock, [&] { return calls_.empty() && !busy_; });
}

void CallQueue::enqueue(Call call) {
  calls_.push_back(std::move(call));
  changed_.notify_all();
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
}

void CallQueue::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return end_ || !calls_.empty(); });
    if (calls_.empty()) return;
    const Call call = std::move(calls_.front());
    calls_.pop_front();
    busy_ = true;
    lock.unlock();
    ErrorKind kind = ErrorKind::kRunFailed;
    std::string message;
    bool threw = true;
    try {
      call();
      threw = false;
    } catch (const Error& error) {
      kind = error.kind();
      message = error.what();
    } catch (const std::exception& error) {
      message = error.what();
    }
    lock.lock();
    busy_ = false;
    if (threw) {
      calls_.clear();
      fail_with(kind, message.c_str());
    }
    changed_.notify_all();
  }
}

void CallQueue::rethrow() const {
  if (failed_) throw Error(kind_, message_.c_str());
}

void CallQueue::fail_with(ErrorKind kind, const char* message) {
  if (failed_) return;
  failed_ = true;
  kind_ = kind;
  message_ = message;
}

}  // namespace emer
