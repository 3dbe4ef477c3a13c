#include "core/ranks/threads_communicator.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>

#include "core/check.h"
#include "core/ranks/call_queue.h"
#include "core/shard.h"

namespace emer {

namespace {

// Up to here every rank adds up the whole array itself: a second pass over the other ranks' slices costs more.
constexpr std::size_t kWholeSum = 4096;
// Elements summed at a time, so that the sum stays in the nearest cache while the ranks' arrays go by.
constexpr std::size_t kSumBlock = 2048;

// Seconds; more does not fit into the clock's nanoseconds.
constexpr double kLongest = 1e9;

// What the ranks of one world share. Every call is two meetings: all have entered it and their arguments are known;
// all have read what they need of the others' arrays. Only the first can fail, so a rank that gives up never frees an
// array that another one reads.
class World {
 public:
  World(int ranks, double timeout)
      : slices(static_cast<std::size_t>(ranks)),
        ranks_(ranks),
        timeout_(std::min(timeout, kLongest)),
        calls_(static_cast<std::size_t>(ranks)) {}

  int ranks() const { return ranks_; }
  const Collective& call(std::size_t rank) const { return *calls_[rank]; }

  void enter(int rank, const Collective* call) {
    const auto me = static_cast<std::size_t>(rank);
    std::unique_lock lock(mutex_);
    check_alive();
    calls_[me] = call == nullptr ? std::nullopt : std::optional(*call);
    here_.push_back(rank);
    if (here_.size() == calls_.size()) {
      check_match();
      check_alive();
      here_.clear();
      ++meeting_;
      changed_.notify_all();
      return;
    }
    const std::uint64_t mine = meeting_;
    const bool in_time = changed_.wait_for(lock, std::chrono::duration<double>(timeout_),
                                           [&] { return meeting_ != mine || failure_; });
    if (meeting_ != mine) return;
    if (!in_time) fail(silence_line(rank, ranks_, missing(), timeout_, call));
    check_alive();
  }

  void leave() {
    std::unique_lock lock(mutex_);
    if (++left_ == ranks_) {
      left_ = 0;
      ++meeting_;
      changed_.notify_all();
      return;
    }
    const std::uint64_t mine = meeting_;
    changed_.wait(lock, [&] { return meeting_ != mine; });
  }

  void abort(int rank, const std::string& why) {
    const std::lock_guard lock(mutex_);
    fail(failure_line(rank, ranks_, why));
  }

  // Of a rank's part of a large sum: written by that rank between the two meetings, read by all after the second and
  // before they enter the next call.
  std::vector<std::vector<std::byte>> slices;

 private:
  void fail(std::string line) {
    if (!failure_) failure_ = std::move(line);
    changed_.notify_all();
  }
  void check_alive() const {
    if (failure_) throw Error(ErrorKind::kDevice, failure_->c_str());
  }
  void check_match() {
    const auto differs = [](const std::optional<Collective>& a, const std::optional<Collective>& b) {
      if (!a || !b) return a.has_value() != b.has_value();
      return a->kind != b->kind || a->element != b->element || a->count != b->count || a->root != b->root;
    };
    for (std::size_t r = 1; r < calls_.size(); ++r)
      if (differs(calls_[0], calls_[r]))
        return fail(fmt::format("ranks make different calls: rank 0 {}, rank {} {}",
                                describe(calls_[0] ? &*calls_[0] : nullptr), r,
                                describe(calls_[r] ? &*calls_[r] : nullptr)));
  }
  std::string missing() const {
    std::string text;
    for (int r = 0; r < ranks_; ++r)
      if (std::find(here_.begin(), here_.end(), r) == here_.end())
        text += fmt::format("{}rank {}", text.empty() ? "" : ", ", r);
    return text;
  }

  const int ranks_;
  const double timeout_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::optional<Collective>> calls_;  // none: a barrier
  std::vector<int> here_;                         // who has entered
  int left_ = 0;
  std::uint64_t meeting_ = 0;
  std::optional<std::string> failure_;
};

class ThreadsCommunicator final : public Communicator {
 public:
  ThreadsCommunicator(std::shared_ptr<World> world, int rank) : world_(std::move(world)), rank_(rank) {}
  ~ThreadsCommunicator() override {
    if (!queue_.idle()) world_->abort(rank_, "it ended while collectives were under way");
  }

  std::string name() const override { return "threads"; }
  int rank() const override { return rank_; }
  int size() const override { return world_->ranks(); }

  void run(const Collective& what, void*) override {
    queue_.run([this, what] { carry_out(what); });
  }
  void start(const Collective& what, void*) override {
    queue_.start([this, what] { carry_out(what); });
  }
  void wait(void*) override { queue_.wait(); }
  void barrier() override {
    queue_.run([this] { world_->enter(rank_, nullptr); });
  }
  void abort(const std::string& why) noexcept override { world_->abort(rank_, why); }

 private:
  void carry_out(const Collective& what) {
    // Between the two meetings nothing may fail, so what is needed there is allocated before.
    std::vector<std::byte> slice = larger_slice(what);
    world_->enter(rank_, &what);
    if (!slice.empty()) world_->slices[static_cast<std::size_t>(rank_)].swap(slice);
    const std::size_t n = what.count, bytes = n * size_of(what.element);
    const auto me = static_cast<std::size_t>(rank_);
    char* const out = static_cast<char*>(what.out);
    switch (what.kind) {
      case Collective::Kind::kAllReduceSum:
        return all_reduce(what);
      case Collective::Kind::kReduceScatterSum:
        // Nobody else reads this rank's share of its input, which `out` may be.
        sum(what.element, me * n, n, out);
        world_->leave();
        return;
      case Collective::Kind::kAllGather:
        // Each rank's share inside `out` is its own input or is written by nobody else.
        for (std::size_t r = 0; r < ranks(); ++r)
          if (bytes > 0 && in_of(r) != out + r * bytes) std::memcpy(out + r * bytes, in_of(r), bytes);
        world_->leave();
        return;
      case Collective::Kind::kBroadcast: {
        const char* root = in_of(static_cast<std::size_t>(what.root));
        if (bytes > 0 && root != out) std::memcpy(out, root, bytes);
        world_->leave();
        return;
      }
    }
  }

  // Of the array of an all_reduce.
  Shard part_of(std::size_t count, std::size_t rank) const {
    return shard_of(static_cast<std::int64_t>(count), size(), static_cast<int>(rank));
  }

  // Empty where the rank's slice is large enough: others may still read it.
  std::vector<std::byte> larger_slice(const Collective& what) const {
    if (what.kind != Collective::Kind::kAllReduceSum) return {};
    const auto me = static_cast<std::size_t>(rank_);
    const std::size_t needed =
        (what.count <= kWholeSum ? what.count : static_cast<std::size_t>(part_of(what.count, me).count)) *
        size_of(what.element);
    if (needed <= world_->slices[me].size()) return {};
    return std::vector<std::byte>(needed);
  }

  // The inputs may be the outputs, so nothing is written to those before all have read.
  void all_reduce(const Collective& what) {
    const std::size_t element = size_of(what.element), n = what.count;
    const bool whole = n <= kWholeSum;
    const auto me = static_cast<std::size_t>(rank_);
    const Shard mine = whole
                           ? Shard{.total = 0, .block = 0, .first = 0, .count = static_cast<std::int64_t>(n)}
                           : part_of(n, me);
    std::vector<std::byte>& slice = world_->slices[me];
    sum(what.element, static_cast<std::size_t>(mine.first), static_cast<std::size_t>(mine.count),
        slice.data());
    world_->leave();
    char* const out = static_cast<char*>(what.out);
    if (whole) {
      if (n > 0) std::memcpy(out, slice.data(), n * element);
      return;
    }
    for (std::size_t r = 0; r < ranks(); ++r) {
      const Shard s = part_of(n, r);
      if (s.count > 0)
        std::memcpy(out + static_cast<std::size_t>(s.first) * element, world_->slices[r].data(),
                    static_cast<std::size_t>(s.count) * element);
    }
  }

  // to[i] <- sum over ranks, in their order, of in[first + i]. `to` may be this rank's in + first.
  void sum(Element element, std::size_t first, std::size_t count, void* to) {
    const std::size_t size = size_of(element);
    alignas(64) std::byte block[kSumBlock * sizeof(double)];
    for (std::size_t i = 0; i < count; i += kSumBlock) {
      const std::size_t n = std::min(kSumBlock, count - i);
      std::memcpy(block, in_of(0) + (first + i) * size, n * size);
      for (std::size_t r = 1; r < ranks(); ++r)
        add_elements(element, block, in_of(r) + (first + i) * size, n);
      std::memcpy(static_cast<char*>(to) + i * size, block, n * size);
    }
  }

  std::size_t ranks() const { return static_cast<std::size_t>(world_->ranks()); }
  const char* in_of(std::size_t rank) const { return static_cast<const char*>(world_->call(rank).in); }

  std::shared_ptr<World> world_;
  int rank_;
  CallQueue queue_{CallQueue::Runs::kCallerWhenIdle};
};

}  // namespace

std::vector<std::shared_ptr<Communicator>> thread_communicators(int ranks, double timeout) {
  EMER_CHECK(ranks >= 1, "threads communicator: {} ranks", ranks);
  EMER_CHECK(timeout > 0, "threads communicator: a timeout of {} s", timeout);
  auto world = std::make_shared<World>(ranks, timeout);
  std::vector<std::shared_ptr<Communicator>> all;
  for (int r = 0; r < ranks; ++r) all.push_back(std::make_shared<ThreadsCommunicator>(world, r));
  return all;
}

}  // namespace emer
