#include "core/ranks/mpi_communicator.h"

#include "core/check.h"

#ifdef EMER_WITH_MPI
#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "core/ranks/mpi_world.h"
#include "core/shard.h"
#endif

namespace emer {

#ifdef EMER_WITH_MPI

namespace {

// Elements that travel at a time: counts of MPI are int, and the arrays pass through buffers of this size.
constexpr std::size_t kPiece = std::size_t{1} << 20;
// Up to this many elements every rank gets the whole array of every other: one exchange instead of two.
constexpr std::size_t kDirect = 1024;

using Parcel = MpiWorld::Parcel;

// The collectives, made of exchanges between all ranks.
class MpiCollectives {
 public:
  explicit MpiCollectives(MpiWorld& world) : world_(world) {}

  void carry_out(const Collective& what) {
    world_.begin(&what);
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
  }

  void barrier() {
    world_.begin(nullptr);
    gather(buffer(send_, 1), buffer(receive_, ranks()), 1);
  }

 private:
  std::size_t ranks() const { return static_cast<std::size_t>(world_.size()); }
  std::size_t rank() const { return static_cast<std::size_t>(world_.rank()); }

  // The caller's arrays pass through buffers that live as long as this does: a call that is given up leaves nothing
  // behind that would still write to them.
  std::byte* buffer(std::vector<std::byte>& held, std::size_t bytes) {
    if (held.size() < bytes) held.resize(bytes);
    return held.data();
  }

  template <class Out, class In>
  void exchange(Out&& out, In&& in) {
    std::vector<Parcel> to(ranks()), from(ranks());
    for (std::size_t q = 0; q < ranks(); ++q) {
      to[q] = out(q);
      from[q] = in(q);
    }
    world_.exchange(to, from);
  }

  // theirs + q * bytes <- rank q's own, but for this rank's.
  void gather(std::byte* own, std::byte* theirs, std::size_t bytes) {
    exchange(
        [&](std::size_t) {
          return Parcel{own, bytes};
        },
        [&](std::size_t q) {
          return Parcel{theirs + q * bytes, bytes};
        });
  }

  // sum[i] <- sum over ranks of their share, this rank's own lying at `own`, rank q's at theirs + q * bytes.
  void add_shares(Element element, std::byte* sum, const std::byte* own, const std::byte* theirs,
                  std::size_t count) {
    const std::size_t bytes = count * size_of(element);
    for (std::size_t q = 0; q < ranks(); ++q) {
      const std::byte* share = q == rank() ? own : theirs + q * bytes;
      if (q > 0)
        add_elements(element, sum, share, count);
      else if (bytes > 0)
        std::memcpy(sum, share, bytes);
    }
  }

  void small_all_reduce(const Collective& what) {
    const std::size_t bytes = what.count * size_of(what.element);
    if (bytes == 0) return;
    std::byte* const own = buffer(send_, bytes);
    std::byte* const theirs = buffer(receive_, ranks() * bytes);
    std::memcpy(own, what.in, bytes);
    gather(own, theirs, bytes);
    add_shares(what.element, static_cast<std::byte*>(what.out), own, theirs, what.count);
  }

  // How a piece is shared out: rank q's bytes begin at first(q).
  struct Shares {
    std::size_t first(std::size_t q) const { return static_cast<std::size_t>(of(q).first) * element; }
    std::size_t bytes(std::size_t q) const { return static_cast<std::size_t>(of(q).count) * element; }
    Shard of(std::size_t q) const {
      return shard_of(static_cast<std::int64_t>(count), static_cast<int>(ranks), static_cast<int>(q));
    }
    std::size_t count, element, ranks;
  };

  void gather_shares(std::byte* all, const Shares& shares) {
    exchange(
        [&](std::size_t) {
          return Parcel{all + shares.first(rank()), shares.bytes(rank())};
        },
        [&](std::size_t q) {
          return Parcel{all + shares.first(q), shares.bytes(q)};
        });
  }

  // Of each piece every rank adds up one share and sends it to all.
  void all_reduce(const Collective& what) {
    const std::size_t element = size_of(what.element);
    for (std::size_t begin = 0; begin < what.count; begin += kPiece) {
      const Shares shares{std::min(kPiece, what.count - begin), element, ranks()};
      const std::size_t bytes = shares.count * element, mine = shares.bytes(rank());
      const std::size_t at = shares.first(rank());
      std::byte* const piece = buffer(send_, bytes);
      std::byte* const theirs = buffer(receive_, ranks() * mine);
      std::byte* const sums = buffer(total_, bytes);
      std::memcpy(piece, static_cast<const std::byte*>(what.in) + begin * element, bytes);
      exchange(
          [&](std::size_t q) {
            return Parcel{piece + shares.first(q), shares.bytes(q)};
          },
          [&](std::size_t q) {
            return Parcel{theirs + q * mine, mine};
          });
      add_shares(what.element, sums + at, piece + at, theirs, mine / element);
      gather_shares(sums, shares);
      std::memcpy(static_cast<std::byte*>(what.out) + begin * element, sums, bytes);
    }
  }

  // Elements of one rank's share that travel at a time, where every rank has one in the buffers.
  std::size_t most() const { return std::max<std::size_t>(kPiece / ranks(), 1); }

  void reduce_scatter(const Collective& what) {
    const std::size_t element = size_of(what.element);
    for (std::size_t begin = 0; begin < what.count; begin += most()) {
      const std::size_t count = std::min(most(), what.count - begin), bytes = count * element;
      std::byte* const own = buffer(send_, ranks() * bytes);
      std::byte* const theirs = buffer(receive_, ranks() * bytes);
      for (std::size_t q = 0; q < ranks(); ++q)
        std::memcpy(own + q * bytes,
                    static_cast<const std::byte*>(what.in) + (q * what.count + begin) * element, bytes);
      exchange(
          [&](std::size_t q) {
            return Parcel{own + q * bytes, bytes};
          },
          [&](std::size_t q) {
            return Parcel{theirs + q * bytes, bytes};
          });
      add_shares(what.element, static_cast<std::byte*>(what.out) + begin * element, own + rank() * bytes,
                 theirs, count);
    }
  }

  void all_gather(const Collective& what) {
    const std::size_t element = size_of(what.element);
    for (std::size_t begin = 0; begin < what.count; begin += most()) {
      const std::size_t count = std::min(most(), what.count - begin), bytes = count * element;
      std::byte* const own = buffer(send_, bytes);
      std::byte* const theirs = buffer(receive_, ranks() * bytes);
      std::memcpy(own, static_cast<const std::byte*>(what.in) + begin * element, bytes);
      gather(own, theirs, bytes);
      for (std::size_t q = 0; q < ranks(); ++q)
        std::memcpy(static_cast<std::byte*>(what.out) + (q * what.count + begin) * element,
                    q == rank() ? own : theirs + q * bytes, bytes);
    }
  }

  // The root gives each rank a share of the piece, and all gather the shares: no rank sends the array more than twice.
  void broadcast(const Collective& what) {
    const std::size_t element = size_of(what.element), root = static_cast<std::size_t>(what.root);
    for (std::size_t begin = 0; begin < what.count; begin += kPiece) {
      const Shares shares{std::min(kPiece, what.count - begin), element, ranks()};
      const std::size_t bytes = shares.count * element;
      const bool direct = shares.count <= kDirect, here = rank() == root;
      std::byte* const piece = buffer(total_, bytes);
      if (here) std::memcpy(piece, static_cast<const std::byte*>(what.in) + begin * element, bytes);
      const auto parcel = [&](std::size_t q) {
        return direct ? Parcel{piece, bytes} : Parcel{piece + shares.first(q), shares.bytes(q)};
      };
      exchange([&](std::size_t q) { return here ? parcel(q) : Parcel{}; },
               [&](std::size_t q) { return q == root ? parcel(rank()) : Parcel{}; });
      if (!direct) gather_shares(piece, shares);
      if (!here || what.in != what.out)
        std::memcpy(static_cast<std::byte*>(what.out) + begin * element, piece, bytes);
    }
  }

  MpiWorld& world_;
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
    queue_.run([this, what] { collectives_.carry_out(what); });
  }
  void start(const Collective& what, void*) override {
    queue_.start([this, what] { collectives_.carry_out(what); });
  }
  void wait(void*) override { queue_.wait(); }
  void barrier() override {
    queue_.run([this] { collectives_.barrier(); });
  }
  void abort(const std::string& why) noexcept override {
    queue_.stop([&] { world_.tell(why); });
  }

 private:
  std::atomic<double> timeout_ = kRankTimeout;
  CallQueue queue_{CallQueue::Runs::kQueue};
  MpiWorld world_{queue_, timeout_};
  MpiCollectives collectives_{world_};
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
