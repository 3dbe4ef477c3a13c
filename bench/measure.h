// bench/measure.h - timing one prepared case on its context's device.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/case.h"
#include "core/context.h"
#include "core/tensor.h"
#include "core/timer.h"

namespace emer::bench {

// What stands behind the figures. Empty texts and zeros on the CPU.
struct DeviceFacts {
  std::string name, driver;  // "NVIDIA H200", "580.159.04" (or empty where the system does not say)
  std::string cuda_driver, cuda_runtime, cublas, cusolver;
  int multiprocessors = 0, clock_mhz = 0, memory_clock_mhz = 0;  // highest clocks, as the driver reports them
  std::size_t l2_bytes = 0, memory_bytes = 0;
};
DeviceFacts device_facts(Context& ctx);

enum class Launching { kAuto, kCalls };  // kAuto: as a recorded graph where the device and the case can

struct MeasureOptions {
  double seconds = 2.0;    // runs until so much was timed …
  int least = 3;           // … and so many runs were made …
  double patience = 60.0;  // … or, whatever the number of runs, this much was timed
  bool cold = true;        // between runs, write more than the last-level cache holds
  Launching launching = Launching::kAuto;
};

struct Timing {
  std::vector<double> seconds;  // each run
  std::vector<double>
      cpu_seconds;  // likewise, of all of the process's threads: what a busy machine does not stretch
  double median = 0, p10 = 0, p90 = 0;
  double spread = 0;   // standard deviation over mean
  bool graph = false;  // replays of a recorded graph, else calls
};

// Holds what evicts the caches; one per process run.
class Stopwatch {
 public:
  Stopwatch(Context& ctx, const DeviceFacts& facts);
  // `prepared` has run once already: verify() did. Warm-up runs first. The work between two timed runs (eviction, or with `cold` off one untimed run) also lets the
  // host get ahead of the device, so that launching is not part of the time.
  Timing measure(Prepared& prepared, const MeasureOptions& options);

 private:
  void between_runs(Prepared& prepared, bool cold);
  Context& ctx_;
  std::unique_ptr<Timer> timer_;
  Tensor<unsigned char> eviction_;
};

Timing summarise(std::vector<double> seconds);

namespace cuda {  // defined only with CUDA
DeviceFacts device_facts(Context& ctx);
}  // namespace cuda

}  // namespace emer::bench
