// engine/ranks.h - one command on several ranks: from the way this process was started (core/ranks/launch_environment.h)
// to a communicator, and one line of error for all of them.
//
//   mpirun                 ranks meet through MPI; arrays over MPI, on GPUs over NCCL
//   srun                   ranks meet over TCP at the first host of the step; arrays likewise
//   RANK, WORLD_SIZE, …    ranks meet over TCP at MASTER_ADDR; arrays over NCCL (on the CPU: mpirun)
//   threads                ranks are threads of this process and share its device
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "core/check.h"
#include "core/communicator.h"

namespace emer {

struct RankOptions {
  std::string comm = "auto";  // auto, threads, mpi, nccl
  int threads = 0;            // ranks of this process, with `threads` only
  std::string
      agreed{};  // rank 0's is told to all: what ranks must have in common, as a folder named by the time
  std::string advice{};  // ends the line where a rank was lost, as "; go on with --resume auto"
};

// What the configuration says about ranks.
struct RankNeeds {
  double timeout = 300.0;       // distributed.timeout
  std::string device = "auto";  // device
};

using RankBody =
    std::function<void(const std::shared_ptr<Communicator>& communicator, const std::string& agreed)>;

// Calls `needs` once and then `body`: once, or with `threads` once for each rank, in a thread of its own. Throws what
// fails where this process is alone. As one of several it ends here, when any rank has failed or is lost: the line is
// printed on one rank (core/ranks/rank_watch.h), and all have its exit code. Returns when all ranks are done.
void run_on_ranks(const RankOptions& options, const std::function<RankNeeds()>& needs, const RankBody& body);

// Whether this process is rank 0: what all ranks find wrong, as a bad command line, one of them says.
bool speaks_for_all() noexcept;

// What main() makes of an exception.
struct Failure {
  ErrorKind kind = ErrorKind::kRunFailed;
  std::string text;
};
Failure failure_of(const std::exception_ptr& error);

// Prints "emer: error: " and the text as one line, whatever it holds: names and values of users end up in it.
void print_failure(const std::string& text);

}  // namespace emer
