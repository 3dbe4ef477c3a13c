// core/ranks/threads_communicator.h - N ranks in one process, a thread each: for tests, and for several ranks on one
// device.
#pragma once

#include <memory>
#include <vector>

#include "core/communicator.h"
#include "core/ranks/host_calls.h"

namespace emer {

// One communicator a rank, to be used by one thread each. Sums are in rank order, the same bits on every rank; of large
// arrays each rank adds up a slice. What is started is carried out by a second thread of the rank.
//
// After abort() of one rank every call of every other throws Error(kDevice) naming it; what all ranks have entered by
// then is still carried out. So does a call that a rank has not entered `timeout` seconds after another, and calls that
// do not match: on every rank, with the same line.
std::vector<std::shared_ptr<Communicator>> thread_communicators(int ranks, double timeout = kRankTimeout);

}  // namespace emer
