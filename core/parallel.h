// core/parallel.h - loops over the CPU's cores. OpenMP underneath, shared with OpenBLAS, so that one pool
// serves both.
#pragma once

#include <algorithm>
#include <cstdint>

namespace emer {

// Threads that ops use: EMER_THREADS, else OMP_NUM_THREADS, else all cores the process may run on.
int thread_count();
void set_thread_count(int threads);  // >= 1; OpenBLAS follows

namespace detail {
void run_parallel(std::int64_t chunks, void (*body)(void*, std::int64_t), void* state);
}

// body(begin, end) over [0, count) in chunks of `grain` (the last shorter). Chunk bounds do not depend on the
// number of threads, so a result that depends on chunks only is the same on any machine. The first exception
// thrown by a chunk is rethrown here.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, Body&& body) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  const std::int64_t chunks = (count + grain - 1) / grain;
  if (chunks == 1 || thread_count() == 1) {
    for (std::int64_t c = 0; c < chunks; ++c) body(c * grain, std::min(count, (c + 1) * grain));
    return;
  }
  struct State {
    Body* body;
    std::int64_t count, grain;
  } state{&body, count, grain};
  detail::run_parallel(
      chunks,
      [](void* opaque, std::int64_t c) {
        const State& s = *static_cast<State*>(opaque);
        (*s.body)(c * s.grain, std::min(s.count, (c + 1) * s.grain));
      },
      &state);
}

}  // namespace emer
