// core/ranks/mpi_world.h - what the communicator over MPI needs of MPI: bytes to and from every rank, with an end to
// waiting, and failures that are told. Only in builds with MPI.
#pragma once

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/communicator.h"
#include "core/ranks/call_queue.h"

namespace emer {

// All of it is called on the queue's thread. rank() and size() do not change after initialise().
class MpiWorld {
 public:
  // Waiting ends when `queue` is stopping, and after `timeout` seconds.
  MpiWorld(const CallQueue& queue, const std::atomic<double>& timeout) : queue_(queue), timeout_(timeout) {}

  void initialise();
  int rank() const { return rank_; }
  int size() const { return size_; }

  // Between begin() and end of a call, its exchanges. `call` is named in errors; nullptr: a barrier.
  void begin(const Collective* call);

  // Rank q gets out[q], and what it sends lands in in[q]; one's own are not looked at, empty ones do not travel. The
  // memory must live as long as this object: a call that is given up leaves it to MPI.
  struct Parcel {
    void* at = nullptr;
    std::size_t bytes = 0;  // up to INT_MAX
  };
  void exchange(const std::vector<Parcel>& out, const std::vector<Parcel>& in);

  // Tells the others that this rank cannot go on, unless another one has told it. From then on nothing works.
  void tell(const std::string& why) noexcept;

  // If nothing has failed: tells the others that this rank has come to its end, waits until all have, and ends MPI.
  void finish() noexcept;

 private:
  int tag() const;
  void complete(std::vector<MPI_Request>& requests, const std::vector<int>& from);
  std::string silent(std::vector<MPI_Request>& requests, const std::vector<int>& from);
  void hear();
  void hear_ends();
  int gone(std::vector<MPI_Request>& requests, const std::vector<int>& from);
  std::optional<std::string> take_line();
  [[noreturn]] void fail_with(const std::string& line);
  void check(int code, const char* what);

  const CallQueue& queue_;
  const std::atomic<double>& timeout_;
  MPI_Comm data_ = MPI_COMM_NULL;
  MPI_Comm control_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  bool healthy_ = false;
  bool told_ = false;
  bool finishing_ = false;
  std::optional<std::string> heard_;
  std::string line_;                  // what is told
  const Collective* call_ = nullptr;  // the call under way
  std::uint64_t calls_ = 0;
  using Clock = std::chrono::steady_clock;
  std::vector<std::optional<Clock::time_point>> ended_;  // when each rank said so
};

}  // namespace emer
