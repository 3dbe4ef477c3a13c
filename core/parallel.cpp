#include "core/parallel.h"

#include <cblas.h>
#include <omp.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

#include "core/check.h"

extern "C" void openblas_set_num_threads(int threads);

namespace emer {

namespace {
int initial_thread_count() {
  if (const char* text = std::getenv("EMER_THREADS")) {
    char* end = nullptr;
    const long threads = std::strtol(text, &end, 10);
    if (end == text || *end != '\0' || threads < 1 || threads > 4096)
      fail_usage("EMER_THREADS is '{}'; it must be a whole number from 1 to 4096", text);
    openblas_set_num_threads(static_cast<int>(threads));
    return static_cast<int>(threads);
  }
  return omp_get_max_threads();
}
std::atomic<int>& threads_in_use() {
  static std::atomic<int> threads{initial_thread_count()};
  return threads;
}
}  // namespace

int thread_count() {
  return threads_in_use().load(std::memory_order_relaxed);
}

void set_thread_count(int threads) {
  EMER_CHECK(threads >= 1, "thread count must be at least 1, not {}", threads);
  threads_in_use().store(threads, std::memory_order_relaxed);
  openblas_set_num_threads(threads);
}

namespace detail {

void run_parallel(std::int64_t chunks, void (*body)(void*, std::int64_t), void* state) {
  std::exception_ptr first;
  std::mutex guard;
#pragma omp parallel for schedule(dynamic, 1) num_threads(thread_count())
  for (std::int64_t c = 0; c < chunks; ++c) {
    try {
      body(state, c);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace detail

}  // namespace emer
