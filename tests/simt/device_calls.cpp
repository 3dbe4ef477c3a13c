// Where device threads wait for one another: barriers, warp operations, cluster barriers; and what they may ask of
// their block and cluster.
#include "tests/simt/internal.h"

namespace emer::simt {

namespace {

std::string at(const char* file, int line) {
  return std::string(" at ") + file + ":" + std::to_string(line);
}

template <class T>
T combine(WarpOp op, T a, T b) {
  switch (op) {
    case WarpOp::kAdd:
      return static_cast<T>(a + b);
    case WarpOp::kMin:
      return b < a ? b : a;
    case WarpOp::kMax:
      return a < b ? b : a;
    case WarpOp::kAnd:
      return static_cast<T>(a & b);
    case WarpOp::kOr:
      return static_cast<T>(a | b);
    default:
      return static_cast<T>(a ^ b);
  }
}

void complete_warp(Block& block, Warp& warp, unsigned first, unsigned mask, WarpOp op) {
  Thread* const lanes = block.threads.data() + first;
  std::uint64_t common = 0;
  bool started = false;
  for (unsigned i = 0; i < 32; ++i) {
    if ((mask >> i & 1) == 0) continue;
    const std::uint64_t value = lanes[i].value;
    switch (op) {
      case WarpOp::kBallot:
      case WarpOp::kAny:
      case WarpOp::kAll:
        common |= value << i;
        break;
      case WarpOp::kSync:
      case WarpOp::kShuffle:
      case WarpOp::kMatchAny:
        break;
      default:
        common =
            !started ? value
            : lanes[i].number == Number::kSigned
                ? detail::to_bits(combine(op, detail::from_bits<int>(common), detail::from_bits<int>(value)))
                : detail::to_bits(
                      combine(op, detail::from_bits<unsigned>(common), detail::from_bits<unsigned>(value)));
        started = true;
    }
  }
  if (op == WarpOp::kAny) common = common != 0 ? 1 : 0;
  if (op == WarpOp::kAll) common = common == mask ? 1 : 0;
  for (unsigned i = 0; i < 32; ++i) {
    if ((mask >> i & 1) == 0) continue;
    Thread& lane = lanes[i];
    lane.result = common;
    if (op == WarpOp::kShuffle) {
      if ((mask >> lane.source & 1) == 0)
        device_fault([&] {
          return "shuffle: lane " + std::to_string(i) + " reads lane " + std::to_string(lane.source) +
                 ", which takes no part, at " + site(lane);
        });
      lane.result = lanes[lane.source].value;
    } else if (op == WarpOp::kMatchAny) {
      lane.result = 0;
      for (unsigned j = 0; j < 32; ++j)
        if ((mask >> j & 1) != 0 && lanes[j].value == lane.value) lane.result |= 1u << j;
    }
  }
  warp.waiting &= ~mask;
  if (op == WarpOp::kSync) warp_synchronised(block, warp, first, mask);
  progress();
  const bool reverse = reverse_schedule();
  for (unsigned i = 0; i < 32; ++i) {
    const unsigned lane = reverse ? 31 - i : i;
    if ((mask >> lane & 1) == 0) continue;
    lanes[lane].wait = Wait::kReady;
    g_run.ready.push_back(&lanes[lane]);
  }
}

// Lanes `mask` wait for the same operation: is that all of them that still run?
void try_warp(Block& block, Warp& warp, unsigned first, const Thread& example) {
  if ((example.mask & warp.live & ~warp.waiting) == 0)
    complete_warp(block, warp, first, example.mask & warp.live, example.op);
}

void complete_cluster(Cluster& cluster) {
  ++cluster.phase;
  cluster.arrived = 0;
  cluster_synchronised(cluster);
  progress();
  for (Block* block : cluster.blocks)
    make_ready(block->threads, 0, static_cast<unsigned>(block->threads.size()), Wait::kCluster);
}

}  // namespace

void returned_from_kernel(Thread& me) {
  Block& block = *me.block;
  Warp& warp = block.warp_of(me);
  if (block.waiting != 0)
    device_fault([&] {
      return "barrier divergence: returns from the kernel while thread " + text_of(block.first->index) +
             " of the block waits in __syncthreads at " + site(*block.first);
    });
  me.wait = Wait::kDone;
  --block.live;
  warp.live &= ~(1u << me.lane);
  progress();
  const unsigned first = me.id / 32u * 32u;
  for (unsigned i = 0; warp.waiting != 0 && i < 32; ++i)
    if ((warp.waiting >> i & 1) != 0) try_warp(block, warp, first, block.threads[first + i]);
  if (block.cluster != nullptr) {
    --block.cluster->live;
    if (me.cluster_phase > block.cluster->phase) --block.cluster->arrived;
    if (block.cluster->live != 0 && block.cluster->arrived == block.cluster->live)
      complete_cluster(*block.cluster);
  }
  // Distributed shared memory ends with its block.
  if (block.live == 0 && g_run.together && g_run.spec->shared != 0)
    set_addressable(block.window, g_run.spec->shared, false, false);
}

void yield() {
  Thread* me = g_running;
  if (me == nullptr) return;
  if (++g_run.idle_yields > 1000 * (g_run.ready.size() + 2)) device_fault([] { return deadlock_message(); });
  if (g_run.ready.empty()) return;
  const Inside inside;
  g_run.ready.push_back(me);
  leave(*me);
}

int block_barrier(BlockVote vote, int predicate, const char* file, int line) {
  Thread* running = g_running;
  if (running == nullptr) throw Fault("SIMT harness: __syncthreads outside a kernel" + at(file, line));
  const Inside inside;
  Thread& me = *running;
  Block& block = *me.block;
  me.file = file;
  me.line = line;
  if (block.live != block.threads.size())
    device_fault([&] {
      return "barrier divergence: __syncthreads" + at(file, line) + " after " +
             std::to_string(block.threads.size() - block.live) +
             " threads of the block returned from the kernel";
    });
  if (block.waiting == 0) {
    block.first = &me;
    block.vote = vote;
    block.votes = 0;
  } else if (block.first->line != line || std::strcmp(block.first->file, file) != 0 || block.vote != vote) {
    device_fault([&] {
      return "barrier divergence: __syncthreads" + at(file, line) + " while thread " +
             text_of(block.first->index) + " of the block waits at " + site(*block.first);
    });
  }
  ++block.waiting;
  block.votes += predicate != 0 ? 1 : 0;
  me.wait = Wait::kBlock;
  if (block.waiting == block.threads.size()) {
    const int threads = static_cast<int>(block.threads.size());
    const int result = vote == BlockVote::kCount ? block.votes
                       : vote == BlockVote::kAnd ? (block.votes == threads ? 1 : 0)
                       : vote == BlockVote::kOr  ? (block.votes != 0 ? 1 : 0)
                                                 : 0;
    for (Thread& thread : block.threads) thread.result = static_cast<std::uint64_t>(result);
    block.waiting = 0;
    block_synchronised(block);
    progress();
    make_ready(block.threads, 0, static_cast<unsigned>(threads), Wait::kBlock);
  }
  leave(me);
  return static_cast<int>(me.result);
}

namespace {

// Lanes that wait for each other must wait for the same thing.
void check_against_waiting(const Thread& me, const Block& block, const Warp& warp, unsigned first) {
  for (unsigned i = 0; i < 32; ++i) {
    if ((warp.waiting >> i & 1) == 0) continue;
    const Thread& other = block.threads[first + i];
    const bool together = (me.mask >> i & 1) != 0 || (other.mask >> me.lane & 1) != 0;
    if (together && (other.mask != me.mask || other.op != me.op))
      device_fault([&] {
        return "warp divergence: lane " + std::to_string(me.lane) + " at " + site(me) + " and lane " +
               std::to_string(i) + " at " + site(other) + " wait for each other in different operations";
      });
  }
}

}  // namespace

std::uint64_t warp_op(WarpOp op, unsigned mask, std::uint64_t value, int source, Number number,
                      const char* file, int line) {
  Thread* running = g_running;
  if (running == nullptr) throw Fault("SIMT harness: a warp operation outside a kernel" + at(file, line));
  const Inside inside;
  Thread& me = *running;
  Block& block = *me.block;
  Warp& warp = block.warp_of(me);
  const unsigned own = 1u << me.lane;
  me.op = op;
  me.mask = mask;
  me.number = number;
  me.source = source;
  me.value = value;
  me.file = file;
  me.line = line;
  if ((mask & own) == 0)
    device_fault([&] {
      return "warp divergence: lane " + std::to_string(me.lane) + " is not in its own mask" + at(file, line);
    });
  const unsigned first = me.id / 32u * 32u;
  if (warp.waiting == 0) {
    warp.mask = mask;
    warp.op = op;
    warp.uniform = true;
  } else if (!warp.uniform || warp.mask != mask || warp.op != op) {
    warp.uniform = false;  // parts of the warp on their own, or a fault
    check_against_waiting(me, block, warp, first);
  }
  warp.waiting |= own;
  me.wait = Wait::kWarp;
  try_warp(block, warp, first, me);
  leave(me);
  return me.result;
}

int lane() {
  return g_running == nullptr ? 0 : g_running->lane;
}

void trap(const char* file, int line) {
  device_fault([&] { return "__trap" + at(file, line); });
}

long long clock() {
  static long long now = 0;
  return ++now;
}

void* dynamic_shared() {
  return g_running == nullptr ? nullptr : reinterpret_cast<void*>(g_running->block->window);
}

std::size_t dynamic_shared_bytes() {
  return g_run.spec == nullptr ? 0 : g_run.spec->shared;
}

unsigned cluster_rank() {
  return g_running->block->rank;
}

unsigned cluster_size() {
  return g_running->block->cluster == nullptr
             ? 1
             : static_cast<unsigned>(g_running->block->cluster->blocks.size());
}

void cluster_arrive(const char* file, int line) {
  const Inside inside;
  Thread& me = *g_running;
  Block& block = *me.block;
  if (block.cluster == nullptr) {  // a cluster of one
    g_run.clusters.push_back(std::make_unique<Cluster>());
    block.cluster = g_run.clusters.back().get();
    block.cluster->blocks.push_back(&block);
    block.cluster->live = block.live;
  }
  Cluster& cluster = *block.cluster;
  if (me.cluster_phase != me.cluster_waits)
    device_fault([&] { return "cluster barrier: arrives twice without waiting" + at(file, line); });
  ++me.cluster_phase;
  if (++cluster.arrived == cluster.live) complete_cluster(cluster);
}

void cluster_wait(const char* file, int line) {
  const Inside inside;
  Thread& me = *g_running;
  me.file = file;
  me.line = line;
  if (me.block->cluster == nullptr || me.cluster_phase == me.cluster_waits)
    device_fault([&] { return "cluster barrier: waits without having arrived" + at(file, line); });
  Cluster& cluster = *me.block->cluster;
  if (cluster.phase < me.cluster_phase) {
    me.wait = Wait::kCluster;
    leave(me);
  }
  me.cluster_waits = me.cluster_phase;
  add_knowledge(me.known, cluster.known);
}

void* map_shared(const void* own, unsigned rank) {
  const Inside inside;
  Thread& me = *g_running;
  const std::size_t offset = reinterpret_cast<std::uintptr_t>(own) - me.block->window;
  const unsigned size = cluster_size();
  if (offset > g_run.spec->shared)
    device_fault(
        [&] { return std::string("map_shared: not an address of the block's dynamic shared memory"); });
  if (me.block->cluster == nullptr && rank == 0) return const_cast<void*>(own);
  if (me.block->cluster == nullptr || rank >= me.block->cluster->blocks.size())
    device_fault([&] {
      return "map_shared: block " + std::to_string(rank) + " of a cluster of " + std::to_string(size);
    });
  return reinterpret_cast<void*>(me.block->cluster->blocks[rank]->window + offset);
}

}  // namespace emer::simt
