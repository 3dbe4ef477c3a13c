#include "core/ranks/threads_communicator.h"

#include <condition_variable>
#include <cstring>
#include <mutex>

#include "core/check.h"

namespace emer {

namespace {

// What the ranks of one world share. Every collective is three meetings: arguments are known, results are made, all
// have copied theirs.
struct World {
  explicit World(int count) : ranks(count), calls(static_cast<std::size_t>(count)) {}

  void meet() {
    std::unique_lock lock(mutex);
    check_alive();
    const std::uint64_t mine = meeting;
    if (++arrived == ranks) {
      arrived = 0;
      ++meeting;
      changed.notify_all();
      return;
    }
    changed.wait(lock, [&] { return meeting != mine || failed_rank >= 0; });
    if (meeting == mine) check_alive();
  }
  void check_alive() const {
    if (failed_rank >= 0) fail(ErrorKind::kDevice, "rank {} of {} failed: {}", failed_rank, ranks, why);
  }

  const int ranks;
  std::vector<Collective> calls;
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0;
  std::uint64_t meeting = 0;
  int failed_rank = -1;
  std::string why;
};

std::size_t size_of(Element element) {
  return element == Element::kFloat ? sizeof(float) : sizeof(double);
}

class ThreadsCommunicator final : public Communicator {
 public:
  ThreadsCommunicator(std::shared_ptr<World> world, int rank) : world_(std::move(world)), rank_(rank) {}

  std::string name() const override { return "threads"; }
  int rank() const override { return rank_; }
  int size() const override { return world_->ranks; }
  void barrier() override { world_->meet(); }

  void run(const Collective& what, void*) override {
    world_->calls[static_cast<std::size_t>(rank_)] = what;
    world_->meet();
    for (const Collective& other : world_->calls)
      EMER_CHECK(other.kind == what.kind && other.element == what.element && other.count == what.count &&
                     other.root == what.root,
                 "ranks make different calls");
    switch (what.element) {
      case Element::kFloat:
        return carry_out<float>(what);
      case Element::kDouble:
        return carry_out<double>(what);
      case Element::kInt64:
        return carry_out<std::int64_t>(what);
    }
  }

  void abort(const std::string& why) noexcept override {
    const std::lock_guard lock(world_->mutex);
    if (world_->failed_rank >= 0) return;
    world_->failed_rank = rank_;
    world_->why = why;
    world_->changed.notify_all();
  }

 private:
  template <class T>
  void carry_out(const Collective& what) {
    const std::size_t n = what.count, bytes = n * size_of(what.element);
    T* const out = static_cast<T*>(what.out);
    const auto in_of = [&](std::size_t r) { return static_cast<const T*>(world_->calls[r].in); };
    const auto ranks = static_cast<std::size_t>(size()), me = static_cast<std::size_t>(rank_);
    std::vector<T> sum;  // the inputs may be the outputs, so nothing is written before all have read
    switch (what.kind) {
      case Collective::Kind::kAllReduceSum:
      case Collective::Kind::kReduceScatterSum: {
        const std::size_t offset = what.kind == Collective::Kind::kReduceScatterSum ? me * n : 0;
        sum.assign(in_of(0) + offset, in_of(0) + offset + n);
        for (std::size_t r = 1; r < ranks; ++r)
          for (std::size_t i = 0; i < n; ++i) sum[i] += in_of(r)[offset + i];
        world_->meet();
        std::memcpy(out, sum.data(), bytes);
        break;
      }
      case Collective::Kind::kAllGather:
        // Each rank's share inside `out` is its own input or is written by nobody else.
        for (std::size_t r = 0; r < ranks; ++r)
          if (in_of(r) != out + r * n) std::memmove(out + r * n, in_of(r), bytes);
        world_->meet();
        break;
      case Collective::Kind::kBroadcast: {
        const T* root = in_of(static_cast<std::size_t>(what.root));
        if (root != out) std::memcpy(out, root, bytes);
        world_->meet();
        break;
      }
    }
  }

  std::shared_ptr<World> world_;
  int rank_;
};

}  // namespace

std::vector<std::shared_ptr<Communicator>> thread_communicators(int ranks) {
  EMER_CHECK(ranks >= 1, "threads communicator: {} ranks", ranks);
  auto world = std::make_shared<World>(ranks);
  std::vector<std::shared_ptr<Communicator>> all;
  for (int r = 0; r < ranks; ++r) all.push_back(std::make_shared<ThreadsCommunicator>(world, r));
  return all;
}

}  // namespace emer
