// core/cuda/rank_state.h - what a Context on CUDA keeps for its communicator, besides what every op sees of it. Only CUDA
// sources include this.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "core/communicator.h"
#include "core/cuda/context_state.h"

namespace emer::cuda {

// Whom the host asks while it waits for a stream that may never end, because another rank is gone.
class StreamWatch {
 public:
  virtual ~StreamWatch() = default;
  virtual void check() = 0;                         // throws Error(kDevice) where waiting is in vain
  virtual double timeout_seconds() const = 0;       // of one wait
  [[noreturn]] virtual void waited_too_long() = 0;  // throws Error(kDevice)
};

// Page-locked host memory by the piece. Pieces stay where they are until reset().
class PinnedMemory {
 public:
  PinnedMemory() = default;
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  void* take(std::size_t bytes);  // not while a graph is recorded by this thread
  // All pieces are free. No copy from or to them may be under way: blocks may be made one.
  void reset();
  bool fragmented() const { return blocks_.size() > 1; }
  void abandon() noexcept { blocks_.clear(); }  // is never given back

 private:
  void free_blocks() noexcept;
  std::vector<std::pair<std::byte*, std::size_t>> blocks_;
  std::size_t used_ = 0;  // of the last block
};

// Results that a communicator of host arrays still owes to the device.
struct OwedCopy {
  void* device = nullptr;
  const void* host = nullptr;
  std::size_t bytes = 0;
};

// Every ContextState is one: make_context_state() makes no other.
struct RankState final : ContextState {
  RankState() = default;
  ~RankState() {
    if (!owed.empty()) staging.abandon();  // given up half-way: a started call may still read and write there
  }
  RankState(const RankState&) = delete;
  RankState& operator=(const RankState&) = delete;

  StreamWatch* watch = nullptr;  // of the context's communicator, where that takes streams
  PinnedMemory staging;
  std::vector<OwedCopy> owed;  // by calls that were started
};
inline RankState& rank_state(ContextState& state) {
  return static_cast<RankState&>(state);
}

}  // namespace emer::cuda
