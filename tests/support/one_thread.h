// tests/support/one_thread.h - thousands of tiny products are quick on one thread; on several, a busy machine
// makes each of them wait for a core.
#pragma once

#include "core/parallel.h"

namespace emer::test {

class OneThread {
 public:
  OneThread() : before_(thread_count()) { set_thread_count(1); }
  ~OneThread() { set_thread_count(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace emer::test
