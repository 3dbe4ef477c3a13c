#include "core/ranks/mpi_communicator.h"

#include "core/check.h"

#ifdef EMER_WITH_MPI
#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/ranks/call_queue.h"
#include "core/shard.h"
#endif

namespace emer {

#ifdef EMER_WITH_MPI

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Elements that travel at a time: counts of MPI are int, and the arrays pass through buffers of this size.
constexpr std::size_t kPiece = std::size_t{1} << 20;
// Up to this many elements every rank gets the whole array of every other: one exchange instead of two.
constexpr std::size_t kDirect = 1024;
// How long abort() waits for the others, which may be computing.
constexpr double kTellSeconds = 5.0;
constexpr std::size_t kLongestLine = 4000;

void check_mpi(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail(ErrorKind::kDevice, "MPI, {}: {}", what, std::string(text, static_cast<std::size_t>(length)));
}

// Yields at first, then sleeps a small part of the time already waited: the answer comes late by that part at most, and
// ranks that share a core with this one can compute.
void back_off(double waited) {
  if (waited < 200e-6)
    std::this_thread::yield();
  else
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(waited / 64, 5e-3)));
}

struct Parcel {
  void* at;
  std::size_t bytes;
};

// Everything here but the constructor is called on the queue's thread.
class MpiWorld {
 public:
  explicit MpiWorld(const CallQueue& queue, const std::atomic<double>& timeout)
      : queue_(queue), timeout_(timeout) {}

  void initialise() {
    int before = 0, level = 0;
    MPI_Initialized(&before);
    if (before != 0) fail(ErrorKind::kDevice, "MPI was initialised before emer could do it");
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "initialisation");
    if (level < MPI_THREAD_FUNNELED)
      fail(ErrorKind::kDevice, "this MPI does not work in programs with threads (level {})", level);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &data_), "communicator for arrays");
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &control_), "communicator for failures");
    check_mpi(MPI_Comm_rank(data_, &rank_), "rank");
    check_mpi(MPI_Comm_size(data_, &size_), "size");
    healthy_ = true;
  }

  int rank() const { return rank_; }
  int size() const { return size_; }

  void carry_out(const Collective& what) {
    guarded(&what, [&] {
      switch (what.kind) {
        case Collective::Kind::kAllReduceSum:
          return what.count <= kDirect ? small_all_reduce(what) : all_reduce(what);
        case Collective::Kind::kAllGather:
          return all_gather(what);
        case Collective::Kind::kReduceScatterSum:
          return reduce_scatter(what);
        case Collective::Kind::kBroadcast:
          return broadcast(what);
      }
    });
  }

  void barrier() {
    guarded(nullptr, [&] {
      std::byte* const own = buffer(send_, 1);
      std::byte* const theirs = buffer(receive_, ranks());
      exchange([&](int) { return Parcel{own, 1}; }, [&](int q) { return Parcel{theirs + q, 1}; });
    });
  }

  // Synchronous sends end when the other rank has taken the line, so the process may end afterwards.
  void tell(const std::string& why) noexcept {
    if (told_ || heard_) return;
    told_ = true;
    healthy_ = false;
    line_ = failure_line(rank_, size_, why).substr(0, kLongestLine);
    std::vector<MPI_Request> requests;
    for (int q = 0; q < size_; ++q) {
      if (q == rank_) continue;
      MPI_Request request = MPI_REQUEST_NULL;
      if (MPI_Issend(line_.data(), static_cast<int>(line_.size()), MPI_CHAR, q, 0, control_, &request) ==
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
  void finish() noexcept {
    if (!healthy_) return;
    finishing_ = true;
    try {
      barrier();
      MPI_Finalize();
    } catch (const Error&) {
    }
  }

 private:
  std::size_t ranks() const { return static_cast<std::size_t>(size_); }

  template <class Body>
  void guarded(const Collective* what, Body&& body) {
    what_ = what;
    ++calls_;
    try {
      hear();
      body();
    } catch (const Error&) {
      healthy_ = false;
      throw;
    }
  }

  // The same on all ranks that make the same call; another number where they do not, so that nothing is taken for
  // what it is not. MPI promises tags up to 32767.
  int tag() const {
    const std::uint64_t kind = what_ == nullptr ? 15
                                                : static_cast<std::uint64_t>(what_->kind) * 3 +
                                                      static_cast<std::uint64_t>(what_->element);
    const std::uint64_t count = what_ == nullptr ? 0 : what_->count;
    return static_cast<int>((calls_ * 16 + kind + count * 7919) % 32749);
  }

  // Rank q gets out(q) and sends what lands in in(q); empty parcels do not travel. Starting with the next rank, so that
  // not all send to the same one.
  template <class Out, class In>
  void exchange(Out&& out, In&& in) {
    std::vector<MPI_Request> requests;
    std::vector<int> from;
    const auto add = [&](int peer, const Parcel& p, bool receive) {
      if (p.bytes == 0) return;
      MPI_Request request = MPI_REQUEST_NULL;
      const int bytes = static_cast<int>(p.bytes);
      check_mpi(receive ? MPI_Irecv(p.at, bytes, MPI_BYTE, peer, tag(), data_, &request)
                        : MPI_Isend(p.at, bytes, MPI_BYTE, peer, tag(), data_, &request),
                describe(what_).c_str());
      requests.push_back(request);
      from.push_back(receive ? peer : -1);
    };
    for (int k = 1; k < size_; ++k) {
      const int peer = (rank_ + k) % size_;
      add(peer, in(peer), true);
    }
    for (int k = 1; k < size_; ++k) {
      const int peer = (rank_ + k) % size_;
      add(peer, out(peer), false);
    }
    complete(requests, from);
  }

  void complete(std::vector<MPI_Request>& requests, const std::vector<int>& from) {
    const Clock::time_point begin = Clock::now();
    for (int done = 0;;) {
      check_mpi(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
                describe(what_).c_str());
      if (done != 0) return;
      hear();
      if (queue_.stopping() && !finishing_)
        fail(ErrorKind::kDevice, "rank {} of {}: {} was given up", rank_, size_, describe(what_));
      const double waited = seconds_since(begin), limit = timeout_.load();
      if (waited > limit)
        throw Error(ErrorKind::kDevice,
                    silence_line(rank_, size_, silent(requests, from), limit, what_).c_str());
      back_off(waited);
    }
  }

  std::string silent(std::vector<MPI_Request>& requests, const std::vector<int>& from) {
    std::string text;
    for (std::size_t k = 0; k < requests.size(); ++k) {
      int done = 0;
      if (from[k] < 0 || MPI_Test(&requests[k], &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || done != 0)
        continue;
      text += fmt::format("{}rank {}", text.empty() ? "" : ", ", from[k]);
    }
    return text.empty() ? "the others" : text;
  }

  // Throws the line of a rank that has failed, once there is one.
  void hear() {
    if (!heard_) heard_ = take_line();
    if (heard_) throw Error(ErrorKind::kDevice, heard_->c_str());
  }

  std::optional<std::string> take_line() {
    int there = 0, length = 0;
    MPI_Status status;
    check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, 0, control_, &there, &status), "look for failures");
    if (there == 0) return std::nullopt;
    check_mpi(MPI_Get_count(&status, MPI_CHAR, &length), "length of a failure");
    std::string line(static_cast<std::size_t>(std::max(length, 0)), ' ');
    check_mpi(MPI_Recv(line.data(), length, MPI_CHAR, status.MPI_SOURCE, 0, control_, MPI_STATUS_IGNORE),
              "a rank's failure");
    return line;
  }

  // The caller's arrays pass through buffers that live as long as this does: a call that is given up leaves nothing
  // behind that would still write to them.
  std::byte* buffer(std::vector<std::byte>& held, std::size_t bytes) {
    if (held.size() < bytes) held.resize(bytes);
    return held.data();
  }

  // sum[i] <- sum over ranks of their share, this rank's own lying at `own`, rank q's at theirs + q * bytes.
  void add_shares(Element element, std::byte* sum, const std::byte* own, const std::byte* theirs,
                  std::size_t count) {
    const std::size_t bytes = count * size_of(element);
    for (int q = 0; q < size_; ++q) {
      const std::byte* share = q == rank_ ? own : theirs + static_cast<std::size_t>(q) * bytes;
      if (q == 0)
        std::memcpy(sum, share, bytes);
      else
        add_elements(element, sum, share, count);
    }
  }

  void small_all_reduce(const Collective& what) {
    const std::size_t bytes = what.count * size_of(what.element);
    if (bytes == 0) return;
    std::byte* const own = buffer(send_, bytes);
    std::byte* const theirs = buffer(receive_, ranks() * bytes);
    std::memcpy(own, what.in, bytes);
    exchange(
        [&](int) {
          return Parcel{own, bytes};
        },
        [&](int q) {
          return Parcel{theirs + static_cast<std::size_t>(q) * bytes, bytes};
        });
    add_shares(what.element, static_cast<std::byte*>(what.out), own, theirs, what.count);
  }

  // Of each piece every rank adds up one share and sends it to all.
  void all_reduce(const Collective& what) {
    const std::size_t element = size_of(what.element);
    for (std::size_t begin = 0; begin < what.count; begin += kPiece) {
      const std::size_t count = std::min(kPiece, what.count - begin);
      const std::size_t bytes = count * element;
      const auto first = [&](int q) { return static_cast<std::size_t>(share(count, q).first) * element; };
      const auto length = [&](int q) { return static_cast<std::size_t>(share(count, q).count) * element; };
      std::byte* const piece = buffer(send_, bytes);
      std::byte* const theirs = buffer(receive_, ranks() * length(rank_));
      std::byte* const sums = buffer(total_, bytes);
      std::memcpy(piece, static_cast<const std::byte*>(what.in) + begin * element, bytes);
      exchange(
          [&](int q) {
            return Parcel{piece + first(q), length(q)};
          },
          [&](int q) {
            return Parcel{theirs + static_cast<std::size_t>(q) * length(rank_), length(rank_)};
          });
      add_shares(what.element, sums + first(rank_), piece + first(rank_), theirs, length(rank_) / element);
      gather_shares(sums, first, length);
      std::memcpy(static_cast<std::byte*>(what.out) + begin * element, sums, bytes);
    }
  }

  template <class First, class Length>
  void gather_shares(std::byte* all, First&& first, Length&& length) {
    exchange(
        [&](int) {
          return Parcel{all + first(rank_), length(rank_)};
        },
        [&](int q) {
          return Parcel{all + first(q), length(q)};
        });
  }

  void reduce_scatter(const Collective& what) {
    const std::size_t element = size_of(what.element), most = std::max<std::size_t>(kPiece / ranks(), 1);
    for (std::size_t begin = 0; begin < what.count; begin += most) {
      const std::size_t count = std::min(most, what.count - begin), bytes = count * element;
      std::byte* const shares = buffer(send_, ranks() * bytes);
      std::byte* const theirs = buffer(receive_, ranks() * bytes);
      const auto at = [&](int q) { return static_cast<std::size_t>(q) * bytes; };
      for (int q = 0; q < size_; ++q)
        std::memcpy(shares + at(q),
                    static_cast<const std::byte*>(what.in) +
                        (static_cast<std::size_t>(q) * what.count + begin) * element,
                    bytes);
      exchange(
          [&](int q) {
            return Parcel{shares + at(q), bytes};
          },
          [&](int q) {
            return Parcel{theirs + at(q), bytes};
          });
      add_shares(what.element, static_cast<std::byte*>(what.out) + begin * element, shares + at(rank_),
                 theirs, count);
    }
  }

  void all_gather(const Collective& what) {
    const std::size_t element = size_of(what.element), most = std::max<std::size_t>(kPiece / ranks(), 1);
    for (std::size_t begin = 0; begin < what.count; begin += most) {
      const std::size_t count = std::min(most, what.count - begin), bytes = count * element;
      std::byte* const own = buffer(send_, bytes);
      std::byte* const theirs = buffer(receive_, ranks() * bytes);
      std::memcpy(own, static_cast<const std::byte*>(what.in) + begin * element, bytes);
      exchange(
          [&](int) {
            return Parcel{own, bytes};
          },
          [&](int q) {
            return Parcel{theirs + static_cast<std::size_t>(q) * bytes, bytes};
          });
      for (int q = 0; q < size_; ++q)
        std::memcpy(
            static_cast<std::byte*>(what.out) + (static_cast<std::size_t>(q) * what.count + begin) * element,
            q == rank_ ? own : theirs + static_cast<std::size_t>(q) * bytes, bytes);
    }
  }

  // The root gives each rank a share of the piece, and all gather the shares: no rank sends the array more than twice.
  void broadcast(const Collective& what) {
    const std::size_t element = size_of(what.element);
    const bool root = rank_ == what.root;
    for (std::size_t begin = 0; begin < what.count; begin += kPiece) {
      const std::size_t count = std::min(kPiece, what.count - begin);
      const std::size_t bytes = count * element;
      const bool direct = count <= kDirect;
      std::byte* const piece = buffer(total_, bytes);
      if (root) std::memcpy(piece, static_cast<const std::byte*>(what.in) + begin * element, bytes);
      const auto first = [&](int q) {
        return direct ? 0 : static_cast<std::size_t>(share(count, q).first) * element;
      };
      const auto length = [&](int q) {
        return direct ? bytes : static_cast<std::size_t>(share(count, q).count) * element;
      };
      exchange(
          [&](int q) {
            return Parcel{piece + first(q), root ? length(q) : 0};
          },
          [&](int q) {
            return Parcel{piece + first(rank_), q == what.root ? length(rank_) : 0};
          });
      if (!direct) gather_shares(piece, first, length);
      if (!root || what.in != what.out)
        std::memcpy(static_cast<std::byte*>(what.out) + begin * element, piece, bytes);
    }
  }

  Shard share(std::size_t count, int rank) const {
    return shard_of(static_cast<std::int64_t>(count), size_, rank);
  }

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
  std::string line_;
  const Collective* what_ = nullptr;  // the call under way; none: a barrier
  std::uint64_t calls_ = 0;
  std::vector<std::byte> send_, receive_, total_;
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator() {
    queue_.run([this] { world_.initialise(); });
  }
  ~MpiCommunicator() override {
    const bool early = !queue_.idle();
    queue_.stop([this, early] {
      if (early) world_.tell("it ended while collectives were under way");
      world_.finish();
    });
  }

  void set_timeout(double seconds) { timeout_ = seconds; }

  std::string name() const override { return "mpi"; }
  int rank() const override { return world_.rank(); }
  int size() const override { return world_.size(); }
  void run(const Collective& what, void*) override {
    queue_.run([this, what] { world_.carry_out(what); });
  }
  void start(const Collective& what, void*) override {
    queue_.start([this, what] { world_.carry_out(what); });
  }
  void wait(void*) override { queue_.wait(); }
  void barrier() override {
    queue_.run([this] { world_.barrier(); });
  }
  void abort(const std::string& why) noexcept override {
    queue_.stop([&] { world_.tell(why); });
  }

 private:
  std::atomic<double> timeout_ = kRankTimeout;
  CallQueue queue_{CallQueue::Runs::kQueue};
  MpiWorld world_{queue_, timeout_};
};

}  // namespace

std::shared_ptr<Communicator> mpi_communicator(double timeout) {
  EMER_CHECK(timeout > 0, "mpi communicator: a timeout of {} s", timeout);
  static const auto world = std::make_shared<MpiCommunicator>();
  world->set_timeout(timeout);
  return world;
}

#else

std::shared_ptr<Communicator> mpi_communicator(double) {
  fail_usage(
      "this build of emer has no MPI; build it without EMER_PORTABLE, or start ranks with emer launch");
}

#endif

}  // namespace emer
