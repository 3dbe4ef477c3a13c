// Runs a kernel: device threads as fibers, blocks one after another or, where they may wait for each other, together.
//
// A thread runs until it waits or returns. Threads that never wait share one fiber, one call each: a fiber is only
// left behind with a thread that waits.
#include <algorithm>
#include <numeric>
#include <random>

#include "tests/simt/internal.h"

// Const to device code (include/simt_device.h), written here at each switch: hence other names for the same symbols.
extern "C" {
uint3 emer_simt_thread_index asm("threadIdx");
uint3 emer_simt_block_index asm("blockIdx");
uint3 emer_simt_block_extent asm("blockDim");
uint3 emer_simt_grid_extent asm("gridDim");
}

namespace emer::simt {

Run g_run;
Stamp g_stamp = 1;
bool g_checks = true;
constinit thread_local Thread* g_running = nullptr;
constinit thread_local Thread* g_checked = nullptr;

namespace {

struct Scheduling {
  Schedule order = Schedule::kForward;
  std::mt19937_64 random;
  std::vector<std::unique_ptr<Block>> blocks;
  Fiber* starting = nullptr;  // the fiber that runs fiber_main for the first time
};
Scheduling& scheduling() {
  static Scheduling instance;
  return instance;
}

unsigned count_of(dim3 extent) {
  return extent.x * extent.y * extent.z;
}
uint3 position(unsigned linear, dim3 extent) {
  return {linear % extent.x, linear / extent.x % extent.y, linear / (extent.x * extent.y)};
}

void make_current(Thread* thread) {
  g_run.current = thread;
  g_running = thread;
  g_checked = g_checks ? thread : nullptr;
  if (thread == nullptr) return;
  emer_simt_thread_index = thread->index;
  emer_simt_block_index = thread->block->index;
}

Thread* pick() {
  auto& ready = g_run.ready;
  if (ready.empty()) return nullptr;
  if (scheduling().order == Schedule::kRandom)
    std::swap(ready.front(), ready[scheduling().random() % ready.size()]);
  Thread* next = ready.front();
  ready.pop_front();
  return next;
}

void fiber_main();

void go_to(Fiber& from, Thread* next, bool forget) {
  make_current(next);
  if (next == nullptr) {
    switch_fiber(from, host_fiber(), forget);
  } else if (next->wait == Wait::kNotStarted) {
    Fiber* fresh = take_fiber(fiber_main);
    scheduling().starting = fresh;
    switch_fiber(from, *fresh, forget);
  } else {
    switch_fiber(from, *next->fiber, forget);
  }
}

void fiber_main() {
  fiber_started();
  Fiber* const self = scheduling().starting;
  for (;;) {
    Thread& me = *g_run.current;
    me.fiber = self;
    me.stack_low = self->low;
    me.stack_size = self->size;
    me.wait = Wait::kReady;
    bool threw = false;
    try {
      g_run.spec->call.run(g_run.spec->call.arguments.get());
    } catch (...) {
      threw = true;
    }
    if (threw) device_fault([] { return std::string("an exception left the kernel"); });
    {
      const Inside inside;
      returned_from_kernel(me);
    }
    Thread* next = pick();
    if (next != nullptr && next->wait == Wait::kNotStarted) {
      make_current(next);
      continue;
    }
    return_fiber(self);
    go_to(*self, next, true);
  }
}

Block& block_slot(std::size_t slot) {
  auto& blocks = scheduling().blocks;
  while (blocks.size() <= slot) blocks.push_back(std::make_unique<Block>());
  return *blocks[slot];
}

void prepare_block(Block& block, std::size_t slot, std::uint32_t id, unsigned rank, Cluster* cluster) {
  const LaunchSpec& spec = *g_run.spec;
  const unsigned threads = count_of(spec.block);
  block.id = id;
  block.index = position(id, spec.grid);
  if (block.threads.size() != threads) {
    block.threads.clear();
    block.threads.resize(threads);
    for (unsigned i = 0; i < threads; ++i) {
      block.threads[i].id = static_cast<std::uint16_t>(i);
      block.threads[i].lane = static_cast<std::uint8_t>(i % 32);
      block.threads[i].block = &block;
    }
    block.warps.resize((threads + 31) / 32);
  }
  for (unsigned w = 0; w < block.warps.size(); ++w) {
    const unsigned lanes = std::min(32u, threads - 32 * w);
    block.warps[w] = {};
    block.warps[w].existing = block.warps[w].live = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
  }
  unsigned linear = 0;
  for (unsigned z = 0; z < spec.block.z; ++z)
    for (unsigned y = 0; y < spec.block.y; ++y)
      for (unsigned x = 0; x < spec.block.x; ++x, ++linear) {
        Thread& thread = block.threads[linear];
        thread.index = {x, y, z};
        thread.block_id = id;
        thread.wait = Wait::kNotStarted;
        thread.fiber = nullptr;
        thread.cluster_phase = thread.cluster_waits = 0;
        thread.known.reset();
        thread.released.reset();
        thread.lanes.reset();
      }
  block.live = threads;
  block.waiting = 0;
  block.votes = 0;
  block.start = block.barrier = ++g_stamp;
  block.known.reset();
  block.released.reset();
  block.cluster = cluster;
  block.rank = rank;
  block.window = g_heap.base + slot * kWindowStride;
  if (spec.shared != 0) {
    set_addressable(block.window, spec.shared, true, false);
    std::memset(reinterpret_cast<void*>(block.window), 0xff, spec.shared);
  }
  start_static_shared();
}

// Runs the blocks that live now until all their threads have returned.
void run_live() {
  const bool reverse = scheduling().order == Schedule::kReverse;
  const std::size_t count = g_run.live.size();
  for (std::size_t i = 0; i < count; ++i) {
    auto& threads = g_run.live[reverse ? count - 1 - i : i]->threads;
    make_ready(threads, 0, static_cast<unsigned>(threads.size()), Wait::kNotStarted);
  }
  go_to(host_fiber(), pick(), false);
  make_current(nullptr);
  if (g_run.faulty != nullptr) {
    g_run.fault = name_of_thread(*g_run.faulty) + ": " + g_run.fault_text(g_run.fault_context);
    return;
  }
  for (const Block* block : g_run.live)
    if (block->live != 0) {
      g_run.fault = deadlock_message();
      return;
    }
}

void run_blocks(const LaunchSpec& spec) {
  const unsigned blocks = count_of(spec.grid);
  const unsigned cluster = count_of(spec.cluster);
  g_run.together = blocks > 1 && (spec.cooperative || cluster > 1);
  const unsigned group = spec.cooperative ? blocks : cluster;
  const unsigned groups = blocks / group;
  std::vector<unsigned> order;
  if (scheduling().order == Schedule::kRandom) {
    order.resize(groups);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), scheduling().random);
  }
  const dim3 clusters(spec.grid.x / spec.cluster.x, spec.grid.y / spec.cluster.y,
                      spec.grid.z / spec.cluster.z);
  for (unsigned g = 0; g < groups && g_run.fault.empty(); ++g) {
    const unsigned chosen = !order.empty()                             ? order[g]
                            : scheduling().order == Schedule::kReverse ? groups - 1 - g
                                                                       : g;
    g_run.live.clear();
    g_run.clusters.clear();
    for (unsigned i = 0; i < group; ++i) {
      unsigned id = chosen * group + i, rank = 0;
      Cluster* of = nullptr;
      if (cluster > 1) {
        // Blocks of one cluster are neighbours in the grid, not in the linear order.
        const unsigned which = id / cluster;
        rank = id % cluster;
        const uint3 corner = position(which, clusters), inner = position(rank, spec.cluster);
        id = ((corner.z * spec.cluster.z + inner.z) * spec.grid.y + corner.y * spec.cluster.y + inner.y) *
                 spec.grid.x +
             corner.x * spec.cluster.x + inner.x;
        if (rank == 0) g_run.clusters.push_back(std::make_unique<Cluster>());
        of = g_run.clusters.back().get();
      }
      Block& block = block_slot(i);
      prepare_block(block, i, id, rank, of);
      if (of != nullptr) {
        of->blocks.push_back(&block);
        of->live += block.live;
      }
      g_run.live.push_back(&block);
    }
    run_live();
  }
}

}  // namespace

void set_schedule(Schedule schedule, std::uint64_t seed) {
  const Lock lock(runtime_lock());
  scheduling().order = schedule;
  scheduling().random.seed(seed);
}

std::string text_of(uint3 v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}
std::string site(const Thread& thread) {
  return std::string(thread.file) + ":" + std::to_string(thread.line);
}

void make_ready(std::vector<Thread>& threads, unsigned begin, unsigned end, Wait from) {
  const bool reverse = scheduling().order == Schedule::kReverse;
  for (unsigned i = begin; i < end; ++i) {
    Thread& thread = threads[reverse ? begin + end - 1 - i : i];
    if (thread.wait != from) continue;
    if (from != Wait::kNotStarted) thread.wait = Wait::kReady;
    g_run.ready.push_back(&thread);
  }
}

void leave(Thread& me) {
  Thread* next = pick();
  if (next != &me) {
    go_to(*me.fiber, next, false);
  } else {
    make_current(&me);
  }
}

std::string deadlock_message() {
  std::string text;
  std::uint64_t waiting = 0;
  for (const Block* block : g_run.live)
    for (const Thread& thread : block->threads) {
      if (thread.wait == Wait::kDone) continue;
      if (++waiting > 3) continue;
      const char* where = thread.wait == Wait::kBlock     ? "in __syncthreads"
                          : thread.wait == Wait::kWarp    ? "in a warp operation"
                          : thread.wait == Wait::kCluster ? "at the cluster barrier"
                                                          : "spinning";
      text += (text.empty() ? "" : "; ") + name_of_thread(thread) + " " + where;
      if (thread.wait != Wait::kReady) text += " at " + site(thread);
    }
  return "deadlock: " + std::to_string(waiting) + " threads wait for ever: " + text +
         (waiting > 3 ? "; …" : "");
}

bool reverse_schedule() {
  return scheduling().order == Schedule::kReverse;
}

std::string name_of_thread(const Thread& thread) {
  return "block " + text_of(thread.block->index) + " thread " + text_of(thread.index);
}

void progress() {
  g_run.idle_yields = 0;
}

// The message is made on the host's stack, from the faulty thread's, which stays as it is: that one is never unwound,
// and would leak what it had allocated for the message.
void leave_for_good(std::string (*text)(const void*), const void* context, const void* program_counter) {
  Thread& me = *g_running;
  g_run.faulty = &me;
  g_run.fault_text = text;
  g_run.fault_context = context;
  g_run.fault_at = program_counter;
  make_current(nullptr);
  switch_fiber(*me.fiber, host_fiber(), true);
  std::abort();  // a faulty thread is never continued
}

void run_kernel(const LaunchSpec& spec) {
  reserve_heap();
  g_run = {};
  g_run.spec = &spec;
  g_run.start = ++g_stamp;
  g_run.arguments = reinterpret_cast<std::uintptr_t>(spec.call.arguments.get());
  g_run.argument_bytes = spec.call.bytes;
  emer_simt_block_extent = spec.block;
  emer_simt_grid_extent = spec.grid;
  run_blocks(spec);
  const std::size_t used = g_run.live.size();
  for (std::size_t slot = 0; spec.shared != 0 && slot < used; ++slot)
    set_addressable(g_heap.base + slot * kWindowStride, spec.shared, false, false);
  start_static_shared();
  g_run.live.clear();
  g_run.ready.clear();
  if (g_run.fault.empty()) return;
  abandon_fibers();
  for (const auto& block : scheduling().blocks) block->threads.clear();
  std::string text = "SIMT harness: kernel ";
  text += spec.name.empty() ? locate(spec.call.kernel) : spec.name;
  text += ", " + g_run.fault;
  if (g_run.fault_at != nullptr) text += ", at " + locate(static_cast<const char*>(g_run.fault_at) - 1);
  throw Fault(text);
}

}  // namespace emer::simt
