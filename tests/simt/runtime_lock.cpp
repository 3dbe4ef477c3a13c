// The one lock of the emulated device, which a thread may put down while it waits for others.
#include "tests/simt/internal.h"

namespace emer::simt {

RuntimeLock& runtime_lock() {
  static RuntimeLock instance;
  return instance;
}

void RuntimeLock::lock() {
  const std::thread::id me = std::this_thread::get_id();
  if (owner_ != me) {
    mutex_.lock();
    owner_ = me;
  }
  ++depth_;
}
void RuntimeLock::unlock() {
  if (--depth_ > 0) return;
  owner_ = std::thread::id();
  mutex_.unlock();
}
bool RuntimeLock::wait(std::chrono::duration<double> longest, const std::function<bool()>& done) {
  const std::thread::id me = owner_;
  const int depth = depth_;
  depth_ = 0;
  owner_ = std::thread::id();
  std::unique_lock held(mutex_, std::adopt_lock);
  const bool result = changed_.wait_for(held, longest, [&] {
    depth_ = depth;  // done() may use the runtime
    owner_ = me;
    const bool met = done();
    depth_ = 0;
    owner_ = std::thread::id();
    return met;
  });
  static_cast<void>(held.release());
  owner_ = me;
  depth_ = depth;
  return result;
}

}  // namespace emer::simt
