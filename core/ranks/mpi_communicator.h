// core/ranks/mpi_communicator.h - ranks as processes that mpirun or srun has started: host arrays over MPI.
#pragma once

#include <memory>

#include "core/communicator.h"
#include "core/ranks/host_calls.h"

namespace emer {

// The world this process was started in, the same communicator each time; the latest `timeout` counts. The first call
// initialises MPI, the end of the process finalises it, once every rank has come there. Where nothing has started this
// process as a rank it is a world of one. Without MPI in the build: Error(kUsage).
//
// MPI only moves bytes: sums are formed here, in rank order, so every rank has the same bits whatever MPI does inside.
// All its calls are made by one thread of ours (MPI_THREAD_FUNNELED is enough), which goes on while the caller computes
// and backs off while it waits, so that more ranks than cores get along.
//
// Error(kDevice) on this rank: what MPI reports; no answer for `timeout` seconds, naming who is silent; calls that do
// not match, which show as silence; a rank that ends its process while this one waits for it. The caller then tells the
// others by abort(), as after any failure of its own: the line travels as a message of its own, and every rank looks for
// one whenever it enters a call or waits in one. abort() returns when all have it, and after five seconds anyway. After a
// failure MPI is not finalised: the process is meant to end, and mpirun ends those that are left.
std::shared_ptr<Communicator> mpi_communicator(double timeout = kRankTimeout);

}  // namespace emer
