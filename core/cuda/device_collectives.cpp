#include "core/cuda/device_collectives.h"

#include <algorithm>

#include "core/check.h"
#include "core/cuda/rank_state.h"
#include "core/ranks/host_calls.h"
#include "core/ranks/rank_watch.h"

namespace emer::cuda {

namespace {

constexpr std::size_t kAlignment = 256;

// Bytes that a call reads and writes on this rank.
struct Extents {
  std::size_t in, out;
};
Extents extents(const Communicator& communicator, const Collective& what) {
  const std::size_t share = what.count * size_of(what.element);
  const std::size_t all = share * static_cast<std::size_t>(communicator.size());
  switch (what.kind) {
    case Collective::Kind::kAllReduceSum:
      return {share, share};
    case Collective::Kind::kAllGather:
      return {share, all};
    case Collective::Kind::kReduceScatterSum:
      return {all, share};
    case Collective::Kind::kBroadcast:
      return {what.root == communicator.rank() ? share : 0, share};
  }
  return {0, 0};
}

void refuse_recording(RankState& state, const Communicator& communicator) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  EMER_CUDA_CHECK(cudaStreamIsCapturing(state.stream, &status));
  if (status != cudaStreamCaptureStatusNone)
    fail(ErrorKind::kDevice,
         "{} ranks exchange arrays through host memory ({}), which cannot be recorded in a CUDA graph: set "
         "train.cuda_graph to false, or give each rank a GPU and NCCL",
         communicator.size(), communicator.name());
}

// Arrays of a call in pinned memory, `in` brought there: host and stream are in step when it returns.
Collective staged(RankState& state, const Communicator& communicator, const Collective& what) {
  const Extents bytes = extents(communicator, what);
  Collective host = what;
  void* const out = state.staging.take(bytes.out);
  void* const in = bytes.in == 0 ? out : state.staging.take(bytes.in);
  if (bytes.in != 0)
    EMER_CUDA_CHECK(cudaMemcpyAsync(in, what.in, bytes.in, cudaMemcpyDeviceToHost, state.stream));
  synchronize(state);
  host.in = in;
  host.out = out;
  return host;
}

void pay(RankState& state, const OwedCopy& copy) {
  EMER_CUDA_CHECK(cudaMemcpyAsync(copy.device, copy.host, copy.bytes, cudaMemcpyHostToDevice, state.stream));
}

// Pinned memory for the next call: free, but where started calls still use theirs.
void make_room(RankState& state) {
  if (!state.owed.empty()) return;
  if (state.staging.fragmented()) synchronize(state);  // the last results are still on their way
  state.staging.reset();
}

// Streams that wait for other ranks are watched while the host waits for them.
void watch(RankState& state, Communicator& communicator) {
  state.watch = dynamic_cast<StreamWatch*>(&unwatched(communicator));
}

}  // namespace

PinnedMemory::~PinnedMemory() {
  free_blocks();
}

void PinnedMemory::free_blocks() noexcept {
  for (const auto& [memory, bytes] : blocks_) log_failure(cudaFreeHost(memory), "cudaFreeHost");
  blocks_.clear();
  used_ = 0;
}

void* PinnedMemory::take(std::size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (blocks_.empty() || used_ + bytes > blocks_.back().second) {
    constexpr std::size_t kSmallest = std::size_t{1} << 16;
    const std::size_t size = std::max({bytes, kSmallest, blocks_.empty() ? 0 : 2 * blocks_.back().second});
    void* memory = nullptr;
    EMER_CUDA_CHECK(cudaMallocHost(&memory, size));
    blocks_.emplace_back(static_cast<std::byte*>(memory), size);
    used_ = 0;
  }
  std::byte* const piece = blocks_.back().first + used_;
  used_ += bytes;
  return piece;
}

void PinnedMemory::reset() {
  used_ = 0;
  if (!fragmented()) return;
  std::size_t total = 0;
  for (const auto& block : blocks_) total += block.second;
  free_blocks();
  take(total);
  used_ = 0;
}

void run_collective(Context& ctx, const Collective& what) {
  RankState& state = rank_state(ctx.cuda_state());
  Communicator& communicator = ctx.communicator();
  if (communicator.on_device()) {
    watch(state, communicator);
    return communicator.run(what, state.stream);
  }
  refuse_recording(state, communicator);
  make_room(state);
  const Collective host = staged(state, communicator, what);
  communicator.run(host, nullptr);
  pay(state, {what.out, host.out, extents(communicator, what).out});
  // The next call's copies follow this one on the stream, and the host waits for them before it writes.
}

void start_collective(Context& ctx, const Collective& what) {
  RankState& state = rank_state(ctx.cuda_state());
  Communicator& communicator = ctx.communicator();
  if (communicator.on_device()) {
    watch(state, communicator);
    return communicator.start(what, state.stream);
  }
  refuse_recording(state, communicator);
  make_room(state);
  const Collective host = staged(state, communicator, what);
  communicator.start(host, nullptr);
  state.owed.push_back({what.out, host.out, extents(communicator, what).out});
}

void wait_started(Context& ctx) {
  RankState& state = rank_state(ctx.cuda_state());
  Communicator& communicator = ctx.communicator();
  if (communicator.on_device()) return communicator.wait(state.stream);
  if (state.owed.empty()) return;
  communicator.wait(nullptr);
  for (const OwedCopy& copy : state.owed) pay(state, copy);
  state.owed.clear();
}

void run_collective_of_host(Context& ctx, const Collective& what) {
  Communicator& communicator = ctx.communicator();
  if (!communicator.on_device()) return communicator.run(what, nullptr);
  const Extents bytes = extents(communicator, what);
  ArenaScope scope(ctx);
  Collective device = what;
  std::byte* const in = ctx.scratch<std::byte>(std::max(bytes.in, bytes.out));
  std::byte* const out = ctx.scratch<std::byte>(bytes.out);
  copy_to_device(ctx, in, what.in, bytes.in);
  device.in = in;
  device.out = out;
  run_collective(ctx, device);
  copy_to_host(ctx, what.out, out, bytes.out);
}

}  // namespace emer::cuda
