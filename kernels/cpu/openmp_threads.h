// kernels/cpu/openmp_threads.h - the number of threads a library that asks OpenMP for it will use.
#pragma once

#include <omp.h>

namespace emer::cpu {

// Of this thread, until the scope ends: OpenMP keeps the number for each thread apart. One inside a parallel region.
class OpenmpThreads {
 public:
  explicit OpenmpThreads(int threads) : before_(omp_get_max_threads()) {
    omp_set_num_threads(omp_in_parallel() != 0 ? 1 : threads);
  }
  ~OpenmpThreads() { omp_set_num_threads(before_); }
  OpenmpThreads(const OpenmpThreads&) = delete;
  OpenmpThreads& operator=(const OpenmpThreads&) = delete;

 private:
  int before_;
};

}  // namespace emer::cpu
