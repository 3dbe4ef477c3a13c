// tests/simt/internal.h - what the harness's own parts share: the running launch, its blocks and threads.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cuda_runtime.h"
#include "tests/simt/fiber.h"
#include "tests/simt/memory.h"
#include "tests/simt/runtime.h"

namespace emer::simt {

// One host thread at a time is inside the runtime: static __shared__ arrays and threadIdx exist once. A thread may lock
// it again, and put it down altogether to wait for what other threads do inside (work that ranks do together).
class RuntimeLock {
 public:
  void lock();
  void unlock();
  // With the lock held: until done() or the time is over; done() is called with the lock held. Returns done().
  bool wait(std::chrono::duration<double> longest, const std::function<bool()>& done);
  void notify() { changed_.notify_all(); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<std::thread::id> owner_{};
  int depth_ = 0;  // of the owner
};
RuntimeLock& runtime_lock();
using Lock = std::lock_guard<RuntimeLock>;

// ---- order between threads (order.cpp) ------------------------------------------------------------------------
// What a thread knows of other blocks: accesses of `block` before stamp `all`, and of single threads of it.
struct Knowledge {
  struct Entry {
    std::uint32_t block;
    Stamp all;
    std::vector<std::pair<std::uint16_t, Stamp>> threads;
  };
  std::vector<Entry> entries;  // ascending by block
};
using KnowledgePtr = std::shared_ptr<Knowledge>;
void add_knowledge(KnowledgePtr& to, const KnowledgePtr& from);

// ---- a launch and its parts -------------------------------------------------------------------------------------
struct LaunchSpec {
  dim3 grid, block, cluster{1, 1, 1};
  std::size_t shared = 0;
  bool cooperative = false;
  std::string name;
  KernelCall call;
};

enum class Wait { kNotStarted, kReady, kBlock, kWarp, kCluster, kDone };

struct Block;
struct Cluster;

struct Thread {
  std::uintptr_t stack_low = 0;  // of the fiber that runs it
  std::size_t stack_size = 0;
  std::uint32_t block_id = 0;  // in the grid, linear
  std::uint16_t id = 0;        // in the block, linear
  std::uint8_t lane = 0;
  Wait wait = Wait::kNotStarted;
  Block* block = nullptr;
  Fiber* fiber = nullptr;
  uint3 index{};

  WarpOp op = WarpOp::kSync;  // while waiting in a warp operation
  unsigned mask = 0;
  Number number = Number::kUnsigned;
  int source = 0;
  std::uint64_t value = 0;
  std::uint64_t result = 0;  // of the warp operation or barrier it waited for
  const char* file = "";
  int line = 0;

  std::uint64_t cluster_phase = 0;  // arrivals at the cluster barrier
  std::uint64_t cluster_waits = 0;

  KnowledgePtr known;                            // acquired by this thread since the last barrier
  KnowledgePtr released;                         // at its last fence
  std::unique_ptr<std::array<Stamp, 32>> lanes;  // lanes of its warp, by __syncwarp with part of the lanes
};

struct Warp {
  unsigned existing = 0;  // lanes
  unsigned live = 0;      // not yet returned from the kernel
  unsigned waiting = 0;   // in a warp operation
  bool uniform = true;    // all of them in this one:
  unsigned mask = 0;
  WarpOp op = WarpOp::kSync;
  Stamp synced = 0;  // last __syncwarp of all existing lanes
};

struct Block {
  std::uint32_t id = 0;
  uint3 index{};
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  unsigned live = 0;              // threads not yet returned
  unsigned waiting = 0;           // at the barrier
  int votes = 0;                  // of those, with a true predicate
  const Thread* first = nullptr;  // to arrive at the barrier
  BlockVote vote = BlockVote::kNone;
  Stamp start = 0;    // accesses before it belong to an earlier block's shared memory
  Stamp barrier = 0;  // last __syncthreads
  KnowledgePtr known, released;
  std::uintptr_t window = 0;  // dynamic shared memory
  Cluster* cluster = nullptr;
  unsigned rank = 0;
  Warp& warp_of(const Thread& thread) { return warps[thread.id / 32]; }
};

struct Cluster {
  std::vector<Block*> blocks;
  unsigned live = 0;  // threads
  unsigned arrived = 0;
  std::uint64_t phase = 0;  // completed
  KnowledgePtr known;       // at the last completion
};

struct ReaderSet {
  std::vector<Access> readers;  // one per warp, or per block
};

// The launch that runs now; at most one, under runtime_lock().
struct Run {
  const LaunchSpec* spec = nullptr;
  Stamp start = 0;
  bool together = false;   // several blocks live at once
  bool knowledge = false;  // some thread has released something
  std::deque<Thread*> ready;
  Thread* current = nullptr;
  std::uint64_t idle_yields = 0;
  std::string fault;
  const Thread* faulty = nullptr;
  std::string (*fault_text)(const void*) = nullptr;
  const void* fault_context = nullptr;
  const void* fault_at = nullptr;                             // instruction, where an access was at fault
  std::unordered_map<std::uintptr_t, KnowledgePtr> released;  // by address of the atomic
  std::vector<ReaderSet> reader_sets;
  std::uintptr_t arguments = 0;
  std::size_t argument_bytes = 0;
  std::vector<std::unique_ptr<Cluster>> clusters;
  std::vector<Block*> live;  // blocks whose threads run now
};
extern Run g_run;
extern Stamp g_stamp;

// The device thread that runs on this host thread, or nullptr. g_checked is nullptr too when checks are off, or
// inside the harness itself.
extern constinit thread_local Thread* g_running __attribute__((tls_model("initial-exec")));
extern constinit thread_local Thread* g_checked __attribute__((tls_model("initial-exec")));
extern bool g_checks;

// The harness's own code on a device thread's stack: its accesses are not the kernel's.
class Inside {
 public:
  Inside() : saved_(g_checked) { g_checked = nullptr; }
  ~Inside() { g_checked = saved_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  Thread* saved_;
};

// scheduler.cpp
void run_kernel(const LaunchSpec& spec);  // throws Fault
// Ends the launch from the device thread that runs: text() says why. Outside a kernel, throws Fault.
[[noreturn]] void leave_for_good(std::string (*text)(const void*), const void* context,
                                 const void* program_counter);
template <class Text>
[[noreturn]] void device_fault(const Text& text, const void* program_counter = nullptr) {
  if (g_running == nullptr) throw Fault("SIMT harness: " + text());
  leave_for_good([](const void* context) { return (*static_cast<const Text*>(context))(); }, &text,
                 program_counter);
}
std::string name_of_thread(const Thread& thread);
std::string text_of(uint3 v);
std::string site(const Thread& thread);  // where it waits
std::string deadlock_message();
void progress();  // some waiting loop may now end
bool reverse_schedule();
// Puts those of threads [begin, end) that wait so into the queue, in the order of the schedule.
void make_ready(std::vector<Thread>& threads, unsigned begin, unsigned end, Wait from);
// The running thread waits, or stands in the queue again: the next one runs.
void leave(Thread& me);

// device_calls.cpp: those who wait for this thread need not any more, or wait in vain
void returned_from_kernel(Thread& me);

// order.cpp: true where the recorded access happened before what `me` does now
bool ordered(const Thread& me, const Access& earlier);
void release_to(Thread& me, std::uintptr_t address, bool fence_first);
void acquire_from(Thread& me, std::uintptr_t address);
void take_fence(Thread& me);
void block_synchronised(Block& block);
void warp_synchronised(Block& block, Warp& warp, unsigned first_thread, unsigned lanes);
void cluster_synchronised(Cluster& cluster);

// access.cpp
void check_access(Thread& me, std::uintptr_t at, std::size_t bytes, bool write, bool atomic, const void* pc);
void start_static_shared();  // a block starts: static shared memory is uninitialised again
void allow_constant(std::uintptr_t at, std::size_t bytes);

// device.cpp: dynamic shared memory that a launch of the kernel may ask for
std::size_t dynamic_limit(const void* kernel);

// location.cpp: "kernels/cuda/clamp.cu:17 (clamp_elements)" as best it can
std::string locate(const void* program_counter);

}  // namespace emer::simt
