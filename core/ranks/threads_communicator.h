// core/ranks/threads_communicator.h - N ranks in one process, a thread each: for tests, and for several ranks on one
// device.
#pragma once

#include <memory>
#include <vector>

#include "core/communicator.h"

namespace emer {

// One communicator a rank, to be used by one thread each. Sums are in rank order, the same bits on every rank. After
// abort() of one rank every call of every other throws Error(kDevice) naming it.
std::vector<std::shared_ptr<Communicator>> thread_communicators(int ranks);

}  // namespace emer
