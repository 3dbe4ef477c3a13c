#ifdef EMER_WITH_MPI

#include "core/ranks/mpi_world.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/check.h"
#include "core/ranks/host_calls.h"

namespace emer {

namespace {

// Messages on the control communicator.
constexpr int kFailure = 0;  // the line
constexpr int kEnd = 1;      // empty
// Arrays that a rank sent before its end may arrive after the news of it.
constexpr double kLateSeconds = 1.0;
// How long tell() waits for the others, which may be computing.
constexpr double kTellSeconds = 5.0;
constexpr std::size_t kLongestLine = 4000;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Yields at first, then sleeps a small part of the time already waited: the answer comes late by that part at most, and
// ranks that share a core with this one can compute.
void back_off(double waited) {
  if (waited < 200e-6)
    std::this_thread::yield();
  else
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(waited / 64, 5e-3)));
}

}  // namespace

void MpiWorld::initialise() {
  int before = 0, level = 0;
  MPI_Initialized(&before);
  if (before != 0) fail(ErrorKind::kDevice, "MPI was initialised before emer could do it");
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "initialisation");
  if (level < MPI_THREAD_FUNNELED)
    fail(ErrorKind::kDevice, "this MPI does not work in programs with threads (level {})", level);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  check(MPI_Comm_dup(MPI_COMM_WORLD, &data_), "communicator for arrays");
  check(MPI_Comm_dup(MPI_COMM_WORLD, &control_), "communicator for failures");
  check(MPI_Comm_rank(data_, &rank_), "rank");
  check(MPI_Comm_size(data_, &size_), "size");
  ended_.resize(static_cast<std::size_t>(size_));
  healthy_ = true;
}

void MpiWorld::begin(const Collective* call) {
  call_ = call;
  ++calls_;
  hear();
}

// Starting with the next rank, so that not all send to the same one.
void MpiWorld::exchange(const std::vector<Parcel>& out, const std::vector<Parcel>& in) {
  std::vector<MPI_Request> requests;
  std::vector<int> from;
  for (const bool receive : {true, false})
    for (int k = 1; k < size_; ++k) {
      const int peer = (rank_ + k) % size_;
      const Parcel& parcel = (receive ? in : out)[static_cast<std::size_t>(peer)];
      if (parcel.bytes == 0) continue;
      MPI_Request request = MPI_REQUEST_NULL;
      const int bytes = static_cast<int>(parcel.bytes);
      check(receive ? MPI_Irecv(parcel.at, bytes, MPI_BYTE, peer, tag(), data_, &request)
                    : MPI_Isend(parcel.at, bytes, MPI_BYTE, peer, tag(), data_, &request),
            describe(call_).c_str());
      requests.push_back(request);
      from.push_back(receive ? peer : -1);
    }
  complete(requests, from);
}

// Synchronous sends end when the other rank has taken the line, so the process may end afterwards.
void MpiWorld::tell(const std::string& why) noexcept {
  if (told_ || heard_) return;
  told_ = true;
  healthy_ = false;
  line_ = failure_line(rank_, size_, why).substr(0, kLongestLine);
  std::vector<MPI_Request> requests;
  for (int q = 0; q < size_; ++q) {
    if (q == rank_) continue;
    MPI_Request request = MPI_REQUEST_NULL;
    if (MPI_Issend(line_.data(), static_cast<int>(line_.size()), MPI_CHAR, q, kFailure, control_, &request) ==
        MPI_SUCCESS)
      requests.push_back(request);
  }
  const Clock::time_point begin = Clock::now();
  for (int done = 0;;) {
    if (MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE) !=
            MPI_SUCCESS ||
        done != 0 || seconds_since(begin) > kTellSeconds)
      return;
    try {
      take_line();  // another rank may be telling us, and wait as we do
    } catch (const Error&) {
      return;
    }
    back_off(seconds_since(begin));
  }
}

// In a world that has failed some rank may never come, and MPI would wait for it without end.
void MpiWorld::finish() noexcept {
  if (!healthy_) return;
  finishing_ = true;
  try {
    begin(nullptr);
    std::vector<MPI_Request> requests;
    std::vector<int> from;
    for (int q = 0; q < size_; ++q) {
      if (q == rank_) continue;
      const bool known = ended_[static_cast<std::size_t>(q)].has_value();
      for (const bool receive : {true, false}) {
        if (receive && known) continue;
        requests.push_back(MPI_REQUEST_NULL);
        from.push_back(receive ? q : -1);
        check(receive ? MPI_Irecv(nullptr, 0, MPI_BYTE, q, kEnd, control_, &requests.back())
                      : MPI_Isend(nullptr, 0, MPI_BYTE, q, kEnd, control_, &requests.back()),
              "end");
      }
    }
    complete(requests, from);
    MPI_Finalize();
  } catch (const Error&) {
  }
}

// The same on all ranks that make the same call; another number where they do not, so that nothing is taken for what it
// is not. MPI promises tags up to 32767.
int MpiWorld::tag() const {
  const std::uint64_t kind = call_ == nullptr ? 15
                                              : static_cast<std::uint64_t>(call_->kind) * 3 +
                                                    static_cast<std::uint64_t>(call_->element);
  const std::uint64_t count = call_ == nullptr ? 0 : call_->count;
  return static_cast<int>((calls_ * 16 + kind + count * 7919) % 32749);
}

void MpiWorld::complete(std::vector<MPI_Request>& requests, const std::vector<int>& from) {
  const Clock::time_point begin = Clock::now();
  for (int done = 0;;) {
    check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
          describe(call_).c_str());
    if (done != 0) return;
    hear();
    if (queue_.stopping() && !finishing_)
      fail_with(fmt::format("rank {} of {}: {} was given up", rank_, size_, describe(call_)));
    if (const int rank = gone(requests, from); rank >= 0)
      fail_with(failure_line(rank, size_, "it ended while others wait for it in " + describe(call_)));
    const double waited = seconds_since(begin), limit = timeout_.load();
    if (waited > limit) fail_with(silence_line(rank_, size_, silent(requests, from), limit, call_));
    back_off(waited);
  }
}

std::string MpiWorld::silent(std::vector<MPI_Request>& requests, const std::vector<int>& from) {
  std::string text;
  for (std::size_t k = 0; k < requests.size(); ++k) {
    int done = 0;
    if (from[k] < 0 || MPI_Test(&requests[k], &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || done != 0) continue;
    text += fmt::format("{}rank {}", text.empty() ? "" : ", ", from[k]);
  }
  return text.empty() ? "the others" : text;
}

// Throws the line of a rank that has failed, once there is one.
void MpiWorld::hear() {
  if (!heard_) heard_ = take_line();
  if (heard_) fail_with(*heard_);
}

void MpiWorld::hear_ends() {
  for (int there = 1;;) {
    MPI_Status status;
    check(MPI_Iprobe(MPI_ANY_SOURCE, kEnd, control_, &there, &status), "look for ends");
    if (there == 0) return;
    check(MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, kEnd, control_, MPI_STATUS_IGNORE),
          "a rank's end");
    ended_[static_cast<std::size_t>(status.MPI_SOURCE)] = Clock::now();
  }
}

// A rank that has come to its end without giving what this one waits for, or -1.
int MpiWorld::gone(std::vector<MPI_Request>& requests, const std::vector<int>& from) {
  if (finishing_) return -1;
  hear_ends();
  for (std::size_t k = 0; k < requests.size(); ++k) {
    if (from[k] < 0) continue;
    const auto& end = ended_[static_cast<std::size_t>(from[k])];
    int done = 0;
    if (!end || seconds_since(*end) < kLateSeconds) continue;
    check(MPI_Test(&requests[k], &done, MPI_STATUS_IGNORE), describe(call_).c_str());
    if (done == 0) return from[k];
  }
  return -1;
}

std::optional<std::string> MpiWorld::take_line() {
  int there = 0, length = 0;
  MPI_Status status;
  check(MPI_Iprobe(MPI_ANY_SOURCE, kFailure, control_, &there, &status), "look for failures");
  if (there == 0) return std::nullopt;
  check(MPI_Get_count(&status, MPI_CHAR, &length), "length of a failure");
  std::string line(static_cast<std::size_t>(std::max(length, 0)), ' ');
  check(MPI_Recv(line.data(), length, MPI_CHAR, status.MPI_SOURCE, kFailure, control_, MPI_STATUS_IGNORE),
        "a rank's failure");
  return line;
}

void MpiWorld::fail_with(const std::string& line) {
  healthy_ = false;
  throw Error(ErrorKind::kDevice, line);
}

void MpiWorld::check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail_with(fmt::format("MPI, {}: {}", what, std::string(text, static_cast<std::size_t>(length))));
}

}  // namespace emer

#endif
