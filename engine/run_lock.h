// engine/run_lock.h - one run at a time in a run folder: two would take each other's checkpoints away.
#pragma once

#include <chrono>
#include <string>

namespace emer {

// Holds `folder`/lock as long as it lives; the system lets go of it when the process ends, in whatever way. Waits up to
// `patience`, for a run that was just killed may not have ended yet, then throws Error(kRunFailed). Where the file system
// has no locks, or refuses the file, nothing is guarded: what is wrong there is told by what is written next.
class RunLock {
 public:
  RunLock(const std::string& folder, std::chrono::duration<double> patience);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int file_ = -1;
};

}  // namespace emer
