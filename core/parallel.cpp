#include "core/parallel.h"

#include <cblas.h>
#include <omp.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

#ifdef EMER_THREAD_SANITIZER
#include <thread>
#include <vector>
#endif

#include "core/check.h"

extern "C" void openblas_set_num_threads(int threads);

namespace emer {

namespace {
// ThreadSanitizer sees neither how libgomp's threads wait for each other nor what OpenBLAS's threads write. Under it our
// own loops run on plain threads, which it follows, and OpenBLAS on the caller's.
#ifdef EMER_THREAD_SANITIZER
void set_blas_threads(int) {
  openblas_set_num_threads(1);
}
#else
void set_blas_threads(int threads) {
  openblas_set_num_threads(threads);
}
#endif

int initial_thread_count() {
  if (const char* text = std::getenv("EMER_THREADS")) {
    char* end = nullptr;
    const long threads = std::strtol(text, &end, 10);
    if (end == text || *end != '\0' || threads < 1 || threads > 4096)
      fail_usage("EMER_THREADS is '{}'; it must be a whole number from 1 to 4096", text);
    set_blas_threads(static_cast<int>(threads));
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
  set_blas_threads(threads);
}

namespace detail {

#ifdef EMER_THREAD_SANITIZER
void run_parallel(std::int64_t chunks, void (*body)(void*, std::int64_t), void* state) {
  static thread_local bool inside =
      false;  // as with OpenMP, a loop within a loop is carried out by one thread
  std::exception_ptr first;
  std::mutex guard;
  std::atomic<std::int64_t> next = 0;
  const auto work = [&] {
    const bool outer = inside;
    inside = true;
    for (std::int64_t c = next++; c < chunks; c = next++) {
      try {
        body(state, c);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(guard);
        if (!first) first = std::current_exception();
      }
    }
    inside = outer;
  };
  std::vector<std::thread> others;
  if (!inside)
    for (int t = 1; t < thread_count() && t < chunks; ++t) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  if (first) std::rethrow_exception(first);
}
#else
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
#endif

}  // namespace detail

}  // namespace emer
